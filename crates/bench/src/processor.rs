//! Time on processors, as the kernel counts it: ours, and that of all processes of a server.
//!
//! Unlike a clock on the wall it hardly depends on what else the machine does, so it says where a difference in speed
//! comes from.

use std::fs;

use anyhow::{Context as _, Result};

use crate::host::Host;

/// Where to look.
pub struct Processor {
    postmaster: i32,
}

/// Microseconds spent so far, or between two looks.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    /// By this process.
    pub ours: f64,
    /// By the server's processes.
    pub server: f64,
}

impl Processor {
    /// Finds the server's processes.
    pub async fn of(host: &Host) -> Result<Self> {
        let conn = host.pool("postgres", 1)?.get().await?;
        let row = conn.query_one("SELECT current_setting('data_directory')", &[]).await?;
        conn.release();
        let file = format!("{}/postmaster.pid", row.try_get::<_, &str>(0)?);
        let text = fs::read_to_string(file).context("reading the server's pid file")?;
        let postmaster = text.lines().next().context("an empty pid file")?.trim().parse()?;
        Ok(Self { postmaster })
    }

    /// Spent so far. Processes that ended since the last look are missing.
    pub fn spent(&self) -> Result<Spent> {
        let ours = fs::read_dir("/proc/self/task")?.flatten().filter_map(|task| schedstat(&task.path()));
        let all = fs::read_dir("/proc")?.flatten();
        let servers = all.filter(|entry| self.is_child(&entry.path())).filter_map(|entry| schedstat(&entry.path()));
        Ok(Spent { ours: ours.sum(), server: servers.sum() })
    }

    fn is_child(&self, process: &std::path::Path) -> bool {
        // `pid (name) state ppid …`; a name may hold spaces and parentheses.
        let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        rest.split_whitespace().nth(1).and_then(|parent| parent.parse().ok()) == Some(self.postmaster)
    }
}

impl Spent {
    /// Since an earlier look.
    pub fn since(self, before: Self) -> Self {
        Self { ours: self.ours - before.ours, server: self.server - before.server }
    }

    /// Per unit of work.
    pub fn per(self, count: f64) -> Self {
        Self { ours: self.ours / count, server: self.server / count }
    }
}

/// Microseconds of one process or thread.
pub fn schedstat(process: &std::path::Path) -> Option<f64> {
    let text = fs::read_to_string(process.join("schedstat")).ok()?;
    Some(text.split_whitespace().next()?.parse::<f64>().ok()? / 1000.0)
}
