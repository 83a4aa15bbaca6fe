//! Tenants: their rows, and what a transaction may do with them.
//!
//! A row is locked first; changes are made on the locked row in memory and leave with the commit, in one statement
//! for any number of tenants.
//!
//! Long because a row, the changes of it and the sieve of what is due read as one.

mod change;
pub(crate) mod names;

use serde::{Deserialize, Serialize};
use tenantry_domain::Timestamp;
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{AppName, CellName, EnvironmentName, PlanCode};
use tenantry_domain::placement::Placement;
use tenantry_domain::quantity::Quantity;
use tenantry_domain::tenant::lifecycle::{Phase, State};
use tenantry_domain::tenant::spec::Override;
use tenantry_domain::tenant::{Slug, Spec};
use tenantry_domain::workflow::Cause;

use crate::columns::{get, json, json_opt, parse};
use crate::row::{self, tenant_columns, uuids};
use crate::store::{Reader, Store};
use crate::{StoreError, WriteTx};

/// A tenant as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantRow {
    /// The partition.
    pub environment: EnvironmentName,
    /// Its immutable id.
    pub id: TenantId,
    /// Its readable name.
    pub slug: Slug,
    /// The newest version of the desired state; 1 for a new tenant.
    pub version: i64,
    /// What is wanted.
    pub spec: Spec,
    /// The version of its plan that it was given; 0 for one of earlier releases. Which one it has follows from that and from
    /// the plan, see [`tenantry_domain::plan::version::held`].
    pub plan_version: i64,
    /// Where the lifecycle is.
    pub state: State,
    /// Its place, from the moment it is counted in (before it is active) until it is released.
    pub placement: Option<Placement>,
    /// The newest generation that a place of this tenant ever had; 0 before the first.
    pub placement_generation: i64,
    /// The newest version that is in effect; 0 when none is.
    pub observed_version: i64,
    /// The app version that its structure has; 0 when it has none.
    pub app_version: i64,
    /// What holds of it.
    pub conditions: Vec<Condition>,
    /// The version that was tried and unwound, and why.
    pub failure: Option<(i64, Cause)>,
    /// Deviations that the last drift check found.
    pub findings: Vec<Finding>,
    /// Since when it exists.
    pub created_at: Timestamp,
    /// The last change of anything.
    pub updated_at: Timestamp,
    /// When it was first active.
    pub activated_at: Option<Timestamp>,
    /// Who made it.
    pub created_by: String,
    /// Entries of its audit chain.
    pub audit_seq: i64,
    /// Events of its sequence.
    pub event_seq: i64,
}

/// A statement about a tenant that holds, does not hold, or is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about, `Ready`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// One word why, `Converged`.
    pub reason: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Since when the status is what it is.
    pub since: Timestamp,
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody knows.
    Unknown,
}

/// A deviation of the data plane from the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What deviates, one word.
    pub kind: String,
    /// Where.
    pub object: String,
    /// Whether a repair can put it right.
    pub repairable: bool,
}

/// How a tenant is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantKey {
    /// By its id; finds deleted ones too.
    Id(TenantId),
    /// By its slug; only living ones.
    Slug(Slug),
    /// By its id in another system.
    External {
        /// The other system.
        system: String,
        /// The id there.
        id: String,
    },
    /// By an id of an adopted system.
    Alias(String),
}

impl From<TenantId> for TenantKey {
    fn from(id: TenantId) -> Self {
        Self::Id(id)
    }
}

/// A tenant that is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTenant {
    /// A fresh id.
    pub id: TenantId,
    /// Its name.
    pub slug: Slug,
    /// Version 1 of the desired state.
    pub spec: Spec,
    /// 1 when there is nothing to converge (a wanted draft), else 0.
    pub observed_version: i64,
    /// What holds of it from the start.
    pub conditions: Vec<Condition>,
    /// `tenant.create`, kept with the version.
    pub action: String,
    /// The chain of requests, kept with the version.
    pub correlation_id: String,
}

/// A new version of the desired state.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantChange {
    /// Which tenant; locked by this transaction.
    pub id: TenantId,
    /// The version that the change was made from.
    pub from_version: i64,
    /// The whole new state.
    pub spec: Spec,
    /// Another slug, if it is renamed.
    pub rename: Option<Rename>,
    /// `tenant.update`, `tenant.rollback`, …; kept with the version.
    pub action: String,
    /// The chain of requests, kept with the version.
    pub correlation_id: String,
}

/// Another slug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    /// The new one.
    pub slug: Slug,
    /// Until when nobody else gets the old one.
    pub quarantine_until: Timestamp,
}

/// What controllers found out or brought about. Makes no version.
#[derive(Debug, Clone, PartialEq)]
pub struct StateChange {
    /// Which tenant; locked by this transaction.
    pub id: TenantId,
    /// Where the lifecycle is now.
    pub state: State,
    /// The newest version in effect.
    pub observed_version: i64,
    /// The app version that the structure has.
    pub app_version: i64,
    /// What holds now.
    pub conditions: Vec<Condition>,
}

/// A tenant for which something may have to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The partition.
    pub environment: EnvironmentName,
    /// Which.
    pub id: TenantId,
    /// The newest version of its app; 0 when the app is gone.
    pub desired_app_version: i64,
}

/// What the drift check of a cell expects of a tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepRow {
    /// Which.
    pub id: TenantId,
    /// The newest version of its manifest.
    pub version: i64,
    /// Its plan.
    pub plan: PlanCode,
    /// The version of its plan that it has, see [`tenantry_domain::plan::version::held`].
    pub plan_version: i64,
    /// What its manifest says instead of the plan's `quotas.connections`, over or not; absent at the shared level, where a
    /// tenant has no login of its own.
    pub connections: Option<Override<Quantity>>,
    /// Whether the newest version of its manifest is what its place is like, and can be read: no change is on its way, and none failed.
    pub is_settled: bool,
    /// At which level.
    pub isolation: Isolation,
    /// Generation of its place.
    pub generation: i64,
    /// Where the lifecycle is.
    pub state: State,
    /// Findings of the check before.
    pub findings: Vec<Finding>,
    /// An unfinished workflow is changing it right now.
    pub is_busy: bool,
}

/// Tenants inside a transaction.
pub struct Tenants<'a> {
    pub(crate) tx: &'a mut WriteTx,
}

impl Reader {
    /// One tenant, if there is such a one.
    ///
    /// # Errors
    /// The database's.
    pub async fn tenant(&self, key: impl Into<TenantKey>) -> Result<Option<TenantRow>, StoreError> {
        let env = self.environment.as_str();
        let row = match key.into() {
            TenantKey::Id(id) => {
                let sql =
                    concat!("SELECT ", tenant_columns!(), " FROM tenantry.tenant AS t WHERE t.env = $1 AND t.id = $2");
                self.store.query_opt(sql, &[&env, &id.uuid()]).await?
            }
            TenantKey::Slug(slug) => {
                let sql = concat!(
                    "SELECT ",
                    tenant_columns!(),
                    " FROM tenantry.tenant AS t WHERE t.env = $1 AND t.slug = $2 AND t.phase <> 'deleted'"
                );
                self.store.query_opt(sql, &[&env, &slug.as_str()]).await?
            }
            TenantKey::External { system, id } => {
                let sql = concat!(
                    "SELECT ",
                    tenant_columns!(),
                    " FROM tenantry.tenant_external_id AS e JOIN tenantry.tenant AS t ON t.env = e.env AND t.id = e.tenant \
                     WHERE e.env = $1 AND e.system = $2 AND e.external_id = $3"
                );
                self.store.query_opt(sql, &[&env, &system, &id]).await?
            }
            TenantKey::Alias(alias) => {
                let sql = concat!(
                    "SELECT ",
                    tenant_columns!(),
                    " FROM tenantry.tenant_alias AS a JOIN tenantry.tenant AS t ON t.env = a.env AND t.id = a.tenant \
                     WHERE a.env = $1 AND a.alias = $2"
                );
                self.store.query_opt(sql, &[&env, &alias]).await?
            }
        };
        row.as_ref().map(row::read).transpose()
    }

    /// Many tenants by id, in the order of their ids.
    ///
    /// # Errors
    /// The database's.
    pub async fn tenants_by_id(&self, ids: &[TenantId]) -> Result<Vec<TenantRow>, StoreError> {
        let sql = concat!(
            "SELECT ",
            tenant_columns!(),
            " FROM tenantry.tenant AS t WHERE t.env = $1 AND t.id = ANY ($2) ORDER BY t.id"
        );
        let rows = self.store.query(sql, &[&self.environment.as_str(), &uuids(ids)]).await?;
        rows.iter().map(row::read).collect()
    }

    /// The ids of the living tenants with these slugs, in the order of the ids.
    ///
    /// # Errors
    /// The database's.
    pub async fn tenant_ids_by_slug(&self, slugs: &[Slug]) -> Result<Vec<TenantId>, StoreError> {
        let slugs: Vec<&str> = slugs.iter().map(Slug::as_str).collect();
        let sql = "SELECT t.id FROM tenantry.tenant AS t
            WHERE t.env = $1 AND t.slug = ANY ($2) AND t.phase <> 'deleted' ORDER BY t.id";
        let rows = self.store.query(sql, &[&self.environment.as_str(), &slugs]).await?;
        rows.iter().map(|row| Ok(TenantId::from_uuid(get(row, "id")?))).collect()
    }

    /// What a drift check of an app's tenants on a cell should find, for all that have a place there.
    ///
    /// # Errors
    /// The database's.
    pub async fn sweep_expected(&self, cell: &CellName, app: &AppName) -> Result<Vec<SweepRow>, StoreError> {
        // Texts of plans are not joined: thousands of tenants have a few, and the caller reads each once.
        let sql = "SELECT t.id, t.version, t.plan, least(greatest(t.plan_version, c.floor), c.version) AS plan_version,
            CASE WHEN t.isolation <> 'shared' THEN t.spec -> 'overrides' -> 'quotas' -> 'connections' END AS deviation,
            t.version <= t.observed_version AS is_settled, t.isolation, t.placement_generation, t.state, t.findings, EXISTS (
                SELECT FROM tenantry.workflow AS w
                WHERE w.env = t.env AND w.tenant = t.id AND w.status IN ('running', 'stuck')
            ) AS is_busy
            FROM tenantry.tenant AS t
            LEFT JOIN tenantry.catalog AS c ON c.env = t.env AND c.kind = 'plan' AND c.name = t.plan
            WHERE t.env = $1 AND t.cell = $2 AND t.app = $3 ORDER BY t.id";
        let rows = self.store.query(sql, &[&self.environment.as_str(), &cell.as_str(), &app.as_str()]).await?;
        rows.iter()
            .map(|row| {
                // What a later release writes there must not end the look at everybody.
                let deviation = json_opt(row, "deviation");
                Ok(SweepRow {
                    id: TenantId::from_uuid(get(row, "id")?),
                    version: get(row, "version")?,
                    plan: parse(row, "plan")?,
                    plan_version: get(row, "plan_version")?,
                    is_settled: get(row, "is_settled")? && deviation.is_ok(),
                    connections: deviation.unwrap_or_default(),
                    isolation: parse(row, "isolation")?,
                    generation: get(row, "placement_generation")?,
                    state: json(row, "state")?,
                    findings: json(row, "findings")?,
                    is_busy: get(row, "is_busy")?,
                })
            })
            .collect()
    }

    /// How many tenants there are in each phase; for gauges.
    ///
    /// # Errors
    /// The database's.
    pub async fn tenant_counts(&self) -> Result<Vec<(Phase, i64)>, StoreError> {
        let sql = "SELECT phase, count(*) AS n FROM tenantry.tenant WHERE env = $1 GROUP BY phase ORDER BY phase";
        let rows = self.store.query(sql, &[&self.environment.as_str()]).await?;
        rows.iter().map(|row| Ok((parse(row, "phase")?, get(row, "n")?))).collect()
    }
}

impl Store {
    /// Tenants of one or all environments that may not be what is wanted of them, without those that a workflow is
    /// at, those whose newest version failed, and deletions in their grace period; by environment and id, deletions
    /// last.
    ///
    /// `passed` are tenants, each in a version, that the caller could do nothing for: they are left out, so that they
    /// do not take the places of others.
    ///
    /// # Errors
    /// The database's.
    pub async fn due(
        &self,
        environment: Option<&EnvironmentName>,
        now: Timestamp,
        passed: &[(TenantId, i64)],
        limit: u32,
    ) -> Result<Vec<Due>, StoreError> {
        let only = environment.map(EnvironmentName::as_str);
        let (ids, versions): (Vec<TenantId>, Vec<i64>) = passed.iter().copied().unzip();
        let rows = self.query(DUE, &[&only, &now, &i64::from(limit), &uuids(&ids), &versions]).await?;
        rows.iter()
            .map(|row| {
                Ok(Due {
                    environment: parse(row, "env")?,
                    id: TenantId::from_uuid(get(row, "id")?),
                    desired_app_version: get(row, "desired_app_version")?,
                })
            })
            .collect()
    }
}

/// Three sieves with an index each: what the row itself says, apps that have moved on, and targets of rollouts that are
/// at work. While a rollout is under way, only its targets at work are due for the new version.
const DUE: &str = "
    WITH under_way AS (
        SELECT env, id, app, version FROM tenantry.rollout
        WHERE status IN ('planning', 'running', 'waiting', 'paused', 'halted', 'cancelled')
    ), behind AS (
        SELECT t.env, t.id FROM tenantry.tenant AS t WHERE t.is_unsettled
        UNION
        SELECT t.env, t.id FROM tenantry.catalog AS a
        JOIN tenantry.tenant AS t ON t.env = a.env AND t.app = a.name AND t.app_version < a.version
            AND t.phase IN ('active', 'suspended') AND t.requested = t.phase AND coalesce(t.failed_version, 0) < t.version
        WHERE a.kind = 'app' AND NOT EXISTS (SELECT FROM under_way AS r WHERE r.env = a.env AND r.app = a.name)
        UNION
        SELECT g.env, g.tenant FROM under_way AS r
        JOIN tenantry.rollout_target AS g ON g.env = r.env AND g.rollout = r.id AND g.status = 'running'
    ), wanted AS (
        SELECT t.env, t.id, CASE
            WHEN r.id IS NULL THEN coalesce(a.version, 0)
            WHEN g.status = 'running' THEN r.version
            ELSE t.app_version
        END AS desired_app_version
        FROM behind AS b
        JOIN tenantry.tenant AS t ON t.env = b.env AND t.id = b.id
        LEFT JOIN tenantry.catalog AS a ON a.env = t.env AND a.kind = 'app' AND a.name = t.app
        LEFT JOIN under_way AS r ON r.env = t.env AND r.app = t.app
        LEFT JOIN tenantry.rollout_target AS g ON g.env = r.env AND g.rollout = r.id AND g.cell = t.cell AND g.tenant = t.id
    )
    SELECT n.env, n.id, n.desired_app_version
    FROM wanted AS n
    JOIN tenantry.tenant AS t ON t.env = n.env AND t.id = n.id
    WHERE ($1::text IS NULL OR n.env = $1)
        AND (t.is_unsettled OR t.app_version < n.desired_app_version)
        AND (t.requested <> 'deleted' OR t.delete_not_before IS NULL OR t.delete_not_before <= $2)
        AND (coalesce(t.failed_version, 0) < t.version OR t.app_version >= n.desired_app_version)
        AND NOT EXISTS (
            SELECT FROM tenantry.workflow AS w
            WHERE w.env = t.env AND w.tenant = t.id AND w.status IN ('running', 'stuck')
        )
        AND NOT EXISTS (
            SELECT FROM unnest($4::uuid[], $5::bigint[]) AS p (tenant, version)
            WHERE p.tenant = t.id AND p.version = t.version
        )
    ORDER BY t.requested = 'deleted', n.env, n.id LIMIT $3";
