//! A `redis-server` of one test, on a port of its own.

use std::net::TcpListener;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use secrecy::SecretString;
use tempfile::TempDir;
use tenantry_domain::limit::Limit;
use tenantry_domain::quantity::Rate;
use tenantry_limits::{Ask, Limiter, Options};
use tenantry_testkit::process::Process;

pub struct Redis {
    process: Process,
    port: u16,
    folder: TempDir,
}

impl Redis {
    /// Starts a server and waits until it answers.
    pub async fn start() -> Self {
        // Free a moment ago; nobody else asks for this very one.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let redis = Self { process: launch(port, folder.path()), port, folder };
        redis.wait().await;
        redis
    }

    /// Ends it as a crash would. Nothing that it held is kept.
    pub async fn kill(&mut self) {
        assert!(self.process.signal(Signal::KILL));
        self.process.ended(Duration::from_secs(10)).await.expect("it ends");
    }

    /// Starts it again, on the same port.
    pub async fn again(&mut self) {
        self.process = launch(self.port, self.folder.path());
        self.wait().await;
    }

    /// Stops it without ending it: connections stay open and nobody answers.
    pub fn freeze(&self) {
        assert!(self.process.signal(Signal::STOP));
    }

    pub fn thaw(&self) {
        assert!(self.process.signal(Signal::CONT));
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// A replica that shares rates by this server.
    pub fn limiter(&self) -> Limiter {
        limiter(&self.url())
    }

    async fn wait(&self) {
        let end = Instant::now() + Duration::from_secs(20);
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            assert!(Instant::now() < end, "redis-server does not answer: {}", self.process.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn launch(port: u16, folder: &Path) -> Process {
    let program =
        ["/usr/bin/redis-server", "/usr/bin/valkey-server"].into_iter().map(Path::new).find(|path| path.exists());
    let program = program.expect("these tests need redis-server (Debian: apt-get install redis-server)");
    let (port, directory) = (port.to_string(), folder.to_str().unwrap());
    let arguments = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", directory];
    Process::start(program, &arguments, &[], &folder.join("redis.log"))
}

pub fn limiter(url: &str) -> Limiter {
    Limiter::new(&Options { most: 1_000, shared: Some(SecretString::from(url)) }).unwrap()
}

pub fn limit(amount: u32, seconds: u32, burst: u32) -> Limit {
    let number = |number| NonZeroU32::new(number).unwrap();
    Limit::new(Rate { amount: number(amount), seconds: number(seconds) }, number(burst))
}

pub async fn is_allowed(limiter: &Limiter, key: &str, limit: Limit) -> bool {
    limiter.take(&[Ask { key, limit }], 1).await[0].allowed
}

/// Waits until something holds.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
