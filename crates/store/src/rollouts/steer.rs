//! Moving a rollout: what its targets have come to, who begins next, where it stands.

use tenantry_domain::Timestamp;
use tenantry_domain::id::{RolloutId, TenantId};
use tenantry_domain::rollout::TargetStatus;
use tenantry_domain::workflow::Cause;
use uuid::Uuid;

use super::{RolloutRow, Rollouts, cause_document, key, owner, read, rollout_columns};
use crate::StoreError;
use crate::columns::{count, get};
use crate::line::Statement;
use crate::row::uuids;

const LOCK: &str = concat!(
    "SELECT ",
    rollout_columns!(),
    " FROM tenantry.rollout AS r WHERE r.env = $1 AND r.id = $2 FOR NO KEY UPDATE"
);

const LOCK_OF_APP: &str = concat!(
    "SELECT ",
    rollout_columns!(),
    " FROM tenantry.rollout AS r WHERE r.env = $1 AND r.app = $2
        AND r.status IN ('planning', 'running', 'waiting', 'paused', 'halted') FOR NO KEY UPDATE"
);

const STAND: &str = "
    UPDATE tenantry.rollout SET status = $3, reason = $4, wave = $5, waves = $6, wave_ended_at = $7, ended_at = $8
    WHERE env = $1 AND id = $2";

/// What the tenants' rows say of the targets at work. A tenant that is gone, archived or about to be needs no new
/// structure: it gets it when it comes back.
const SETTLE: &str = "
    WITH seen AS (
        SELECT g.cell, g.tenant, CASE
                WHEN t.id IS NULL OR t.phase NOT IN ('active', 'suspended') THEN 'skipped'
                WHEN t.app_version >= $3 THEN 'done'
                WHEN t.failed_version >= t.version OR w.status = 'stuck' THEN 'failed'
            END AS status,
            CASE WHEN t.app_version < $3 THEN coalesce(CASE WHEN w.status = 'stuck' THEN w.cause END, t.failure) END AS cause
        FROM tenantry.rollout_target AS g
        LEFT JOIN tenantry.tenant AS t ON t.env = g.env AND t.id = g.tenant
        LEFT JOIN tenantry.workflow AS w ON w.env = g.env AND w.tenant = g.tenant AND w.status IN ('running', 'stuck')
        WHERE g.env = $1 AND g.rollout = $2 AND g.status = 'running' AND g.tenant <> $5
    )
    UPDATE tenantry.rollout_target AS g SET status = seen.status, cause = seen.cause, ended_at = $4
    FROM seen WHERE g.env = $1 AND g.rollout = $2 AND g.cell = seen.cell AND g.tenant = seen.tenant AND seen.status IS NOT NULL
    RETURNING g.cell, g.tenant, g.status";

const RELEASE: &str = "
    UPDATE tenantry.rollout_target AS g SET status = 'running', started_at = $4, ended_at = NULL, cause = NULL
    FROM (
        SELECT cell, tenant FROM tenantry.rollout_target
        WHERE env = $1 AND rollout = $2 AND wave = $3 AND status = 'waiting' AND cell = $5
        ORDER BY tenant LIMIT $6
    ) AS n
    WHERE g.env = $1 AND g.rollout = $2 AND g.cell = n.cell AND g.tenant = n.tenant
    RETURNING g.cell, g.tenant";

/// What came of the shared tables of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HomeVerdict<'a> {
    /// Done, failed, or running and to be tried again.
    pub status: TargetStatus,
    /// Why it is not done.
    pub cause: Option<&'a Cause>,
    /// When it is tried again.
    pub wake_at: Option<Timestamp>,
    /// How many attempts it counts as: none where somebody else was at work there.
    pub attempts: i32,
}

const HOME: &str = "
    UPDATE tenantry.rollout_target SET status = $4, cause = $5, wake_at = $6, attempts = attempts + $9,
        ended_at = CASE WHEN $4 = 'running' THEN NULL ELSE $7::timestamptz END
    WHERE env = $1 AND rollout = $2 AND cell = $3 AND tenant = $8 AND status = 'running'";

const AGAIN: &str = "
    UPDATE tenantry.rollout_target SET status = $3, ended_at = CASE WHEN $3 = 'waiting' THEN NULL ELSE $4::timestamptz END,
        wake_at = NULL, attempts = 0
    WHERE env = $1 AND rollout = $2 AND status = 'failed' RETURNING tenant, wave";

const GIVE_UP: &str = "
    UPDATE tenantry.rollout_target SET status = 'skipped', ended_at = $3
    WHERE env = $1 AND rollout = $2 AND status = 'waiting' RETURNING tenant";

/// Rows are locked in the order in which everybody locks them.
const ADOPT: &str = "
    WITH behind AS (
        SELECT id FROM tenantry.tenant
        WHERE env = $1 AND app = $2 AND app_version < $3 AND phase IN ('active', 'suspended')
            AND (id = ANY ($4) OR (cell = ANY ($5) AND isolation = 'shared'))
        ORDER BY id FOR NO KEY UPDATE
    ), adopted AS (
        UPDATE tenantry.tenant AS t SET app_version = $3, updated_at = $6 FROM behind AS b
        WHERE t.env = $1 AND t.id = b.id RETURNING t.id
    )
    SELECT count(*) AS n FROM adopted";

impl Rollouts<'_> {
    /// Locks a rollout.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or the database's.
    pub async fn lock(&mut self, id: RolloutId) -> Result<RolloutRow, StoreError> {
        let statement = Statement::new(LOCK).bind(self.tx.env()).bind(id.uuid());
        read(self.tx.rows(statement).await?.first().ok_or(StoreError::NotFound)?)
    }

    /// Locks the rollout of an app that is under way, if there is one.
    ///
    /// # Errors
    /// The database's.
    pub async fn open_of(&mut self, app: &str) -> Result<Option<RolloutRow>, StoreError> {
        let statement = Statement::new(LOCK_OF_APP).bind(self.tx.env()).bind(app.to_owned());
        self.tx.rows(statement).await?.first().map(read).transpose()
    }

    /// Ends what is left of an app that is being removed.
    ///
    /// # Errors
    /// The database's.
    pub async fn close_of(&mut self, app: &str) -> Result<(), StoreError> {
        const CLOSE: &str = "
            UPDATE tenantry.rollout SET status = 'superseded', ended_at = coalesce(ended_at, $3)
            WHERE env = $1 AND app = $2 AND status NOT IN ('completed', 'superseded') RETURNING id";
        let statement = Statement::new(CLOSE).bind(self.tx.env()).bind(app.to_owned()).bind(self.tx.now);
        let rows = self.tx.rows(statement).await?;
        self.tx.wrote |= !rows.is_empty();
        Ok(())
    }

    /// Writes where a locked rollout stands.
    pub fn stand(&mut self, row: &RolloutRow) {
        let ended_at = row.status.is_final().then(|| row.ended_at.unwrap_or(self.tx.now));
        let statement = Statement::new(STAND)
            .bind(self.tx.env())
            .bind(row.id.uuid())
            .bind(row.status.as_str())
            .bind(row.reason.clone())
            .bind(i32::try_from(row.wave).unwrap_or(i32::MAX))
            .bind(i32::try_from(row.waves).unwrap_or(i32::MAX))
            .bind(row.wave_ended_at)
            .bind(ended_at);
        self.tx.queue(statement);
    }

    /// Ends targets at work whose tenants have come to an end; gives their cells and what became of them.
    ///
    /// # Errors
    /// The database's.
    pub async fn settle(
        &mut self,
        id: RolloutId,
        version: i64,
    ) -> Result<Vec<(String, Option<TenantId>, TargetStatus)>, StoreError> {
        let statement = Statement::new(SETTLE)
            .bind(self.tx.env())
            .bind(id.uuid())
            .bind(version)
            .bind(self.tx.now)
            .bind(Uuid::nil());
        let rows = self.tx.rows(statement).await?;
        self.tx.wrote |= !rows.is_empty();
        rows.iter().map(|row| Ok((get(row, "cell")?, owner(row)?, crate::columns::parse(row, "status")?))).collect()
    }

    /// Lets up to `most` targets of a wave on a cell begin, what is shared first; gives the tenants among them.
    ///
    /// # Errors
    /// The database's.
    pub async fn release(
        &mut self,
        id: RolloutId,
        wave: u32,
        cell: &str,
        most: u32,
    ) -> Result<Vec<Option<TenantId>>, StoreError> {
        let statement = Statement::new(RELEASE)
            .bind(self.tx.env())
            .bind(id.uuid())
            .bind(i32::try_from(wave).unwrap_or(i32::MAX))
            .bind(self.tx.now)
            .bind(cell.to_owned())
            .bind(i64::from(most));
        let rows = self.tx.rows(statement).await?;
        self.tx.wrote |= !rows.is_empty();
        rows.iter().map(owner).collect()
    }

    /// Writes what came of the shared tables of a cell.
    pub fn home(&mut self, id: RolloutId, cell: &str, verdict: &HomeVerdict<'_>) {
        let statement = Statement::new(HOME)
            .bind(self.tx.env())
            .bind(id.uuid())
            .bind(cell.to_owned())
            .bind(verdict.status.as_str())
            .bind(cause_document(verdict.cause))
            .bind(verdict.wake_at)
            .bind(self.tx.now)
            .bind(key(None))
            .bind(verdict.attempts);
        self.tx.queue(statement);
    }

    /// Lets failed targets wait for another try, or leaves them out; gives the tenants among them and the lowest wave.
    ///
    /// # Errors
    /// The database's.
    pub async fn redo(
        &mut self,
        id: RolloutId,
        status: TargetStatus,
    ) -> Result<Vec<(Option<TenantId>, u32)>, StoreError> {
        let statement =
            Statement::new(AGAIN).bind(self.tx.env()).bind(id.uuid()).bind(status.as_str()).bind(self.tx.now);
        let rows = self.tx.rows(statement).await?;
        self.tx.wrote |= !rows.is_empty();
        rows.iter().map(|row| Ok((owner(row)?, super::whole(row, "wave")?))).collect()
    }

    /// Leaves out all targets that have not begun; gives how many.
    ///
    /// # Errors
    /// The database's.
    pub async fn give_up(&mut self, id: RolloutId) -> Result<usize, StoreError> {
        let statement = Statement::new(GIVE_UP).bind(self.tx.env()).bind(id.uuid()).bind(self.tx.now);
        let rows = self.tx.rows(statement).await?;
        self.tx.wrote |= !rows.is_empty();
        Ok(rows.len())
    }

    /// Records that tenants have a version of their app without anything having run for them: those named, and those
    /// in the shared tables of the cells. Gives how many.
    ///
    /// # Errors
    /// The database's.
    pub async fn adopt(
        &mut self,
        app: &str,
        version: i64,
        tenants: &[TenantId],
        cells: &[String],
    ) -> Result<u64, StoreError> {
        let statement = Statement::new(ADOPT)
            .bind(self.tx.env())
            .bind(app.to_owned())
            .bind(version)
            .bind(uuids(tenants))
            .bind(cells.to_vec())
            .bind(self.tx.now);
        let rows = self.tx.rows(statement).await?;
        let adopted = rows.first().map_or(Ok(0), |row| count(row, "n"))?;
        self.tx.wrote |= adopted > 0;
        Ok(adopted)
    }
}
