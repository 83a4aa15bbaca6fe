//! A real NATS server with JetStream, of one test, on a port of its own.
//!
//! INVARIANT: what it keeps is in a folder of the test, so a server that is killed and started again has what it had; the folder
//! goes with the value.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_nats::jetstream::context::GetStreamErrorKind;
use async_nats::jetstream::stream::{Config, Stream};
use async_nats::jetstream::{Context, message::StreamMessage};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{Process, steady_port};

/// How long the server may take to begin and to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// Messages that are read at a time.
const READS: usize = 64;

/// See the module.
pub struct Nats {
    process: Option<Process>,
    port: u16,
    folder: TempDir,
    more: String,
}

impl Nats {
    /// Starts a server that lets everybody in.
    pub async fn start() -> Self {
        let mut server = Self::absent();
        server.again().await;
        server
    }

    /// A port with nobody at it yet, and what is needed to start a server there.
    #[must_use]
    pub fn absent() -> Self {
        Self { process: None, port: steady_port(), folder: tempfile::tempdir().unwrap(), more: String::new() }
    }

    /// With more lines of configuration, such as users. Files of [`Self::path`] can be named in it.
    #[must_use]
    pub fn with(mut self, more: &str) -> Self {
        self.more.push_str(more);
        self.more.push('\n');
        self
    }

    /// A file in the server's folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts it (again), at the same port with what it kept, and waits until it listens.
    pub async fn again(&mut self) {
        let folder = self.folder.path().display();
        let config =
            format!("listen: \"127.0.0.1:{}\"\njetstream {{ store_dir: \"{folder}/kept\" }}\n{}", self.port, self.more);
        std::fs::write(self.path("nats.conf"), config).unwrap();
        let config = self.path("nats.conf").display().to_string();
        self.process = Some(Process::start(&program(), &["-c", &config], &[], &self.path("nats.log")));
        let end = Instant::now() + PATIENCE;
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            assert!(Instant::now() < end, "nats-server does not answer:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends it as a crash would.
    pub async fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        assert!(process.signal(Signal::KILL));
        process.ended(PATIENCE).await.expect("it ends");
    }

    /// Stops it without ending it: connections stay open and nobody answers.
    pub fn freeze(&self) {
        assert!(self.process.as_ref().expect("it runs").signal(Signal::STOP));
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        assert!(self.process.as_ref().expect("it runs").signal(Signal::CONT));
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// What it printed.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("nats.log")).unwrap_or_default()
    }

    /// JetStream of a server that lets everybody in, once it is ready.
    pub async fn jetstream(&self) -> Context {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Ok(client) = async_nats::connect(self.url()).await {
                let context = async_nats::jetstream::new(client);
                // Whether there is such a stream is the server's to say, and it says so only when it is ready.
                match context.get_stream("NOBODY").await {
                    Err(error) if !matches!(error.kind(), GetStreamErrorKind::JetStream(_)) => {}
                    _ => return context,
                }
            }
            assert!(Instant::now() < end, "JetStream does not get ready:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Makes a stream.
    pub async fn make(&self, config: Config) -> Stream {
        self.jetstream().await.create_stream(config).await.unwrap()
    }

    /// How many messages a stream has; 0 when it is not there.
    pub async fn count(&self, stream: &str) -> u64 {
        match self.jetstream().await.get_stream(stream).await {
            Ok(stream) => stream.cached_info().state.messages,
            Err(_) => 0,
        }
    }

    /// All messages of a stream, in its order.
    pub async fn messages(&self, name: &str) -> Vec<StreamMessage> {
        let stream = &self.jetstream().await.get_stream(name).await.unwrap();
        let state = &stream.cached_info().state;
        if state.messages == 0 {
            return Vec::new();
        }
        stream::iter(state.first_sequence..=state.last_sequence)
            .map(|number| stream.get_raw_message(number))
            .buffered(READS)
            .try_collect()
            .await
            .unwrap()
    }
}

fn program() -> PathBuf {
    let known = ["/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server"];
    let found = known.into_iter().map(Path::new).find(|path| path.exists());
    found.expect("these tests need nats-server (Debian: apt-get install nats-server)").to_owned()
}
