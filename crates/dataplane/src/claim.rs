//! The fence: a claim that is older than one already seen changes nothing.
//!
//! Every transaction that changes something for a tenant begins here. It takes the tenant's lock, compares the claim
//! with the newest one that the registry or a tombstone knows, and writes it down, so that all that follows in the
//! transaction is done under a claim that was the newest at its commit.

use tenantry_domain::id::TenantId;
use tenantry_pg::{Row, Session};

use crate::catalog::get;
use crate::cell::Cell;
use crate::error::DataError;
use crate::space::{Claim, Gate, Space};

/// A tenant's row in the registry, as it is while we hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub gate: Gate,
    pub epoch: i64,
    pub path: String,
    /// The workflow that made it.
    pub created_by: String,
    /// It was not there before.
    pub fresh: bool,
}

/// Takes the lock of a tenant until the end of the transaction. It is needed where there is no row yet to lock.
async fn lock(cell: &Cell, session: &Session, tenant: TenantId) -> Result<(), DataError> {
    let key = cell.lock_key("tenant", &tenant.to_string());
    session.execute("SELECT pg_advisory_xact_lock($1)", &[&key]).await?;
    Ok(())
}

/// Holds the tenant's row under this claim. `None` when there is no row, and no newer claim is known.
pub(crate) async fn hold(
    cell: &Cell,
    session: &Session,
    tenant: TenantId,
    claim: &Claim,
) -> Result<Option<Record>, DataError> {
    lock(cell, session, tenant).await?;
    let sql = "UPDATE tenantry.tenant SET fence = $2 WHERE tenant_id = $1 AND fence <= $2
               RETURNING state::text, epoch, path, created_by, false";
    if let Some(row) = session.query_opt(sql, &[&tenant.uuid(), &claim.fence]).await? {
        return record(&row).map(Some);
    }
    match newest(session, tenant).await? {
        Some(seen) if seen > claim.fence => Err(DataError::Fenced { held: claim.fence, seen }),
        _ => Ok(None),
    }
}

/// [`hold`], where a missing row is a failure.
pub(crate) async fn hold_existing(
    cell: &Cell,
    session: &Session,
    tenant: TenantId,
    claim: &Claim,
) -> Result<Record, DataError> {
    hold(cell, session, tenant, claim).await?.ok_or_else(|| DataError::Missing { object: format!("tenant {tenant}") })
}

/// Holds the tenant's row, making it if need be: shut, and leading to `path`.
pub(crate) async fn enroll(
    cell: &Cell,
    session: &Session,
    space: &Space,
    claim: &Claim,
    path: &str,
) -> Result<Record, DataError> {
    lock(cell, session, space.tenant).await?;
    let sql = "INSERT INTO tenantry.tenant (tenant_id, epoch, state, path, fence, created_by)
        SELECT $1, $2, 'p', $3, $4, $5
         WHERE NOT EXISTS (SELECT FROM ledger.tombstone WHERE tenant = sha256(uuid_send($1)) AND fence > $4)
        ON CONFLICT (tenant_id) DO UPDATE SET fence = EXCLUDED.fence,
            epoch = CASE WHEN tenant.state = 'p' THEN EXCLUDED.epoch ELSE tenant.epoch END
            WHERE tenant.fence <= EXCLUDED.fence
        RETURNING state::text, epoch, path, created_by, xmax = 0";
    let workflow = claim.workflow.to_string();
    let row = session.query_opt(sql, &[&space.tenant.uuid(), &space.epoch, &path, &claim.fence, &workflow]).await?;
    if let Some(row) = row {
        session
            .execute(
                "INSERT INTO ledger.space (tenant_id, isolation) VALUES ($1, $2)
                 ON CONFLICT (tenant_id) DO UPDATE SET isolation = EXCLUDED.isolation",
                &[&space.tenant.uuid(), &space.isolation.as_str()],
            )
            .await?;
        return record(&row);
    }
    let seen = newest(session, space.tenant).await?.unwrap_or(i64::MAX);
    Err(DataError::Fenced { held: claim.fence, seen })
}

/// Removes the tenant's row, which is held, and leaves only the claim behind, under a hash.
pub(crate) async fn bury(session: &Session, tenant: TenantId, claim: &Claim) -> Result<(), DataError> {
    for sql in ["DELETE FROM tenantry.tenant WHERE tenant_id = $1", "DELETE FROM ledger.space WHERE tenant_id = $1"] {
        session.execute(sql, &[&tenant.uuid()]).await?;
    }
    let sql = "INSERT INTO ledger.tombstone AS old (tenant, fence) VALUES (sha256(uuid_send($1)), $2)
               ON CONFLICT (tenant) DO UPDATE SET fence = greatest(old.fence, EXCLUDED.fence), erased_at = now()";
    session.execute(sql, &[&tenant.uuid(), &claim.fence]).await?;
    Ok(())
}

/// The tenant's row without holding it.
pub(crate) async fn look(session: &Session, tenant: TenantId) -> Result<Option<Record>, DataError> {
    let sql = "SELECT state::text, epoch, path, created_by, false FROM tenantry.tenant WHERE tenant_id = $1";
    session.query_opt(sql, &[&tenant.uuid()]).await?.as_ref().map(record).transpose()
}

async fn newest(session: &Session, tenant: TenantId) -> Result<Option<i64>, DataError> {
    let sql = "SELECT max(fence) FROM (SELECT fence FROM tenantry.tenant WHERE tenant_id = $1
               UNION ALL SELECT fence FROM ledger.tombstone WHERE tenant = sha256(uuid_send($1))) AS known";
    get(&session.query_one(sql, &[&tenant.uuid()]).await?, 0)
}

fn record(row: &Row) -> Result<Record, DataError> {
    Ok(Record {
        gate: Gate::of(get(row, 0)?),
        epoch: get(row, 1)?,
        path: get(row, 2)?,
        created_by: get(row, 3)?,
        fresh: get(row, 4)?,
    })
}
