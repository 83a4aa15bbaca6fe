//! One PostgreSQL server process with a data folder of its own.
//!
//! The server is the child of a small detached `sh`, which stops it and removes the folder when nobody has touched
//! the heartbeat file for two minutes: also a test that was killed leaves nothing behind. PostgreSQL refuses to run
//! as root, so root starts everything as `postgres` or, where there is no such user, as `nobody`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getuid, kill_process, test_kill_process};

/// `$1` binaries, `$2` folder, `$3` heartbeat file.
const WATCHDOG: &str = r#"
trap '' HUP
"$1/postgres" -D "$2/data" >>"$2/log" 2>&1 </dev/null &
server=$!
while kill -0 "$server" 2>/dev/null; do
  sleep 1
  if [ -z "$(find "$3" -mmin -2 2>/dev/null)" ]; then
    kill -INT "$server"; wait "$server"; rm -rf "$2"
  fi
done
"#;

const SETTINGS: &str = "
fsync = off
authentication_timeout = 20s
full_page_writes = off
max_connections = 400
max_locks_per_transaction = 512
max_prepared_transactions = 0
listen_addresses = '127.0.0.1'
log_min_messages = warning
";

/// A server's place, login and files.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub(super) folder: PathBuf,
    pub(super) port: u16,
    pub(super) password: String,
    pub(super) heartbeat: PathBuf,
}

impl Cluster {
    /// Makes the data folder.
    pub(super) fn make(heartbeat: Option<PathBuf>) -> Self {
        let folder = room().join(format!("tn-pg-{}", random_hex(6)));
        fs::create_dir(&folder).unwrap();
        let heartbeat = heartbeat.unwrap_or_else(|| folder.join("heartbeat"));
        let cluster = Self { port: free_port(), password: random_hex(16), heartbeat, folder };
        let secret = cluster.folder.join("password");
        write_private(&secret, &cluster.password);
        if let Some((uid, gid)) = stand_in() {
            for path in [&cluster.folder, &secret] {
                chown(path, Some(uid), Some(gid)).unwrap();
            }
        }
        cluster.beat();
        cluster
            .run(
                Command::new(binaries().join("initdb"))
                    .args(["-N", "-U", "postgres", "-E", "UTF8", "--locale=C", "--auth=scram-sha-256"])
                    .arg("--pwfile")
                    .arg(&secret)
                    .arg("-D")
                    .arg(cluster.data()),
            )
            .unwrap_or_else(|output| panic!("initdb failed: {output}"));
        cluster.configure();
        cluster
    }

    /// A copy of a running server that follows it, not started yet.
    pub(super) fn copy(primary: &Self) -> Self {
        let folder = room().join(format!("tn-pg-{}", random_hex(6)));
        fs::create_dir(&folder).unwrap();
        if let Some((uid, gid)) = stand_in() {
            chown(&folder, Some(uid), Some(gid)).unwrap();
        }
        let heartbeat = folder.join("heartbeat");
        let cluster = Self { port: free_port(), password: primary.password.clone(), heartbeat, folder };
        cluster.beat();
        let mut command = Command::new(binaries().join("pg_basebackup"));
        command
            .args(["-R", "-X", "stream", "-c", "fast", "-D"])
            .arg(cluster.data())
            .arg("-d")
            .arg(primary.url("postgres"));
        cluster.run(&mut command).unwrap_or_else(|output| panic!("pg_basebackup failed: {output}"));
        cluster.configure();
        cluster
    }

    fn configure(&self) {
        let sockets = self.folder.display();
        let own = format!("{SETTINGS}port = {}\nunix_socket_directories = '{sockets}'\n", self.port);
        fs::OpenOptions::new()
            .append(true)
            .open(self.data().join("postgresql.conf"))
            .and_then(|mut file| file.write_all(own.as_bytes()))
            .unwrap();
    }

    /// Starts the server under its watchdog and waits until it answers. After a crash the backends of the server
    /// before need a moment to notice; until then PostgreSQL refuses to start on their shared memory, so a server that
    /// ends at once is started again.
    #[allow(clippy::zombie_processes, reason = "the watchdog outlives this process on purpose")]
    pub(super) fn start(&self) {
        self.beat();
        let mut watchdog = self.launch();
        let until = Instant::now() + Duration::from_secs(60);
        while !super::answers(&self.url("postgres")) {
            assert!(Instant::now() < until, "the server does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
            if watchdog.try_wait().unwrap().is_some() {
                watchdog = self.launch();
            }
        }
    }

    fn launch(&self) -> Child {
        let mut command = Command::new("sh");
        command
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(binaries())
            .arg(&self.folder)
            .arg(&self.heartbeat)
            .current_dir(&self.folder)
            // Its own group: whoever ends the test's group does not end a server that others use.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        as_stand_in(&mut command).spawn().unwrap()
    }

    /// Ends the server: `INT` is an orderly stop, `KILL` a crash. Returns when it is gone.
    pub(super) fn stop(&self, signal: Signal) {
        let Some(pid) = self.pid() else { return };
        let _ = kill_process(pid, signal);
        let until = Instant::now() + Duration::from_secs(60);
        while test_kill_process(pid).is_ok() {
            assert!(Instant::now() < until, "the server does not stop: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends a signal to the server and to all of its processes, the one that makes new ones first.
    pub(super) fn signal_all(&self, signal: Signal) {
        let Some(server) = self.pid() else { return };
        let _ = kill_process(server, signal);
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        for process in processes {
            let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
            else {
                continue;
            };
            // Number, name in brackets, state, parent; the name may hold anything.
            let stat = fs::read_to_string(process.path().join("stat")).unwrap_or_default();
            let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
            if parent == Some(server.as_raw_nonzero().get()) {
                let _ = kill_process(pid, signal);
            }
        }
    }

    /// Runs statements without waiting for them. DROP DATABASE waits for every session of the server to react, one
    /// that is just logging in included, and that one may be this thread's: to wait here would be to wait for ourselves.
    #[allow(clippy::zombie_processes, reason = "it outlives this process on purpose")]
    pub(super) fn clean_up(&self, statements: &[String]) {
        let mut command = Command::new(binaries().join("psql"));
        command
            .args(["-X", "-q", "-h", "127.0.0.1", "-U", "postgres", "-d", "postgres", "-p"])
            .arg(self.port.to_string())
            .args(statements.iter().flat_map(|statement| ["-c", statement]))
            .env("PGPASSWORD", &self.password)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // At worst everything stays until the server goes.
        let _ = command.spawn();
    }

    pub(super) fn url(&self, database: &str) -> String {
        format!("postgres://postgres:{}@127.0.0.1:{}/{database}?sslmode=disable", self.password, self.port)
    }

    /// Keeps the watchdog from stopping the server for another two minutes.
    pub(super) fn beat(&self) {
        let _ = fs::write(&self.heartbeat, "alive\n");
        let _ = fs::set_permissions(&self.heartbeat, fs::Permissions::from_mode(0o644));
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn pid(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        text.lines().next()?.trim().parse().ok().and_then(Pid::from_raw)
    }

    fn run(&self, command: &mut Command) -> Result<(), String> {
        let output = as_stand_in(command.current_dir(&self.folder)).output().unwrap();
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }
}

/// Where data folders are made: `TENANTRY_TEST_ROOM`, or the system's folder for temporary files. Socket paths must be short.
fn room() -> PathBuf {
    std::env::var_os("TENANTRY_TEST_ROOM").map_or_else(std::env::temp_dir, PathBuf::from)
}

/// Where `postgres` and `initdb` are: `TENANTRY_PG_BIN`, the path, or Debian's folders, newest first.
pub(super) fn binaries() -> PathBuf {
    let named = std::env::var_os("TENANTRY_PG_BIN").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut debian: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    debian.sort();
    named
        .into_iter()
        .chain(std::env::split_paths(&path))
        .chain(debian.into_iter().rev())
        .find(|folder| folder.join("initdb").is_file() && folder.join("postgres").is_file())
        // A link on the path leads to the folder that has `psql` and the others, too.
        .and_then(|folder| fs::canonicalize(folder.join("postgres")).ok()?.parent().map(ToOwned::to_owned))
        .expect("no PostgreSQL found: install its server or set TENANTRY_PG_BIN to the folder of `initdb`")
}

pub(super) fn write_private(path: &Path, text: &str) {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

pub(super) fn random_hex(bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut buffer)).unwrap();
    buffer.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap().port()
}

fn as_stand_in(command: &mut Command) -> &mut Command {
    match stand_in() {
        Some((uid, gid)) => command.uid(uid).gid(gid),
        None => command,
    }
}

/// As whom root runs the server; `None` for everybody else.
fn stand_in() -> Option<(u32, u32)> {
    if !getuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let find = |name: &str| {
        let mut fields = users.lines().find(|line| line.split(':').next() == Some(name))?.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(find("postgres").or_else(|| find("nobody")).expect("a user other than root to run PostgreSQL as"))
}
