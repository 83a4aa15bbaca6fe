//! Whose data is to be measured, and whose turn it is.

use std::time::Duration;

use tenantry_domain::Timestamp;
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::limit::level::STORAGE;
use tenantry_domain::name::{AppName, CellName, EnvironmentName, PlanCode};
use tenantry_domain::plan::PlanSpec;
use tenantry_domain::tenant::spec::Overrides;
use tenantry_pg::{Row, ToSql};
use uuid::Uuid;

use crate::columns::{count, get, json_opt, parse};
use crate::plans::held_plan;
use crate::{Reader, Store, StoreError};

/// A tenant on a cell, with what is known of its data.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTenant {
    /// Which tenant.
    pub id: TenantId,
    /// Its level; never `shared`.
    pub isolation: Isolation,
    /// Its app.
    pub app: AppName,
    /// Its plan.
    pub plan: PlanCode,
    /// What the plan says in the version that the tenant has; absent when this release cannot read it.
    pub text: Option<PlanSpec>,
    /// How it deviates from the plan.
    pub overrides: Overrides,
    /// What was written last; absent before the first time.
    pub known: Option<u64>,
}

/// The first who asks after the turn is due has it; the next one is due later.
const TURN: &str = "
    INSERT INTO tenantry.storage_turn AS s (env, cell, due_at)
    VALUES ($1, $2, $3::timestamptz + $4 * interval '1 second')
    ON CONFLICT ON CONSTRAINT storage_turn_pkey DO UPDATE SET due_at = excluded.due_at WHERE s.due_at <= $3::timestamptz
    RETURNING env";

const TENANTS: &str = concat!(
    "
    SELECT t.id, t.isolation, t.app, t.plan, p.spec AS plan_spec, t.spec -> 'overrides' AS overrides, q.used
    FROM tenantry.tenant AS t ",
    held_plan!(),
    "
    LEFT JOIN tenantry.quota AS q ON q.env = t.env AND q.tenant = t.id AND q.name = $3
    WHERE t.env = $1 AND t.cell = $2 AND t.isolation <> 'shared' AND t.phase IN ('active', 'suspended', 'archived') AND t.id > $4
    ORDER BY t.id LIMIT $5"
);

fn read(row: &Row) -> Result<StoredTenant, StoreError> {
    let known = match get::<Option<i64>>(row, "used")? {
        Some(_) => Some(count(row, "used")?),
        None => None,
    };
    Ok(StoredTenant {
        id: TenantId::from_uuid(get(row, "id")?),
        isolation: parse(row, "isolation")?,
        app: parse(row, "app")?,
        plan: parse(row, "plan")?,
        // A text of a newer release must not hold up the tenants of the same page.
        text: json_opt(row, "plan_spec").unwrap_or_default(),
        overrides: json_opt(row, "overrides")?.unwrap_or_default(),
        known,
    })
}

impl Store {
    /// Takes the turn of measuring a cell, if it is due; nobody else has it for `every`.
    ///
    /// # Errors
    /// The database's.
    pub async fn storage_turn(
        &self,
        environment: &EnvironmentName,
        cell: &CellName,
        now: Timestamp,
        every: Duration,
    ) -> Result<bool, StoreError> {
        let params: [&(dyn ToSql + Sync); 4] = [&environment.as_str(), &cell.as_str(), &now, &every.as_secs_f64()];
        Ok(!self.query(TURN, &params).await?.is_empty())
    }
}

impl Reader {
    /// Tenants on a cell that have tables of their own, by id, behind one of them.
    ///
    /// # Errors
    /// The database's.
    pub async fn stored_tenants(
        &self,
        cell: &CellName,
        behind: Option<TenantId>,
        most: u32,
    ) -> Result<Vec<StoredTenant>, StoreError> {
        let behind = behind.map_or(Uuid::nil(), TenantId::uuid);
        let params: [&(dyn ToSql + Sync); 5] =
            [&self.environment.as_str(), &cell.as_str(), &STORAGE, &behind, &i64::from(most)];
        self.store.query(TENANTS, &params).await?.iter().map(read).collect()
    }
}
