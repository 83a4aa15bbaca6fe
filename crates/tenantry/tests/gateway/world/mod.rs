//! An installation under test: the control database's server, one or two cells, `serve`, and any number of gateways.
//!
//! Everything is a process of its own and can be killed alone. INVARIANT: a world is used by one test and leaves nothing
//! behind; what its processes printed is shown when the test fails.

mod gate;
mod manifests;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tenantry_testkit::pg::{PrivateServer, private_server};
use tenantry_testkit::process::{Ending, Process, steady_port};
use tokio_postgres::NoTls;
use uuid::Uuid;

pub use gate::{CONSOLE, Gate, config, get};

use crate::program::{Ended, Home, finish};

/// How long anything may take before the test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// The levels that tenants are at.
pub const LEVELS: [&str; 3] = ["shared", "schema", "database"];
/// The control plane's own database.
const CONTROL: &str = "control";
/// Where shared tables and tenants' schemas are.
const HOME: &str = "tn_prod_notes";

/// A tenant with its login.
#[derive(Debug, Clone)]
pub struct Tenant {
    pub slug: String,
    pub level: &'static str,
    /// Which cell it is on.
    pub cell: usize,
    pub password: String,
    pub id: Uuid,
}

impl Tenant {
    /// The name of its login.
    pub fn login(&self) -> String {
        format!("{}-app", self.slug)
    }

    /// The database and the schema of its tables.
    pub fn place(&self) -> (String, String) {
        let own = format!("t_{}", self.id.simple());
        match self.level {
            "shared" => (HOME.to_owned(), "app".to_owned()),
            "schema" => (HOME.to_owned(), own),
            _ => (own, "app".to_owned()),
        }
    }
}

/// See the module.
pub struct World {
    pub control: PrivateServer,
    pub cells: Vec<PrivateServer>,
    pub tenants: Vec<Tenant>,
    home: Home,
    serve: Option<Process>,
    port: u16,
    token: String,
}

/// Opens a connection as superuser.
pub async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.unwrap_or_else(|error| panic!("connect: {error:?}"));
    tokio::spawn(connection);
    client
}

/// Polls until there is something; gives how long that took.
pub async fn wait<T>(what: &str, within: Duration, look: impl AsyncFn() -> Option<T>) -> (T, Duration) {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return (found, began.elapsed());
        }
        assert!(began.elapsed() < within, "waited {} s in vain: {what}", within.as_secs());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

impl World {
    /// Tenants on so many cells, `each` of them at every level, all of them open and with a login.
    pub async fn new(cells: usize, each: usize) -> Self {
        let (control, cells) = tokio::task::block_in_place(|| {
            std::thread::scope(|scope| {
                let started: Vec<_> = (0..cells).map(|_| scope.spawn(private_server)).collect();
                let control = private_server();
                (control, started.into_iter().map(|cell| cell.join().unwrap()).collect::<Vec<_>>())
            })
        });
        control.sql("postgres", &format!("CREATE DATABASE {CONTROL}"));
        let home = Home::new();
        for (what, file) in [("root-key", "root.key"), ("token", "admin.token")] {
            assert_eq!(home.run(&["secret", what, "--output-file", file]).await.code, 0);
        }
        let token = std::fs::read_to_string(home.path("admin.token")).unwrap().trim().to_owned();
        let mut world = Self { control, cells, tenants: Vec::new(), home, serve: None, port: steady_port(), token };
        let mut migrate = world.home.command(&["migrate"]);
        migrate.env("TENANTRY_DATABASE_URL", world.control.url(CONTROL));
        let ended = finish(migrate).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        // A gateway needs no more than this of the control database.
        world.control.sql(
            CONTROL,
            &format!("CREATE ROLE edge LOGIN PASSWORD '{}' IN ROLE tenantry_gateway", world.control.password()),
        );
        world.start_serve().await;
        world.lay(each).await;
        world
    }

    async fn lay(&mut self, each: usize) {
        let places: Vec<(String, &'static str, usize)> = (0..self.cells.len())
            .flat_map(|cell| LEVELS.into_iter().map(move |level| (cell, level)))
            .flat_map(|(cell, level)| (0..each).map(move |number| (format!("{level}-{cell}-{number}"), level, cell)))
            .collect();
        let text = manifests::all(self.cells.len(), &places);
        std::fs::write(self.path("all.yaml"), text).unwrap();
        let applied = self.tenantry(&["apply", "-f", "all.yaml"]).await;
        assert_eq!(applied.code, 0, "{applied:?}");
        let control = connect(&self.control.url(CONTROL)).await;
        for (slug, level, cell) in places {
            let row = control.query_one("SELECT id, phase FROM tenantry.tenant WHERE slug = $1", &[&slug]).await;
            let row = row.unwrap_or_else(|error| panic!("{slug}: {error:?}"));
            assert_eq!(row.get::<_, &str>(1), "active", "{slug}");
            let mut tenant = Tenant { id: row.get(0), slug, level, cell, password: String::new() };
            let made = self.json(&["logins", "create", &tenant.login(), "--tenant", &tenant.slug]).await;
            made["password"].as_str().unwrap().clone_into(&mut tenant.password);
            self.tenants.push(tenant);
        }
    }

    /// A file in the world's folder, which goes with the world.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path(name)
    }

    /// The one tenant of a name.
    pub fn tenant(&self, slug: &str) -> &Tenant {
        self.tenants.iter().find(|tenant| tenant.slug == slug).unwrap_or_else(|| panic!("no tenant {slug}"))
    }

    /// Runs a command against the API.
    pub async fn tenantry(&self, arguments: &[&str]) -> Ended {
        self.tenantry_as(&self.token, arguments).await
    }

    /// Runs a command against the API with somebody's token.
    pub async fn tenantry_as(&self, token: &str, arguments: &[&str]) -> Ended {
        let mut command = self.home.command(arguments);
        command.env("TENANTRY_URL", format!("http://127.0.0.1:{}", self.port)).env("TENANTRY_TOKEN", token);
        finish(command).await
    }

    /// Runs a command that has to succeed.
    pub async fn done(&self, arguments: &[&str]) {
        let ended = self.tenantry(arguments).await;
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
    }

    pub async fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.tenantry(&[arguments, &["-o", "json"]].concat()).await;
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        serde_json::from_str(&ended.out).unwrap()
    }

    /// Starts `serve` and waits until it answers.
    pub async fn start_serve(&mut self) {
        let mut environment = self.environment();
        environment.extend([
            ("TENANTRY_DATABASE_URL".to_owned(), self.control.url(CONTROL)),
            ("TENANTRY_BOOTSTRAP_TOKEN_FILE".to_owned(), self.path("admin.token").display().to_string()),
            ("TENANTRY_LISTEN".to_owned(), format!("127.0.0.1:{}", self.port)),
        ]);
        let log = self.path("serve.log");
        let mut process = Process::start(&program(), &["serve", "--drain-delay", "0s"], &environment, &log);
        let until = Instant::now() + PATIENCE;
        while get(self.port, "/readyz").await.is_none_or(|(status, _)| status != 200) {
            let ended = process.has_ended();
            assert!(ended.is_none() && Instant::now() < until, "serve, {ended:?}: {}", process.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.serve = Some(process);
    }

    /// `serve` and the server of its database die at once.
    pub async fn kill_control_plane(&mut self) {
        let mut serve = self.serve.take().expect("serve runs");
        serve.signal(Signal::KILL);
        blocking(|| self.control.kill());
        assert_eq!(serve.ended(PATIENCE).await, Some(Ending::KILLED));
    }

    /// Both come back.
    pub async fn restore_control_plane(&mut self) {
        blocking(|| self.control.start());
        self.start_serve().await;
    }

    /// The superuser in a database of a cell.
    pub async fn on_cell(&self, cell: usize, database: &str) -> tokio_postgres::Client {
        connect(&self.cells[cell].url(database)).await
    }

    /// The environment of every process: nothing of the test's own reaches them.
    fn environment(&self) -> Vec<(String, String)> {
        let file = |name: &str| self.path(name).display().to_string();
        let mut environment = vec![
            ("HOME".to_owned(), file(".")),
            ("TENANTRY_ROOT_KEY_FILE".to_owned(), file("root.key")),
            ("TENANTRY_LOG".to_owned(), "info".to_owned()),
        ];
        for (number, cell) in self.cells.iter().enumerate() {
            environment.push((manifests::cell_variable(number), cell.url("postgres")));
        }
        environment
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for entry in std::fs::read_dir(self.path(".")).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "log") {
                let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                eprintln!("-- {}", entry.file_name().display());
                eprintln!("{}", lines[lines.len().saturating_sub(40)..].join("\n"));
            }
        }
    }
}

/// The product.
fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_tenantry"))
}

/// Runs what waits without a runtime beside the load.
pub fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}
