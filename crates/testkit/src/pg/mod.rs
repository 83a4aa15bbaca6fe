//! Databases for tests.
//!
//! [`server`] is one throw-away server for all test processes of a run (they may be many: nextest gives each test
//! its own). The first process starts it, the others find it through a file below `target/`, and it goes by itself
//! two minutes after the last of them. [`private_server`] is for a test that stops or kills its server.

mod cluster;

use std::fs;
use std::future::Future;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use cluster::{Cluster, binaries, random_hex, write_private};

/// A running server on which the tests are superuser.
#[derive(Debug)]
pub struct Server {
    cluster: Cluster,
}

/// The server that all tests share.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = Server { cluster: find_or_start() };
        keep_alive(server.cluster.clone());
        server
    })
}

/// A server for one test, which may stop, kill and restart it.
#[must_use]
pub fn private_server() -> PrivateServer {
    let cluster = Cluster::make(None);
    cluster.start();
    keep_alive(cluster.clone());
    PrivateServer(Server { cluster })
}

impl Server {
    /// The superuser's URL of a database.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.cluster.url(database)
    }

    /// Where it listens, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.cluster.port
    }

    /// The password of the superuser `postgres`.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.cluster.password
    }

    /// The folder of `psql`, `pg_dump` and the others.
    #[must_use]
    pub fn binaries(&self) -> PathBuf {
        binaries()
    }

    /// The server's log, for tests which look for what must not be in it.
    #[must_use]
    pub fn log(&self) -> String {
        self.cluster.log()
    }

    /// A fresh, empty database.
    #[must_use]
    pub fn database(&self) -> TestDatabase {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{count}_{}", std::process::id(), random_hex(4));
        self.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0"));
        TestDatabase { url: self.url(&name), cluster: self.cluster.clone(), name }
    }

    /// Runs statements as superuser, each on its own, some time soon and whether or not this process still lives.
    pub fn clean_up(&self, statements: &[String]) {
        self.cluster.clean_up(statements);
    }

    /// Runs statements as superuser; stops the test if one fails.
    pub fn sql(&self, database: &str, statements: &str) {
        let url = self.url(database);
        if let Err(error) = blocking(run(&url, statements)) {
            panic!("{statements}: {error:?}");
        }
    }
}

/// A server of one test; it is stopped and removed with this value.
#[derive(Debug)]
pub struct PrivateServer(Server);

impl PrivateServer {
    /// Stops it in an orderly way.
    pub fn stop(&self) {
        self.0.cluster.stop(Signal::INT);
    }

    /// Ends it as a crash would.
    pub fn kill(&self) {
        self.0.cluster.stop(Signal::KILL);
    }

    /// Ends it at once, without waiting for anybody: its sessions are told, and the next start recovers.
    pub fn halt(&self) {
        self.0.cluster.stop(Signal::QUIT);
    }

    /// Lets it stand still, with all its sessions: connections stay, and nobody answers. The kernel still takes new ones.
    pub fn freeze(&self) {
        self.0.cluster.signal_all(Signal::STOP);
    }

    /// Lets it go on after [`Self::freeze`].
    pub fn thaw(&self) {
        self.0.cluster.signal_all(Signal::CONT);
    }

    /// A streaming replica of it, with the same passwords. It goes on when this one is gone.
    #[must_use]
    pub fn standby(&self) -> Self {
        let cluster = Cluster::copy(&self.0.cluster);
        cluster.start();
        keep_alive(cluster.clone());
        Self(Server { cluster })
    }

    /// Starts it again, at the same port and with the same data.
    pub fn start(&self) {
        self.0.cluster.start();
    }
}

impl std::ops::Deref for PrivateServer {
    type Target = Server;
    fn deref(&self) -> &Server {
        &self.0
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        // One that stands still would not hear that it shall stop.
        self.thaw();
        self.stop();
        let _ = fs::remove_dir_all(&self.0.cluster.folder);
    }
}

/// A database of one test. It is dropped with this value, also when somebody is still connected.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: String,
    cluster: Cluster,
}

impl TestDatabase {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The superuser's URL of it.
    #[must_use]
    pub fn url(&self) -> String {
        self.url.clone()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        self.cluster.clean_up(&[format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)]);
    }
}

fn find_or_start() -> Cluster {
    // Where cargo builds: the folder that holds this test's binary, whatever `CARGO_TARGET_DIR` says.
    let exe = std::env::current_exe().unwrap();
    let target = exe.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    let folder = target.map_or_else(std::env::temp_dir, ToOwned::to_owned).join("testkit").join("pg");
    fs::create_dir_all(&folder).unwrap();
    let lock = fs::OpenOptions::new().create(true).append(true).open(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    let state = folder.join("state");
    if let Some(cluster) = fs::read_to_string(&state).ok().and_then(|text| read_state(&text, &folder)) {
        cluster.beat();
        if answers(&cluster.url("postgres")) {
            return cluster;
        }
    }
    let cluster = Cluster::make(Some(folder.join("heartbeat")));
    cluster.start();
    write_private(&state, &format!("{}\n{}\n{}\n", cluster.folder.display(), cluster.port, cluster.password));
    cluster
}

fn read_state(text: &str, folder: &std::path::Path) -> Option<Cluster> {
    let mut lines = text.lines();
    Some(Cluster {
        folder: PathBuf::from(lines.next()?),
        port: lines.next()?.parse().ok()?,
        password: lines.next()?.to_owned(),
        heartbeat: folder.join("heartbeat"),
    })
}

/// A single test may take longer than the watchdog's patience.
fn keep_alive(cluster: Cluster) {
    std::thread::spawn(move || {
        while cluster.folder.is_dir() {
            cluster.beat();
            std::thread::sleep(Duration::from_secs(20));
        }
    });
}

fn answers(url: &str) -> bool {
    blocking(run(url, "SELECT")).is_ok()
}

async fn run(url: &str, statements: &str) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    let connection = tokio::spawn(connection);
    let ran = client.batch_execute(statements).await;
    drop(client);
    let _ = connection.await;
    ran
}

/// Callers may already be inside a runtime, hence the thread.
fn blocking<T: Send>(work: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        scope.spawn(move || runtime().block_on(work)).join().unwrap()
    })
}
