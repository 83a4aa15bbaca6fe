//! Reading rollouts, and what decides which version of its app a place gets meanwhile.

use std::time::Duration;

use tenantry_domain::id::{ReplicaId, RolloutId, TenantId};
use tenantry_domain::isolation::Isolation;
use tenantry_domain::rollout::TargetStatus;
use uuid::Uuid;

use super::{RolloutRow, TargetRow, key, read, read_count, read_target, rollout_columns};
use crate::columns::{get, parse};
use crate::cursor::Binding;
use crate::{Page, PageRequest, Reader, Store, StoreError};

/// How many targets of a wave stand in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RolloutCount {
    /// The wave, from 0.
    pub wave: u32,
    /// How they stand.
    pub status: TargetStatus,
    /// How many.
    pub count: u64,
}

/// A tenant whose place may need a new version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutCandidate {
    /// Which.
    pub tenant: TenantId,
    /// On which cell.
    pub cell: String,
    /// At which level.
    pub isolation: Isolation,
    /// The version that it has.
    pub app_version: i64,
    /// Whether it belongs to nobody.
    pub is_synthetic: bool,
    /// Whether it has all labels that were asked for.
    pub is_named: bool,
}

/// Which targets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TargetFilter {
    /// Only those that stand like this.
    pub status: Option<TargetStatus>,
}

const GET: &str = concat!("SELECT ", rollout_columns!(), " FROM tenantry.rollout AS r WHERE r.env = $1 AND r.id = $2");

const LIST: &str = concat!(
    "SELECT ",
    rollout_columns!(),
    " FROM tenantry.rollout AS r WHERE r.env = $1 AND ($2::text IS NULL OR r.app = $2) AND r.id < $3 ORDER BY r.id DESC LIMIT $4"
);

const OPEN: &str = concat!(
    "SELECT ",
    rollout_columns!(),
    " FROM tenantry.rollout AS r WHERE r.env = $1 AND r.app = $2
        AND r.status IN ('planning', 'running', 'waiting', 'paused', 'halted')"
);

const COUNTS: &str = "
    SELECT wave, status, count(*) AS n FROM tenantry.rollout_target
    WHERE env = $1 AND rollout = $2 GROUP BY wave, status ORDER BY wave, status";

/// Waiting and running targets by cell.
const CELLS: &str = "
    SELECT g.cell, count(*) FILTER (WHERE g.status = 'waiting' AND g.wave = $3) AS waiting,
        count(*) FILTER (WHERE g.status = 'running') AS running,
        count(*) FILTER (WHERE g.status = 'running' AND (w.last_failure IS NOT NULL OR g.attempts > 0)) AS troubled
    FROM tenantry.rollout_target AS g
    LEFT JOIN tenantry.workflow AS w ON w.env = g.env AND w.tenant = g.tenant AND w.status = 'running'
    WHERE g.env = $1 AND g.rollout = $2 AND g.status IN ('waiting', 'running')
    GROUP BY g.cell ORDER BY g.cell";

const HOMES: &str = "
    SELECT g.cell, g.tenant, NULL::text AS slug, g.wave, g.status, g.from_version, g.attempts, g.cause, g.wake_at,
        g.started_at, g.ended_at
    FROM tenantry.rollout_target AS g WHERE g.env = $1 AND g.rollout = $2 AND g.tenant = $3 AND g.status = 'running'";

const TARGETS: &str = "
    SELECT g.cell, g.tenant, t.slug, g.wave, g.status, g.from_version, g.attempts, g.cause, g.wake_at, g.started_at, g.ended_at,
        CASE WHEN g.tenant = $7 THEN md5(g.cell)::uuid ELSE g.tenant END AS place
    FROM tenantry.rollout_target AS g LEFT JOIN tenantry.tenant AS t ON t.env = g.env AND t.id = g.tenant
    WHERE g.env = $1 AND g.rollout = $2 AND ($3::text IS NULL OR g.status = $3)
        AND (g.tenant <> $7, CASE WHEN g.tenant = $7 THEN md5(g.cell)::uuid ELSE g.tenant END) > ($4, $5)
    ORDER BY g.tenant <> $7, CASE WHEN g.tenant = $7 THEN md5(g.cell)::uuid ELSE g.tenant END LIMIT $6";

const CANDIDATES: &str = "
    SELECT t.id, t.cell, t.isolation, t.app_version, coalesce((t.spec #>> '{business,synthetic}')::boolean, false) AS is_synthetic,
        coalesce($3 <> '{}'::jsonb AND (t.spec -> 'labels') @> $3, false) AS is_named
    FROM tenantry.tenant AS t
    WHERE t.env = $1 AND t.app = $2 AND t.phase IN ('active', 'suspended') AND t.cell IS NOT NULL
    ORDER BY t.cell, t.id";

/// Which version a place gets while a rollout is under way. Who failed, or came meanwhile, gets what was there before.
const RELEASED: &str = "
    SELECT CASE
        WHEN g.status IN ('running', 'done', 'current') THEN r.version
        ELSE greatest(r.base_version, coalesce(g.from_version, 0))
    END AS version
    FROM tenantry.rollout AS r
    LEFT JOIN tenantry.rollout_target AS g ON g.env = r.env AND g.rollout = r.id AND g.cell = $3 AND g.tenant = $4
    WHERE r.env = $1 AND r.app = $2 AND r.status IN ('planning', 'running', 'waiting', 'paused', 'halted', 'cancelled')";

impl Reader {
    /// One rollout, if there is such a one.
    ///
    /// # Errors
    /// The database's.
    pub async fn rollout(&self, id: RolloutId) -> Result<Option<RolloutRow>, StoreError> {
        let row = self.store.query_opt(GET, &[&self.environment.as_str(), &id.uuid()]).await?;
        row.as_ref().map(read).transpose()
    }

    /// The rollout of an app that is under way, if there is one.
    ///
    /// # Errors
    /// The database's.
    pub async fn open_rollout(&self, app: &str) -> Result<Option<RolloutRow>, StoreError> {
        let row = self.store.query_opt(OPEN, &[&self.environment.as_str(), &app]).await?;
        row.as_ref().map(read).transpose()
    }

    /// Rollouts, newest first.
    ///
    /// # Errors
    /// The page token's, or the database's.
    pub async fn rollouts(&self, app: Option<&str>, page: &PageRequest<'_>) -> Result<Page<RolloutRow>, StoreError> {
        let binding = Binding::new(&self.store, "rollouts", &self.environment, &app, page);
        let before = binding.open(page)?.map_or(Uuid::max(), Uuid::from_bytes);
        let limit = i64::from(page.size.get()) + 1;
        let rows = self.store.query(LIST, &[&self.environment.as_str(), &app, &before, &limit]).await?;
        let found = rows.iter().map(read).collect::<Result<_, _>>()?;
        Ok(binding.page(found, page, |row: &RolloutRow| row.id.uuid().into_bytes()))
    }

    /// How many targets of each wave stand how.
    ///
    /// # Errors
    /// The database's.
    pub async fn rollout_counts(&self, id: RolloutId) -> Result<Vec<RolloutCount>, StoreError> {
        let rows = self.store.query(COUNTS, &[&self.environment.as_str(), &id.uuid()]).await?;
        rows.iter().map(read_count).collect()
    }

    /// By cell: targets of a wave that wait, targets at work, and those of them that are being tried again.
    ///
    /// # Errors
    /// The database's.
    pub async fn rollout_cells(&self, id: RolloutId, wave: u32) -> Result<Vec<(String, u32, u32, u32)>, StoreError> {
        let wave = i32::try_from(wave).unwrap_or(i32::MAX);
        let rows = self.store.query(CELLS, &[&self.environment.as_str(), &id.uuid(), &wave]).await?;
        let count = |row, name| -> Result<u32, StoreError> { crate::columns::count(row, name) };
        rows.iter()
            .map(|row| Ok((get(row, "cell")?, count(row, "waiting")?, count(row, "running")?, count(row, "troubled")?)))
            .collect()
    }

    /// What tenants share on their cells, where it is at work.
    ///
    /// # Errors
    /// The database's.
    pub async fn rollout_homes(&self, id: RolloutId) -> Result<Vec<TargetRow>, StoreError> {
        let rows = self.store.query(HOMES, &[&self.environment.as_str(), &id.uuid(), &key(None)]).await?;
        rows.iter().map(read_target).collect()
    }

    /// Targets of a rollout: what is shared first, then by tenant.
    ///
    /// # Errors
    /// The page token's, or the database's.
    pub async fn rollout_targets(
        &self,
        id: RolloutId,
        filter: TargetFilter,
        page: &PageRequest<'_>,
    ) -> Result<Page<TargetRow>, StoreError> {
        let status = filter.status.map(TargetStatus::as_str);
        let binding = Binding::new(&self.store, "rollout_targets", &self.environment, &(id, status), page);
        let (is_tenant, after) = match binding.open::<17>(page)? {
            Some([first, rest @ ..]) => (first == 1, Uuid::from_bytes(rest)),
            None => (false, Uuid::nil()),
        };
        let limit = i64::from(page.size.get()) + 1;
        let env = self.environment.as_str();
        let home = key(None);
        let rows = self.store.query(TARGETS, &[&env, &id.uuid(), &status, &is_tenant, &after, &limit, &home]).await?;
        let found: Vec<(TargetRow, Uuid)> =
            rows.iter().map(|row| Ok((read_target(row)?, get(row, "place")?))).collect::<Result<_, StoreError>>()?;
        let page = binding.page(found, page, |(row, place)| {
            let mut keys = [u8::from(row.tenant.is_some()); 17];
            keys[1..].copy_from_slice(place.as_bytes());
            keys
        });
        Ok(Page { items: page.items.into_iter().map(|(row, _)| row).collect(), next: page.next })
    }

    /// Tenants of an app that have a place; with whether they have all of the labels.
    ///
    /// # Errors
    /// The database's.
    pub async fn rollout_candidates(
        &self,
        app: &str,
        labels: &serde_json::Value,
    ) -> Result<Vec<RolloutCandidate>, StoreError> {
        let labels = tenantry_pg::Json(labels);
        let rows = self.store.query(CANDIDATES, &[&self.environment.as_str(), &app, &labels]).await?;
        rows.iter()
            .map(|row| {
                Ok(RolloutCandidate {
                    tenant: TenantId::from_uuid(get(row, "id")?),
                    cell: get(row, "cell")?,
                    isolation: parse(row, "isolation")?,
                    app_version: get(row, "app_version")?,
                    is_synthetic: get(row, "is_synthetic")?,
                    is_named: get(row, "is_named")?,
                })
            })
            .collect()
    }

    /// The version of its app that a place is to have while a rollout is under way; absent when none is, which means
    /// the newest. Without a tenant: what the tenants of the cell share.
    ///
    /// # Errors
    /// The database's.
    pub async fn released(&self, app: &str, cell: &str, tenant: Option<TenantId>) -> Result<Option<i64>, StoreError> {
        let row = self.store.query_opt(RELEASED, &[&self.environment.as_str(), &app, &cell, &key(tenant)]).await?;
        row.as_ref().map(|row| get(row, "version")).transpose()
    }
}

impl Store {
    /// Rollouts that are to be moved or have targets at work, of all environments, taken for a while: other processes
    /// leave them alone.
    ///
    /// # Errors
    /// The database's.
    pub async fn take_rollouts(&self, replica: ReplicaId, lease: Duration) -> Result<Vec<RolloutRow>, StoreError> {
        const TAKE: &str = concat!(
            "UPDATE tenantry.rollout AS r SET owner = $1, lease_until = clock_timestamp() + $2 * interval '1 millisecond'
             WHERE r.status NOT IN ('completed', 'superseded')
                AND (r.status IN ('planning', 'running') OR EXISTS (
                    SELECT FROM tenantry.rollout_target AS g
                    WHERE g.env = r.env AND g.rollout = r.id AND g.status = 'running'
                ))
                AND (r.owner = $1 OR r.lease_until IS NULL OR r.lease_until < clock_timestamp())
             RETURNING ",
            rollout_columns!()
        );
        let rows = self.query(TAKE, &[&replica.uuid(), &(lease.as_secs_f64() * 1000.0)]).await?;
        rows.iter().map(read).collect()
    }

    /// Gives a rollout back at once: somebody else may be able to do what this replica cannot.
    ///
    /// # Errors
    /// The database's.
    pub async fn leave_rollout(&self, replica: ReplicaId, id: RolloutId) -> Result<(), StoreError> {
        let sql = "UPDATE tenantry.rollout SET owner = NULL, lease_until = NULL WHERE id = $2 AND owner = $1";
        self.query(sql, &[&replica.uuid(), &id.uuid()]).await?;
        Ok(())
    }

    /// Keeps a rollout for a replica that has it: for as long as something of it is in hand there.
    ///
    /// # Errors
    /// The database's.
    pub async fn keep_rollout(&self, replica: ReplicaId, id: RolloutId, lease: Duration) -> Result<(), StoreError> {
        let sql = "UPDATE tenantry.rollout SET lease_until = clock_timestamp() + $3 * interval '1 millisecond'
            WHERE id = $2 AND owner = $1 AND status NOT IN ('completed', 'superseded')";
        self.query(sql, &[&replica.uuid(), &id.uuid(), &(lease.as_secs_f64() * 1000.0)]).await.map(drop)
    }
}
