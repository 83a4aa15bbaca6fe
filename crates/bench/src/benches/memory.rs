//! How much memory an idle `tenantry serve` takes.
//!
//! The release binary beside this one, as a user runs it, on an installation of its own: first as it was installed,
//! then with a cell and a thousand tenants, after its first drift check.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::Bench;
use crate::bed::{Bed, CELL_VARIABLE};
use crate::crowd;
use crate::measure::Size;
use crate::report::Figure;

/// How long a server may take to answer.
const START: Duration = Duration::from_secs(30);

pub async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let Some(binary) = binary() else {
        bench.note("skipped: the binary `tenantry` is not beside this one; `cargo xtask bench` builds both");
        return Ok(());
    };
    let idle = Duration::from_secs(bench.size.pick(10, 10, 1));
    let bare = Bed::empty(bench.host, "memory-bare", 2).await?;
    let found = observe(bench, &binary, &bare, idle).await?;
    bench.say(
        Figure::rounds(format!("fresh installation, idle for {} s: RSS", idle.as_secs()), "MiB", &[found.rss])
            .at_most(64.0),
    );
    bench.say(Figure::rounds("of it: PSS", "MiB", &[found.pss]));
    if bench.size == Size::Tiny {
        return Ok(());
    }
    let full = Bed::install(bench.host, "memory-full", 10).await?;
    let count = bench.size.pick(1_000, 200, 10);
    let members = crowd::make(&full, "idle", count, |_, _| {})?;
    crowd::register(&full, bench.host, &members).await?;
    full.onboard_one().await?;
    crowd::admit(&full, bench.host, &members).await?;
    // The first drift check comes with the start, the second after thirty seconds.
    let idle = Duration::from_secs(bench.size.pick(45, 10, 1));
    let found = observe(bench, &binary, &full, idle).await?;
    let title = format!("{count} tenants on one cell, idle for {} s: RSS", idle.as_secs());
    bench.say(Figure::rounds(title, "MiB", &[found.rss]).at_most(64.0));
    bench.say(Figure::rounds("of it: PSS", "MiB", &[found.pss]));
    Ok(())
}

struct Found {
    rss: f64,
    pss: f64,
}

/// The product's binary of the same build.
fn binary() -> Option<PathBuf> {
    let here = std::env::current_exe().ok()?;
    let beside = here.parent()?.join("tenantry");
    beside.is_file().then_some(beside)
}

async fn observe(bench: &Bench<'_>, binary: &Path, bed: &Bed, idle: Duration) -> Result<Found> {
    let folder = tempfile::tempdir()?;
    let key = folder.path().join("root.key");
    std::fs::write(&key, bed.root_hex.expose_secret())?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    drop(listener);
    let mut server = Command::new(binary)
        .arg("serve")
        .env("TENANTRY_DATABASE_URL", bench.host.url(&bed.control).expose_secret())
        .env("TENANTRY_ROOT_KEY_FILE", &key)
        .env("TENANTRY_LISTEN", address.to_string())
        .env("TENANTRY_LOG", "warn")
        .env_remove("TENANTRY_CONFIG")
        .env("XDG_CONFIG_HOME", folder.path())
        .env(CELL_VARIABLE, bench.host.url("postgres").expose_secret())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("starting the server")?;
    let measured = measure(&mut server, &address.to_string(), idle).await;
    // It is ours, and has nothing to lose.
    let _ = server.kill().await;
    measured
}

async fn measure(server: &mut Child, address: &str, idle: Duration) -> Result<Found> {
    let until = Instant::now() + START;
    while !is_ready(address).await {
        if let Some(status) = server.try_wait()? {
            bail!("the server ended: {status}");
        }
        ensure!(Instant::now() < until, "the server did not become ready");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(idle).await;
    let pid = server.id().context("the server ended")?;
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let mib = |name: &str| -> Result<f64> {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|rest| rest.split_whitespace().next()).context("no such line in smaps_rollup")?;
        Ok(kib.parse::<f64>()? / 1024.0)
    };
    Ok(Found { rss: mib("Rss:")?, pss: mib("Pss:")? })
}

async fn is_ready(address: &str) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer.starts_with("HTTP/1.1 200"))
    };
    ask.await.unwrap_or(false)
}
