//! The gate: letting a tenant's users in, and shutting them out within a second.
//!
//! Shutting works from the inside out: first the registry row, committed, so that no transaction begins any more; then
//! the login, so that no session begins; then the sessions that are still there are ended. At the shared level those
//! are the ones that hold the tenant's advisory lock, which every transaction takes before it looks at the row.

use std::collections::BTreeSet;
use std::time::Duration;

use tenantry_domain::isolation::Isolation;
use tenantry_pg::{Pool, Session};
use tokio::time::Instant;

use crate::catalog::get;
use crate::cell::Cell;
use crate::claim::{self, Record};
use crate::error::DataError;
use crate::isolation::Site;
use crate::roles;
use crate::space::{Claim, Gate, Space};

/// How long sessions may take to end once they were told to.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks at the sessions.
const LOOK: Duration = Duration::from_millis(10);

/// What moving the gate did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gated {
    /// Sessions of the tenant that were ended.
    pub cut: u32,
}

impl Cell {
    /// Opens or shuts a tenant's gate. Opening also publishes the placement's generation and the bound on connections.
    /// When this returns from shutting, no transaction of the tenant is open and none can begin.
    ///
    /// # Errors
    /// The place does not exist, the claim or the generation is outdated, or sessions did not end in time.
    pub async fn set_gate(&self, space: &Space, claim: &Claim, gate: Gate) -> Result<Gated, DataError> {
        let site = Site::find(self, space, claim).await?;
        let home = self.home_pool(&site.names);
        match space.isolation {
            Isolation::Shared | Isolation::Schema => move_gate(&site, &home, gate).await,
            Isolation::Database | Isolation::Cluster => {
                // The home's row only holds claims: it stays shut, since nothing of the tenant is there.
                let tx = home.begin().await?;
                let record = claim::hold_existing(self, &tx, space.tenant, claim).await?;
                newer_only(space, &record)?;
                let sql = "UPDATE tenantry.tenant SET epoch = $2, path = $3 WHERE tenant_id = $1";
                tx.execute(sql, &[&space.tenant.uuid(), &space.epoch, &site.place.path()]).await?;
                note_opening(&tx, space, gate).await?;
                site.present(&tx).await?;
                tx.commit().await?;
                let pool = self.tenant_pool(&site.place.database);
                move_gate(&site, &pool, gate).await
            }
        }
    }
}

async fn move_gate(site: &Site<'_>, pool: &Pool, gate: Gate) -> Result<Gated, DataError> {
    let space = site.space;
    let tx = pool.begin().await?;
    let record = claim::hold_existing(site.cell, &tx, space.tenant, site.claim).await?;
    newer_only(space, &record)?;
    if space.isolation == Isolation::Schema {
        site.present(&tx).await?;
    }
    let own = space.isolation.has_own_role().then_some(site.place.login.as_ref()).flatten();
    if gate == Gate::Open {
        let sql = "UPDATE tenantry.tenant SET state = 'a', epoch = $2, path = $3 WHERE tenant_id = $1";
        tx.execute(sql, &[&space.tenant.uuid(), &space.epoch, &site.place.path()]).await?;
        note_opening(&tx, space, gate).await?;
        if let Some(login) = own {
            tx.batch(&roles::let_in(login, space.connections)).await?;
        }
        tx.commit().await?;
        return Ok(Gated { cut: 0 });
    }
    let sql = "UPDATE tenantry.tenant SET state = $2::text::\"char\" WHERE tenant_id = $1";
    tx.execute(sql, &[&space.tenant.uuid(), &gate.letter()]).await?;
    tx.commit().await?;
    if let Some(login) = own {
        let tx = pool.begin().await?;
        claim::hold_existing(site.cell, &tx, space.tenant, site.claim).await?;
        if roles::find(&tx, login, &site.marks()).await?.is_some() {
            tx.batch(&roles::keep_out(login)).await?;
        }
        tx.commit().await?;
    }
    cut(site, pool).await
}

/// Ends the tenant's sessions and waits until two looks in a row find none.
async fn cut(site: &Site<'_>, pool: &Pool) -> Result<Gated, DataError> {
    let conn = pool.get().await?;
    let began = Instant::now();
    let mut ended = BTreeSet::new();
    let mut looks_without = 0;
    loop {
        // A transaction that is about to end by itself is not worth a broken connection. Sessions of a login of the
        // tenant's own are ended at once: they would otherwise stay, idle, as long as their client wants.
        let spare = !site.space.isolation.has_own_role() && began.elapsed() < site.cell.options.grace;
        let left = sessions(site, &conn, spare).await?;
        if left.is_empty() {
            looks_without += 1;
            if looks_without == 2 {
                conn.release();
                return Ok(Gated { cut: u32::try_from(ended.len()).unwrap_or(u32::MAX) });
            }
        } else {
            looks_without = 0;
            if !spare {
                ended.extend(left.iter().copied());
            }
            if began.elapsed() > PATIENCE {
                return Err(DataError::Uncut { sessions: u32::try_from(left.len()).unwrap_or(u32::MAX) });
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The tenant's sessions; told to end unless they are spared. Looking and telling is one statement, because a shared
/// session that ends its transaction serves a neighbour next.
async fn sessions(site: &Site<'_>, session: &Session, spare: bool) -> Result<Vec<i32>, DataError> {
    let login = site.place.login.as_ref().map(|login| login.as_str()).unwrap_or_default();
    let rows = match (site.space.isolation.has_own_role(), spare) {
        (false, true) => session.query("SELECT seal.sessions($1)", &[&site.space.tenant.uuid()]).await?,
        (false, false) => {
            let sql = "SELECT pid FROM seal.sessions($1) AS pid, pg_terminate_backend(pid)";
            session.query(sql, &[&site.space.tenant.uuid()]).await?
        }
        (true, _) => {
            let sql = "SELECT pid FROM pg_stat_activity, pg_terminate_backend(pid) WHERE usename = $1";
            session.query(sql, &[&login]).await?
        }
    };
    rows.iter().map(|row| get(row, 0)).collect()
}

/// The generation of a place only grows; a caller that knows an older one has an outdated placement.
fn newer_only(space: &Space, record: &Record) -> Result<(), DataError> {
    if record.epoch > space.epoch {
        return Err(DataError::Fenced { held: space.epoch, seen: record.epoch });
    }
    Ok(())
}

async fn note_opening(session: &Session, space: &Space, gate: Gate) -> Result<(), DataError> {
    if gate == Gate::Open {
        let sql = "UPDATE ledger.space SET opened_at = coalesce(opened_at, now()), isolation = $2 WHERE tenant_id = $1";
        session.execute(sql, &[&space.tenant.uuid(), &space.isolation.as_str()]).await?;
    }
    Ok(())
}
