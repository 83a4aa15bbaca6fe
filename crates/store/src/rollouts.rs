//! Rollouts: an app's version on its way to its targets, with how each target stands.
//!
//! INVARIANT: an app has at most one rollout that is not over (one that was given up goes on holding), and a tenant is due for a new version of its app only
//! while its target is at work, or when no rollout is under way. Both are held by statements here and by
//! [`crate::Store::due`].

mod gauges;
mod read;
mod steer;

use serde_json::Value;
use tenantry_domain::Timestamp;
use tenantry_domain::id::{RolloutId, TenantId};
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::rollout::{Status, Strategy, TargetStatus};
use tenantry_domain::workflow::Cause;
use tenantry_pg::{Json, Row};
use uuid::Uuid;

use crate::columns::{count, get, json, json_opt, parse};
use crate::line::Statement;
use crate::{StoreError, WriteTx};

pub use gauges::RolloutGauge;
pub use read::{RolloutCandidate, RolloutCount, TargetFilter};
pub use steer::HomeVerdict;

/// A rollout that is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRollout {
    /// A fresh id.
    pub id: RolloutId,
    /// The app.
    pub app: String,
    /// The version that was the newest before.
    pub base_version: i64,
    /// The version that the targets shall have.
    pub version: i64,
    /// How it shall go.
    pub strategy: Strategy,
    /// The chain of requests.
    pub correlation_id: String,
}

/// A rollout as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutRow {
    /// The partition.
    pub environment: EnvironmentName,
    /// Its id.
    pub id: RolloutId,
    /// The app.
    pub app: String,
    /// The version that whoever is not released yet stays at, unless it has another one already.
    pub base_version: i64,
    /// The version that the targets shall have.
    pub version: i64,
    /// How it shall go.
    pub strategy: Strategy,
    /// How it stands.
    pub status: Status,
    /// Why it stands still.
    pub reason: Option<String>,
    /// The present wave, from 0.
    pub wave: u32,
    /// How many waves there are; 0 while they are being planned.
    pub waves: u32,
    /// When the present wave had nobody left.
    pub wave_ended_at: Option<Timestamp>,
    /// When it began.
    pub created_at: Timestamp,
    /// Who began it.
    pub created_by: String,
    /// The chain of requests.
    pub correlation_id: String,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
}

/// A target that is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTarget {
    /// The cell.
    pub cell: String,
    /// Whose place; absent for what the cell's tenants share.
    pub tenant: Option<TenantId>,
    /// Its wave.
    pub wave: u32,
    /// How it stands at once: waiting, current, or failed with a cause that is known beforehand.
    pub status: TargetStatus,
    /// The version that it has.
    pub from_version: i64,
    /// Why it failed.
    pub cause: Option<Cause>,
}

/// A target as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetRow {
    /// The cell.
    pub cell: String,
    /// Whose place; absent for what the cell's tenants share.
    pub tenant: Option<TenantId>,
    /// The tenant's name.
    pub slug: Option<String>,
    /// Its wave.
    pub wave: u32,
    /// How it stands.
    pub status: TargetStatus,
    /// The version that it had.
    pub from_version: i64,
    /// How often the shared tables were tried.
    pub attempts: u32,
    /// Why it failed, or why it is tried again.
    pub cause: Option<Cause>,
    /// Shared tables are not tried again before.
    pub wake_at: Option<Timestamp>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// The columns that [`read`] needs.
macro_rules! rollout_columns {
    () => {
        "r.env, r.id, r.app, r.base_version, r.version, r.strategy, r.status, r.reason, r.wave, r.waves, r.wave_ended_at, \
         r.created_at, r.created_by, r.correlation_id, r.ended_at"
    };
}
pub(crate) use rollout_columns;

fn whole(row: &Row, name: &'static str) -> Result<u32, StoreError> {
    u32::try_from(get::<i32>(row, name)?).map_err(|_| StoreError::Unreadable { what: name })
}

fn read(row: &Row) -> Result<RolloutRow, StoreError> {
    Ok(RolloutRow {
        environment: parse(row, "env")?,
        id: RolloutId::from_uuid(get(row, "id")?),
        app: get(row, "app")?,
        base_version: get(row, "base_version")?,
        version: get(row, "version")?,
        strategy: json(row, "strategy")?,
        status: parse(row, "status")?,
        reason: get(row, "reason")?,
        wave: whole(row, "wave")?,
        waves: whole(row, "waves")?,
        wave_ended_at: get(row, "wave_ended_at")?,
        created_at: get(row, "created_at")?,
        created_by: get(row, "created_by")?,
        correlation_id: get(row, "correlation_id")?,
        ended_at: get(row, "ended_at")?,
    })
}

fn read_target(row: &Row) -> Result<TargetRow, StoreError> {
    Ok(TargetRow {
        cell: get(row, "cell")?,
        tenant: owner(row)?,
        slug: get(row, "slug")?,
        wave: whole(row, "wave")?,
        status: parse(row, "status")?,
        from_version: get(row, "from_version")?,
        attempts: whole(row, "attempts")?,
        cause: json_opt(row, "cause")?,
        wake_at: get(row, "wake_at")?,
        started_at: get(row, "started_at")?,
        ended_at: get(row, "ended_at")?,
    })
}

fn owner(row: &Row) -> Result<Option<TenantId>, StoreError> {
    let id: Uuid = get(row, "tenant")?;
    Ok((!id.is_nil()).then(|| TenantId::from_uuid(id)))
}

fn key(tenant: Option<TenantId>) -> Uuid {
    tenant.map_or(Uuid::nil(), TenantId::uuid)
}

/// A newer version takes the place of one under way, and stands on what that one stood on: it never reached everybody.
const OPEN: &str = concat!(
    "WITH old AS (
        UPDATE tenantry.rollout SET status = 'superseded', ended_at = coalesce(ended_at, $5), owner = NULL, lease_until = NULL
        WHERE env = $1 AND app = $3 AND status IN ('planning', 'running', 'waiting', 'paused', 'halted', 'cancelled')
        RETURNING base_version
    )
    INSERT INTO tenantry.rollout AS r
        (env, id, app, base_version, version, strategy, status, created_at, created_by, correlation_id)
    SELECT $1, $2, $3, coalesce((SELECT min(base_version) FROM old), $6), $7, $8, 'planning', $5, $4, $9
    RETURNING ",
    rollout_columns!()
);

const PLAN: &str = "
    INSERT INTO tenantry.rollout_target (env, rollout, cell, tenant, wave, status, from_version, cause, ended_at)
    SELECT $1, $2, n.cell, n.tenant, n.wave, n.status, n.from_version, n.cause,
        CASE WHEN n.status IN ('current', 'failed') THEN $3::timestamptz END
    FROM unnest($4::text[], $5::uuid[], $6::integer[], $7::text[], $8::bigint[], $9::jsonb[])
        AS n (cell, tenant, wave, status, from_version, cause)
    ON CONFLICT DO NOTHING";

/// Rollouts inside a transaction.
pub struct Rollouts<'a> {
    pub(crate) tx: &'a mut WriteTx,
}

impl Rollouts<'_> {
    /// Begins a rollout; one of the same app that is under way is superseded. It is planned later.
    ///
    /// # Errors
    /// The database's.
    pub async fn open(&mut self, new: &NewRollout) -> Result<RolloutRow, StoreError> {
        let statement = Statement::new(OPEN)
            .bind(self.tx.env())
            .bind(new.id.uuid())
            .bind(new.app.clone())
            .bind(self.tx.actor.to_string())
            .bind(self.tx.now)
            .bind(new.base_version)
            .bind(new.version)
            .bind(Json(new.strategy.clone()))
            .bind(new.correlation_id.clone());
        let rows = self.tx.rows(statement).await?;
        self.tx.wrote = true;
        read(rows.first().ok_or(StoreError::NotFound)?)
    }

    /// Writes the targets of a locked rollout; those that it has already stay as they are.
    pub fn plan(&mut self, id: RolloutId, targets: &[NewTarget]) {
        let statement = Statement::new(PLAN)
            .bind(self.tx.env())
            .bind(id.uuid())
            .bind(self.tx.now)
            .bind(targets.iter().map(|target| target.cell.clone()).collect::<Vec<_>>())
            .bind(targets.iter().map(|target| key(target.tenant)).collect::<Vec<_>>())
            .bind(targets.iter().map(|target| i32::try_from(target.wave).unwrap_or(i32::MAX)).collect::<Vec<_>>())
            .bind(targets.iter().map(|target| target.status.as_str().to_owned()).collect::<Vec<_>>())
            .bind(targets.iter().map(|target| target.from_version).collect::<Vec<_>>())
            .bind(targets.iter().map(|target| cause_document(target.cause.as_ref())).collect::<Vec<_>>());
        self.tx.queue(statement);
    }
}

/// What a summary of a rollout's targets holds.
pub(crate) fn read_count(row: &Row) -> Result<RolloutCount, StoreError> {
    Ok(RolloutCount { wave: whole(row, "wave")?, status: parse(row, "status")?, count: count(row, "n")? })
}

/// A cause as a column takes it.
fn cause_document(cause: Option<&Cause>) -> Option<Json<Value>> {
    cause.and_then(|cause| serde_json::to_value(cause).ok()).map(Json)
}
