//! An installation under test: a private PostgreSQL, one root key, and real `tenantry serve` processes on it.
//!
//! Everything is asked for through the public API, as a user would; tables are only read, to see what became of it.
//! INVARIANT: a world is used by one test alone and leaves nothing behind.

pub mod drive;
pub mod look;
pub mod manifests;
pub mod probe;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use secrecy::{ExposeSecret as _, SecretString};
use tenantry_api::client::{Client, Retry};
use tenantry_domain::name::EnvironmentName;
use tenantry_testkit::pg::{PrivateServer, private_server};
use tenantry_testkit::process::{Ending, Process, steady_port};
use tokio_postgres::NoTls;

/// The name of the app that all tenants of a world use.
pub const APP: &str = "notes";
/// Where the registry, the shared tables and the tenants' schemas are.
pub const HOME: &str = "tn_prod_notes";
/// The control plane's own database.
pub const CONTROL: &str = "control";
/// How long anything may take before the test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How the processes of a world are tuned.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    /// How long a claim holds; short, because every case waits for one to run out.
    pub lease: Duration,
    /// Time between two drift sweeps.
    pub sweep: Duration,
    /// Schemas made in advance.
    pub schemas: usize,
    /// Databases made in advance.
    pub databases: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { lease: Duration::from_millis(300), sweep: Duration::from_secs(3600), schemas: 0, databases: 0 }
    }
}

/// See the module.
pub struct World {
    pub pg: PrivateServer,
    /// The superuser in the control database.
    pub control: tokio_postgres::Client,
    pub tuning: Tuning,
    folder: tempfile::TempDir,
    port: u16,
    token: SecretString,
    key: tenantry_dataplane::RootKey,
}

/// A running `tenantry serve`.
pub struct Serve {
    pub process: Process,
    pub client: Client,
}

/// Opens a connection as superuser.
pub async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.unwrap_or_else(|error| panic!("connect: {error:?}"));
    tokio::spawn(connection);
    client
}

impl World {
    /// An empty installation; nothing of Tenantry runs yet.
    pub async fn new(tuning: Tuning) -> Self {
        let pg = private_server();
        pg.sql("postgres", &format!("CREATE DATABASE {CONTROL}"));
        let folder = tempfile::tempdir().unwrap();
        let hex = "5eed".repeat(16);
        let token = tenantry_control::tokens::mint_text().unwrap();
        std::fs::write(folder.path().join("root.key"), &hex).unwrap();
        std::fs::write(folder.path().join("token"), token.expose_secret()).unwrap();
        let control = connect(&pg.url(CONTROL)).await;
        let key = tenantry_dataplane::RootKey::from_hex(&SecretString::from(hex)).unwrap();
        Self { control, pg, tuning, folder, port: steady_port(), token, key }
    }

    /// A file in the world's folder, which goes with the world.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Looks at the control database anew, after its server was away.
    #[allow(dead_code, reason = "only the tests of replicas restart their database")]
    pub async fn reconnect(&mut self) {
        self.control = connect(&self.pg.url(CONTROL)).await;
    }

    /// What the processes printed so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("serve.log")).unwrap_or_default()
    }

    /// Starts a process at the world's usual port and waits until it answers.
    pub async fn serve(&self, faults: &[(&str, String)]) -> Serve {
        let mut serve = self.start(faults);
        serve.ready().await;
        serve
    }

    /// Starts a process at the world's usual port.
    pub fn start(&self, faults: &[(&str, String)]) -> Serve {
        self.launch(self.port, "serve.log", faults)
    }

    /// Starts a process at a port of its own.
    pub fn launch(&self, port: u16, log: &str, faults: &[(&str, String)]) -> Serve {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_tenantry"));
        let mut environment = self.environment(port);
        environment.extend(faults.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let process =
            Process::start(&program, &["serve", "--migrate", "--drain-delay", "0s"], &environment, &self.path(log));
        let url = format!("http://127.0.0.1:{port}");
        let production = EnvironmentName::parse("prod").unwrap();
        let once = Retry { tries: 1, base: Duration::ZERO, cap: Duration::ZERO };
        let token = SecretString::from(self.token.expose_secret());
        Serve { process, client: Client::new(&url, token, production).unwrap().with_retry(once) }
    }

    fn environment(&self, port: u16) -> Vec<(String, String)> {
        let file = |name: &str| self.path(name).display().to_string();
        let millis = |time: Duration| format!("{}ms", time.as_millis());
        let Tuning { lease, sweep, schemas, databases } = self.tuning;
        [
            ("HOME", file(".")),
            ("TENANTRY_DATABASE_URL", self.pg.url(CONTROL)),
            ("TENANTRY_CELL_URL", self.pg.url("postgres")),
            ("TENANTRY_ROOT_KEY_FILE", file("root.key")),
            ("TENANTRY_BOOTSTRAP_TOKEN_FILE", file("token")),
            ("TENANTRY_LISTEN", format!("127.0.0.1:{port}")),
            ("TENANTRY_LOG", "warn,tenantry_control=info".to_owned()),
            ("TENANTRY_LEASE", millis(lease)),
            ("TENANTRY_SWEEP", millis(sweep)),
            ("TENANTRY_READY_SCHEMAS", schemas.to_string()),
            ("TENANTRY_READY_DATABASES", databases.to_string()),
            ("TENANTRY_FAULT_LOG", file("faults.log")),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }

    /// The last line that a fault left, without its first word.
    pub fn last_kill(&self) -> Option<String> {
        let log = std::fs::read_to_string(self.path("faults.log")).unwrap_or_default();
        log.lines().rev().find_map(|line| line.strip_prefix("killed ").map(ToOwned::to_owned))
    }
}

impl Serve {
    /// Waits until it answers. It must not end instead.
    pub async fn ready(&mut self) {
        let until = Instant::now() + PATIENCE;
        while self.client.ready().await.is_err() {
            let ended = self.process.has_ended();
            assert!(ended.is_none(), "the process ended as {ended:?}:\n{}", tail(&self.process.log(), 30));
            assert!(Instant::now() < until, "the process does not get ready:\n{}", tail(&self.process.log(), 30));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits for the end that a fault brings about.
    pub async fn killed(&mut self) -> Result<(), String> {
        match self.process.ended(PATIENCE).await {
            Some(Ending::KILLED) => Ok(()),
            Some(other) => Err(format!("the process ended as {other:?}")),
            None => Err("the process did not die".to_owned()),
        }
    }

    /// Asks it to stop and waits for an orderly end.
    pub async fn stop(mut self) {
        self.process.signal(Signal::TERM);
        let ending = self.process.ended(PATIENCE).await;
        assert_eq!(ending, Some(Ending::Exit(0)), "the end after SIGTERM:\n{}", tail(&self.process.log(), 30));
    }
}

/// The last lines of a text.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
