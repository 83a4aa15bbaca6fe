//! Runs the binary: single commands, and long-lived roles whose lines are read as they come.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Nothing here takes longer on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A folder of one test, with the configuration folder of one user in it.
pub struct Home {
    folder: tempfile::TempDir,
}

/// What a command left.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Home {
    pub fn new() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        // Root runs PostgreSQL as another user, who must be able to pass.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The binary with nothing of this machine's settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenantry"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TENANTRY_") && name != "TENANTRY_PG_BIN" {
                command.env_remove(&name);
            }
        }
        command
            .args(arguments)
            .env("XDG_CONFIG_HOME", self.path("config"))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a command to its end.
    pub async fn run(&self, arguments: &[&str]) -> Ended {
        finish(self.command(arguments)).await
    }

    /// Runs a command that has to succeed and gives its document.
    pub async fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.run(&[arguments, &["-o", "json"]].concat()).await;
        assert_eq!(ended.code, 0, "{arguments:?}: {ended:?}");
        serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {}", ended.out))
    }

    /// Starts `dev` in the folder `data` and waits until it is ready.
    pub async fn dev(&self, arguments: &[&str]) -> Dev {
        let mut dev = self.dev_process(arguments);
        let ready = dev.until("ready").await;
        dev.ready = ready;
        dev
    }

    /// Starts `dev` without waiting.
    pub fn dev_process(&self, arguments: &[&str]) -> Dev {
        self.dev_process_with(arguments, |_| {})
    }

    /// Starts `dev` without waiting, after `prepare` has changed where and with what it runs.
    pub fn dev_process_with(&self, arguments: &[&str], prepare: impl FnOnce(&mut Command)) -> Dev {
        let mut command = self.command(&["dev", "--json", "--listen", "127.0.0.1:0"]);
        prepare(&mut command);
        if !arguments.contains(&"--data-dir") {
            command.arg("--data-dir").arg(self.path("data"));
        }
        let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Dev { child, lines, ready: Value::Null }
    }
}

/// Runs any prepared command to its end.
pub async fn finish(mut command: Command) -> Ended {
    let output: Output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends in time").unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A running `dev`.
pub struct Dev {
    pub child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub ready: Value,
}

impl Dev {
    /// The next line of an event.
    pub async fn until(&mut self, event: &str) -> Value {
        let wait = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                let line: Value = serde_json::from_str(&line).unwrap();
                if line["event"] == event {
                    return line;
                }
            }
            panic!("it ended before `{event}`");
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the event comes in time")
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Ends it as Ctrl-C does; gives the exit code.
    pub async fn stop(mut self) -> i32 {
        self.signal(rustix::process::Signal::INT);
        self.until("stopped").await;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends in time").unwrap();
        ended.code().unwrap_or(-1)
    }

    pub fn postgres_port(&self) -> u16 {
        u16::try_from(self.ready["postgresPort"].as_u64().unwrap()).unwrap()
    }
}

/// Whether somebody listens on a port of this machine.
pub async fn listens(port: u16) -> bool {
    tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
}

/// Waits for a condition; a test fails when it never holds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let until = tokio::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(tokio::time::Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Reads a file that must be there.
pub fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
