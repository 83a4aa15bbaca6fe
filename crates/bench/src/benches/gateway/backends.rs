//! Processor time of the server's sessions, as the kernel counts it.
//!
//! Only sessions that were there before and after are looked at: what others of the server's processes do, and what it costs to
//! open a session, is not part of a transaction.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use tenantry_pg::Pool;

use super::world::World;
use crate::host::Host;
use crate::processor::schedstat;

/// Where to look.
pub struct Backends {
    pool: Pool,
    login: String,
}

/// Microseconds by process.
pub struct Spent(HashMap<i32, f64>);

impl Backends {
    /// Those of the login in which all ways end.
    pub fn of(host: &Host, world: &World) -> Result<Self> {
        Ok(Self { pool: host.pool("postgres", 1)?, login: world.door.target.user().to_owned() })
    }

    /// Spent so far.
    pub async fn spent(&self) -> Result<Spent> {
        let conn = self.pool.get().await?;
        let rows = conn.query("SELECT pid FROM pg_stat_activity WHERE usename = $1", &[&self.login]).await?;
        conn.release();
        let mut spent = HashMap::new();
        for row in rows {
            let pid: i32 = row.try_get("pid")?;
            if let Some(micros) = schedstat(Path::new(&format!("/proc/{pid}"))) {
                spent.insert(pid, micros);
            }
        }
        Ok(Spent(spent))
    }
}

impl Spent {
    /// Since an earlier look.
    pub fn since(&self, before: &Self) -> f64 {
        self.0.iter().filter_map(|(pid, now)| Some(now - before.0.get(pid)?)).sum()
    }
}
