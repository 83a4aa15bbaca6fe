//! A `tenantry serve` as a user runs it: the binary beside this one, on an installation of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::bed::{Bed, CELL_VARIABLE};
use crate::host::Host;

/// How long a server may take to answer.
const START: Duration = Duration::from_secs(30);

/// Why there is none, for the report.
pub const MISSING: &str = "skipped: the binary `tenantry` is not beside this one; `cargo xtask bench` builds both";

/// The product's binary of the same build.
pub fn binary() -> Option<PathBuf> {
    let here = std::env::current_exe().ok()?;
    let beside = here.parent()?.join("tenantry");
    beside.is_file().then_some(beside)
}

/// A server; it is stopped with this value.
pub struct Served {
    child: Child,
    address: String,
    /// The first administrator's token.
    pub token: String,
    _folder: tempfile::TempDir,
}

impl Served {
    /// Starts one and waits until it is ready. Every tenant has a subdomain of `example.com`.
    pub async fn start(host: &Host, bed: &Bed, binary: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (key, token) = (folder.path().join("root.key"), folder.path().join("admin.token"));
        std::fs::write(&key, bed.root_hex.expose_secret())?;
        let made = Command::new(binary).args(["secret", "token", "--output-file"]).arg(&token).output().await?;
        ensure!(made.status.success(), "no token: {}", String::from_utf8_lossy(&made.stderr));
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        drop(listener);
        let child = Command::new(binary)
            .args(["serve", "--base-domain", "example.com"])
            .env("TENANTRY_DATABASE_URL", host.url(&bed.control).expose_secret())
            .env("TENANTRY_ROOT_KEY_FILE", &key)
            .env("TENANTRY_BOOTSTRAP_TOKEN_FILE", &token)
            .env("TENANTRY_LISTEN", &address)
            .env("TENANTRY_LOG", "warn")
            .env_remove("TENANTRY_CONFIG")
            .env("XDG_CONFIG_HOME", folder.path())
            .env(CELL_VARIABLE, host.url("postgres").expose_secret())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("starting the server")?;
        let token = std::fs::read_to_string(&token)?.trim().to_owned();
        let mut served = Self { child, address, token, _folder: folder };
        served.ready().await?;
        Ok(served)
    }

    async fn ready(&mut self) -> Result<()> {
        let until = Instant::now() + START;
        loop {
            let asked = async { self.connect().await?.get("/readyz", "").await };
            if asked.await.is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended: {status}");
            }
            ensure!(Instant::now() < until, "the server did not become ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Its process.
    pub fn pid(&self) -> Result<u32> {
        self.child.id().context("the server ended")
    }

    /// A connection that is kept open.
    pub async fn connect(&self) -> Result<Wire> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        Ok(Wire { stream: BufReader::new(stream) })
    }

    /// Ends it; it has nothing to lose.
    pub async fn stop(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// One connection, one request at a time.
pub struct Wire {
    stream: BufReader<TcpStream>,
}

/// An answer.
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: String,
}

impl Wire {
    /// Asks for a path; `headers` are whole lines, each with its end.
    pub async fn get(&mut self, path: &str, headers: &str) -> Result<Reply> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n{headers}\r\n");
        self.stream.write_all(request.as_bytes()).await?;
        let (mut line, mut length) = (String::new(), 0);
        self.stream.read_line(&mut line).await?;
        let status = line.split(' ').nth(1).and_then(|word| word.parse().ok()).context("no status line")?;
        loop {
            line.clear();
            ensure!(self.stream.read_line(&mut line).await? > 0, "the server hung up");
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok(Reply { status, body: String::from_utf8_lossy(&body).into_owned() })
    }
}
