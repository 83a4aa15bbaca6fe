//! One private server: its folder, its process, its address.
//!
//! The folder holds `data/`, `run/` (the socket), `port` and `log`; the password of the superuser lies beside it.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret as _, SecretString};
use tokio::process::{Child, ChildStdin, Command};

use super::account::{self, Account};
use super::binaries::{self, Binaries};
use super::{PostgresError, leftover};
use crate::config::write_private;
use crate::random;

/// Starts the server (`$@`) and stops it when the pipe on standard input closes. Commands in the background ignore
/// SIGINT until they say otherwise; the server does.
const KEEPER: &str = r#"
exec 3<&0 </dev/null
trap '' HUP INT
"$@" 3<&- &
server=$!
( read -r end <&3; kill -INT "$server" 2>/dev/null ) &
reader=$!
wait "$server"; code=$?
kill "$reader" 2>/dev/null
exit "$code"
"#;

/// How long a server may take to get ready; recovery after a crash takes a while.
const READY: Duration = Duration::from_secs(60);

/// How long it may take to stop when asked to.
const STOP: Duration = Duration::from_secs(20);

/// Ports tried before giving up; between choosing and binding somebody else may take one.
const PORTS_TRIED: u32 = 5;

/// A log that is longer begins anew.
const LOG_MAX: u64 = 8 << 20;

/// A socket's path may have 107 bytes; its file is `/.s.PGSQL.65535.lock`.
const SOCKET_FOLDER_MAX: usize = 107 - 21;

/// How to run the server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder of `dev` or `demo`; the server's folder is `postgres` in it.
    pub folder: PathBuf,
    /// Where the programs are, if not in the usual places.
    pub binaries: Option<PathBuf>,
    /// The port; a free one if absent.
    pub port: Option<u16>,
    /// Whether data have to survive a crash of the machine.
    pub is_durable: bool,
}

/// A running server. Dropping it stops it too, without waiting.
#[derive(Debug)]
pub struct Server {
    keeper: Child,
    /// The server lives as long as this end of the pipe is open; waiting for a [`Child`] would close it.
    leash: ChildStdin,
    home: PathBuf,
    port: u16,
    password: SecretString,
}

impl Server {
    /// Brings the server up, on a new or an existing folder. The caller holds the folder's lock.
    ///
    /// # Errors
    /// What is missing or in the way.
    pub async fn start(settings: &Settings) -> Result<Self, PostgresError> {
        let account = account::stand_in()?;
        let home = home(&settings.folder, account)?;
        let data = home.join("data");
        let binaries = binaries::find(settings.binaries.as_deref(), &data)?;
        let password = password(&settings.folder, &data)?;
        if !data.is_dir() {
            initialise(&binaries, &home, account, &password, settings.is_durable).await?;
        }
        if leftover::clear(&data).await? == leftover::Leftover::Stopped {
            tracing::warn!(folder = %data.display(), "stopped a server that an earlier run had left");
        }
        let mut tried = 0;
        loop {
            tried += 1;
            let port = settings.port.map_or_else(|| free_port(&home), Ok)?;
            match launch(&binaries, &home, account, port, settings.is_durable).await {
                Ok((keeper, leash)) => {
                    let _ = fs::write(home.join("port"), format!("{port}\n"));
                    return Ok(Self { keeper, leash, home, port, password });
                }
                Err(PostgresError::Start(log)) if tried < PORTS_TRIED && is_passing(&log, settings.port.is_some()) => {
                    let _ = fs::remove_file(home.join("port"));
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The superuser's URL of a database.
    pub fn url(&self, database: &str) -> SecretString {
        let password = self.password.expose_secret();
        format!("postgres://postgres:{password}@127.0.0.1:{}/{database}?sslmode=disable", self.port).into()
    }

    /// The port on 127.0.0.1.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Where it writes its log.
    pub fn log(&self) -> PathBuf {
        self.home.join("log")
    }

    /// Returns when the server has ended by itself.
    pub async fn ended(&mut self) {
        let _ = self.keeper.wait().await;
    }

    /// Stops it in an orderly way and waits until it is gone.
    ///
    /// # Errors
    /// It does not go.
    pub async fn stop(mut self) -> Result<(), PostgresError> {
        drop(self.leash);
        if tokio::time::timeout(STOP, self.keeper.wait()).await.is_ok() {
            return Ok(());
        }
        leftover::clear(&self.home.join("data")).await.map(|_| ())
    }
}

/// Whether another try may go better: the port was taken meanwhile, or processes of a killed server are still going.
fn is_passing(log: &str, is_port_fixed: bool) -> bool {
    let port_taken = log.contains("could not bind") || log.contains("could not create any TCP/IP sockets");
    (port_taken && !is_port_fixed) || log.contains("pre-existing shared memory block")
}

/// The server's own folder. Where root's stand-in cannot reach the wanted place, it is a link to one that it can.
fn home(folder: &Path, account: Option<Account>) -> Result<PathBuf, PostgresError> {
    let make = |path: &Path| {
        fs::create_dir_all(path).map_err(PostgresError::io(format!("making `{}`", path.display())))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .map_err(PostgresError::io(format!("closing `{}`", path.display())))?;
        account.map_or(Ok(()), |account| account.own(path))
    };
    let wanted = folder.join("postgres");
    if !wanted.exists() {
        let blocked = account.and_then(|account| account.blocked_by(folder));
        if let Some(blocker) = blocked {
            let _ = fs::remove_file(&wanted);
            let name: String = random::hex::<6>().map_err(PostgresError::io("reading randomness"))?;
            let elsewhere = Path::new("/var/lib/tenantry").join(name);
            make(&elsewhere)?;
            symlink(&elsewhere, &wanted).map_err(PostgresError::io(format!("linking `{}`", wanted.display())))?;
            tracing::warn!(
                "PostgreSQL cannot enter `{}` as another user than root: its data are in `{}`",
                blocker.display(),
                elsewhere.display()
            );
        } else {
            make(&wanted)?;
        }
    }
    let home = fs::canonicalize(&wanted).map_err(PostgresError::io(format!("opening `{}`", wanted.display())))?;
    make(&home.join("run"))?;
    Ok(home)
}

fn password(folder: &Path, data: &Path) -> Result<SecretString, PostgresError> {
    let path = folder.join("postgres.password");
    match fs::read_to_string(&path) {
        Ok(text) => return Ok(text.trim().to_owned().into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(PostgresError::io(format!("reading `{}`", path.display()))(error)),
    }
    if data.is_dir() {
        return Err(PostgresError::PasswordLost(data.to_owned()));
    }
    let text: String = random::hex::<24>().map_err(PostgresError::io("reading randomness"))?;
    write_private(&path, &text).map_err(PostgresError::io(format!("writing `{}`", path.display())))?;
    Ok(text.into())
}

/// Makes the data beside their place and moves them there: an interrupted run leaves nothing that looks finished.
async fn initialise(
    binaries: &Binaries,
    home: &Path,
    account: Option<Account>,
    password: &SecretString,
    is_durable: bool,
) -> Result<(), PostgresError> {
    let fresh = home.join("data.new");
    let secret = home.join("password");
    let mut failure = String::new();
    for locale in ["C.UTF-8", "C"] {
        let _ = fs::remove_dir_all(&fresh);
        write_private(&secret, password.expose_secret()).map_err(PostgresError::io("writing the password"))?;
        account.map_or(Ok(()), |account| account.own(&secret))?;
        let mut command = Command::new(binaries.program("initdb"));
        command.args(["--username=postgres", "--encoding=UTF8", "--auth=scram-sha-256"]);
        command.arg(format!("--locale={locale}")).arg("--pwfile").arg(&secret).arg("--pgdata").arg(&fresh);
        if !is_durable {
            command.arg("--no-sync");
        }
        let output = run_as(&mut command, account, home)
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(PostgresError::io("running `initdb`"));
        let _ = fs::remove_file(&secret);
        let output = output?;
        if output.status.success() {
            return fs::rename(&fresh, home.join("data")).map_err(PostgresError::io("moving the new data"));
        }
        failure = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if !failure.contains("locale") {
            break;
        }
    }
    Err(PostgresError::Initdb(failure))
}

fn run_as<'a>(command: &'a mut Command, account: Option<Account>, home: &Path) -> &'a mut Command {
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    // Settings of the user's own server are not for this one.
    for name in ["PGDATA", "PGPORT", "PGHOST", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGOPTIONS"] {
        command.env_remove(name);
    }
    command.current_dir(home)
}

async fn launch(
    binaries: &Binaries,
    home: &Path,
    account: Option<Account>,
    port: u16,
    is_durable: bool,
) -> Result<(Child, ChildStdin), PostgresError> {
    let data = home.join("data");
    let (log, began) = open_log(home, account)?;
    let sockets = socket_folder(home, account)?;
    let mut command = Command::new("sh");
    command.args(["-c", KEEPER, "tenantry-postgres"]).arg(binaries.program("postgres")).arg("-D").arg(&data);
    let settings = [
        ("port", port.to_string()),
        ("listen_addresses", "127.0.0.1".to_owned()),
        ("unix_socket_directories", sockets.display().to_string()),
        ("max_connections", "200".to_owned()),
        // A schema of a tenant is dropped in one transaction, with a lock per object.
        ("max_locks_per_transaction", "256".to_owned()),
        ("log_min_messages", "warning".to_owned()),
        ("logging_collector", "off".to_owned()),
        ("fsync", if is_durable { "on" } else { "off" }.to_owned()),
        ("full_page_writes", if is_durable { "on" } else { "off" }.to_owned()),
        ("synchronous_commit", if is_durable { "on" } else { "off" }.to_owned()),
    ];
    for (name, value) in settings {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    let output = log.try_clone().map_err(PostgresError::io("opening the log"))?;
    let mut keeper = run_as(&mut command, account, home)
        // A group of its own: Ctrl-C is for us, and we stop the server when nobody needs it any more.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(output)
        .stderr(log)
        .spawn()
        .map_err(PostgresError::io("running `sh`"))?;
    let leash = keeper.stdin.take().ok_or_else(|| PostgresError::Start("its `sh` has no input".to_owned()))?;
    let until = Instant::now() + READY;
    while !is_ready(&data, port) {
        let ended = keeper.try_wait().map_err(PostgresError::io("watching the server"))?;
        if ended.is_some() {
            return Err(PostgresError::Start(tail(home, began)));
        }
        if Instant::now() > until {
            return Err(PostgresError::Slow { seconds: READY.as_secs(), log: tail(home, began) });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok((keeper, leash))
}

/// The server writes its state into the eighth line of its file, its port into the fourth.
fn is_ready(data: &Path, port: u16) -> bool {
    let text = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let mut lines = text.lines();
    let same_port = lines.nth(3).is_some_and(|line| line.trim() == port.to_string());
    same_port && lines.nth(3).is_some_and(|line| line.trim() == "ready")
}

fn open_log(home: &Path, account: Option<Account>) -> Result<(fs::File, u64), PostgresError> {
    let path = home.join("log");
    let what = || format!("opening `{}`", path.display());
    let long = fs::metadata(&path).is_ok_and(|data| data.len() > LOG_MAX);
    if long {
        fs::rename(&path, home.join("log.old")).map_err(PostgresError::io(what()))?;
    }
    let mut file = fs::OpenOptions::new().create(true).append(true).open(&path).map_err(PostgresError::io(what()))?;
    account.map_or(Ok(()), |account| account.own(&path))?;
    let began = file.seek(SeekFrom::End(0)).map_err(PostgresError::io(what()))?;
    file.flush().map_err(PostgresError::io(what()))?;
    Ok((file, began))
}

/// What the log says since `began`, the last few lines.
fn tail(home: &Path, began: u64) -> String {
    let mut text = String::new();
    let read = fs::File::open(home.join("log")).and_then(|mut file| {
        file.seek(SeekFrom::Start(began))?;
        file.read_to_string(&mut text)
    });
    if read.is_err() {
        return "its log cannot be read".to_owned();
    }
    let lines: Vec<_> = text.lines().rev().take(6).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("; ")
}

fn socket_folder(home: &Path, account: Option<Account>) -> Result<PathBuf, PostgresError> {
    let own = home.join("run");
    if own.as_os_str().len() <= SOCKET_FOLDER_MAX {
        return Ok(own);
    }
    // Named by the folder, so that a crash leaves no second one.
    let mark = home
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    let short = Path::new("/tmp").join(format!("tn-{mark:016x}"));
    match fs::create_dir(&short) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(PostgresError::io(format!("making `{}`", short.display()))(error));
        }
        _ => {}
    }
    account.map_or(Ok(()), |account| account.own(&short))?;
    fs::set_permissions(&short, fs::Permissions::from_mode(0o700))
        .map_err(PostgresError::io(format!("closing `{}`", short.display())))?;
    Ok(short)
}

/// The port of the last run if it is free, else any free one.
fn free_port(home: &Path) -> Result<u16, PostgresError> {
    let last = fs::read_to_string(home.join("port")).ok().and_then(|text| text.trim().parse::<u16>().ok());
    let bind = |port: u16| TcpListener::bind(("127.0.0.1", port)).and_then(|listener| listener.local_addr());
    let address = last.and_then(|port| bind(port).ok()).map_or_else(|| bind(0), Ok);
    address.map(|address| address.port()).map_err(PostgresError::io("looking for a free port"))
}
