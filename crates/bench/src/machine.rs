//! Where and with what the figures came about: a figure without it means nothing.

use std::fmt;
use std::fs;
use std::process::Command;

use anyhow::Result;
use serde::Serialize;

use crate::host::Host;

/// Machine, versions, settings.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    cpu: String,
    cores: usize,
    memory_mib: u64,
    kernel: String,
    load_before: String,
    load_after: String,
    at: String,
    revision: String,
    rustc: String,
    build: &'static str,
    postgres: String,
    settings: Vec<(String, String)>,
}

const ASKED: &str = "
    SELECT name, current_setting(name) AS value FROM pg_settings
     WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes', 'shared_buffers', 'max_wal_size',
                    'max_connections', 'wal_level', 'autovacuum')
     ORDER BY name";

impl Machine {
    /// Looks around.
    pub async fn look(host: &Host) -> Result<Self> {
        let conn = host.pool("postgres", 1)?.get().await?;
        let version = conn.query_one("SELECT current_setting('server_version') AS v", &[]);
        let postgres = version.await?.try_get("v")?;
        let rows = conn.query(ASKED, &[]).await?;
        conn.release();
        let settings =
            rows.iter().map(|row| Ok((row.try_get("name")?, row.try_get("value")?))).collect::<Result<_>>()?;
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        Ok(Self {
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_default(),
            cores,
            memory_mib: memory_mib(),
            kernel: read("/proc/sys/kernel/osrelease"),
            load_before: load(),
            load_after: String::new(),
            at: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
            revision: revision(),
            rustc: said("rustc", &["--version"]),
            build: if cfg!(debug_assertions) { "debug: the figures mean nothing" } else { "release" },
            postgres,
            settings,
        })
    }

    /// Notes the load at the end.
    pub fn finish(&mut self) {
        self.load_after = load();
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// The value of a `name: value` line.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn memory_mib() -> u64 {
    let text = field("/proc/meminfo", "MemTotal").unwrap_or_default();
    let kib = text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

/// One, five and fifteen minutes: others may have been at work.
fn load() -> String {
    read("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

fn revision() -> String {
    let head = said("git", &["rev-parse", "--short=12", "HEAD"]);
    let changed = said("git", &["status", "--porcelain", "--untracked-files=no"]);
    if head.is_empty() {
        return "unknown".to_owned();
    }
    let suffix = if changed.is_empty() { "" } else { " with changes" };
    format!("{head}{suffix}")
}

/// This process, and those it takes along, on one core. Ends when dropped.
pub struct Pinned {
    core: String,
    /// Where it may run otherwise.
    cores: String,
}

impl Pinned {
    /// Binds all threads of this process to the last core it may use; nothing where that is not possible.
    pub fn here() -> Option<Self> {
        let cores = field("/proc/self/status", "Cpus_allowed_list")?;
        let core = cores.rsplit([',', '-']).next()?.to_owned();
        let pinned = Self { core, cores };
        bind(&pinned.core, std::process::id().cast_signed()).then_some(pinned)
    }

    /// Binds another process to the same core.
    pub fn take(&self, process: i32) -> Result<()> {
        anyhow::ensure!(bind(&self.core, process), "process {process} could not be bound to core {}", self.core);
        Ok(())
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        bind(&self.cores, std::process::id().cast_signed());
    }
}

/// Threads that start later take after the thread that starts them.
fn bind(cores: &str, process: i32) -> bool {
    let output = Command::new("taskset").args(["-acp", cores, &process.to_string()]).output();
    output.is_ok_and(|output| output.status.success())
}

/// What a program says; nothing when it is not there.
fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let output = output.ok().filter(|output| output.status.success());
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, cores, memory_mib, kernel, .. } = self;
        writeln!(f, "{cpu}, {cores} cores, {memory_mib} MiB, Linux {kernel}")?;
        let Self { revision, rustc, build, at, .. } = self;
        writeln!(f, "revision {revision}, {rustc}, {build}, {at}")?;
        writeln!(f, "load before {}, after {}", self.load_before, self.load_after)?;
        let settings = self.settings.iter().map(|(name, value)| format!("{name} {value}"));
        let settings = settings.collect::<Vec<_>>().join(", ");
        write!(f, "PostgreSQL {}: {settings}", self.postgres)
    }
}
