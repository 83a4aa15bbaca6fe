//! A real process under test: started with an environment of its own, watched, signalled, and ended with its value.
//!
//! INVARIANT: nothing but what is given reaches it: no variable of the test's own environment, no terminal. What it
//! prints is kept in a file, to be shown when a test fails.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// A running child of this test. It is killed with this value.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this code.
    Exit(i32),
    /// By this signal.
    Signal(i32),
}

impl Ending {
    /// The end that no destructor helps with.
    pub const KILLED: Self = Self::Signal(9);

    fn of(status: ExitStatus) -> Self {
        status.signal().map_or_else(|| Self::Exit(status.code().unwrap_or(-1)), Self::Signal)
    }
}

impl Process {
    /// Starts a program. Its output is appended to `log`.
    #[must_use]
    pub fn start(program: &Path, arguments: &[&str], environment: &[(String, String)], log: &Path) -> Self {
        let open = || fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(open())
            .stderr(open())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        Self { child, log: log.to_owned() }
    }

    /// Its number, while it has not ended.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends it a signal; says whether it was still there to get one.
    pub fn signal(&self, signal: Signal) -> bool {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
    }

    /// How it ended, or nothing when it is still at work after `within`.
    pub async fn ended(&mut self, within: Duration) -> Option<Ending> {
        tokio::time::timeout(within, self.child.wait()).await.ok().map(|status| Ending::of(status.unwrap()))
    }

    /// Whether it ended already, and how.
    pub fn has_ended(&mut self) -> Option<Ending> {
        self.child.try_wait().unwrap().map(Ending::of)
    }

    /// What it printed, and what those before it printed into the same file.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// A port that nobody listens on, below those that the system gives to outgoing connections: a process that is
/// started again and again at the same one does not find it taken by a stranger's connection.
#[must_use]
pub fn steady_port() -> u16 {
    let mut seed = [0; 2];
    let random = |seed: &mut [u8; 2]| {
        use std::io::Read as _;
        fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(seed)).unwrap();
        20_000 + u16::from_le_bytes(*seed) % 12_000
    };
    (0..200)
        .map(|_| random(&mut seed))
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}
