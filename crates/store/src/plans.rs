//! Versions of plans and the tenants that have them.
//!
//! A tenant's row says which version it was given; a plan's row says which version all tenants follow to at least. What a
//! tenant has is worked out of both where it is asked for, so a version that tenants follow to costs one row, however many
//! there are. Old texts are the catalog's history, which is kept for ever.
//! INVARIANT: whoever binds a tenant holds the plan's row, so that no version appears between the look and the commit.

use serde_json::Value;
use tenantry_domain::Timestamp;
use tenantry_domain::id::TenantId;
use tenantry_pg::Row;
use uuid::Uuid;

use crate::catalog::Catalog;
use crate::columns::{get, json};
use crate::line::Statement;
use crate::tenants::{TenantRow, Tenants};
use crate::{Reader, StoreError};

/// The plan of tenant `t` as `p`, in the version that it has; `c` is the plan's newest.
macro_rules! held_plan {
    () => {
        "LEFT JOIN tenantry.catalog AS c ON c.env = t.env AND c.kind = 'plan' AND c.name = t.plan
        LEFT JOIN tenantry.catalog_version AS p ON p.env = c.env AND p.kind = c.kind AND p.name = c.name
            AND p.version = least(greatest(t.plan_version, c.floor), c.version) "
    };
}
pub(crate) use held_plan;

/// A plan that nobody changes before the transaction ends.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldPlan {
    /// Its newest version.
    pub version: i64,
    /// The newest version that its tenants follow to by themselves.
    pub floor: i64,
    /// The newest text.
    pub spec: Value,
}

/// The plan of one tenant, in the version that it has.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanOf {
    /// Which version.
    pub version: i64,
    /// What it says.
    pub spec: Value,
}

/// A version of a plan, with the tenants that have it.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanVersionRow {
    /// Its number.
    pub version: i64,
    /// What it says; absent in a version that removed the plan.
    pub spec: Option<Value>,
    /// How many living tenants have it.
    pub tenants: i64,
    /// Who made it.
    pub author: String,
    /// When.
    pub at: Timestamp,
}

/// Which tenants an upgrade looks at.
#[derive(Debug, Clone, Copy)]
pub struct PlanTenants<'a> {
    /// Of which plan.
    pub plan: &'a str,
    /// Those that do not have this version.
    pub to: i64,
    /// Only those that have this one; all when absent.
    pub from: Option<i64>,
    /// Those behind this one, in the order of their making.
    pub after: Option<TenantId>,
    /// At most so many.
    pub limit: i64,
}

const HOLD: &str = "
    SELECT version, floor, spec FROM tenantry.catalog WHERE env = $1 AND kind = 'plan' AND name = $2 FOR SHARE";

const SEE: &str = "SELECT version, floor, spec FROM tenantry.catalog WHERE env = $1 AND kind = 'plan' AND name = $2";

/// The plan in the version that a tenant has which was given $3.
const OF: &str = "
    SELECT p.version, p.spec FROM tenantry.catalog AS c
    JOIN tenantry.catalog_version AS p ON p.env = c.env AND p.kind = c.kind AND p.name = c.name
        AND p.version = least(greatest($3::bigint, c.floor), c.version)
    WHERE c.env = $1 AND c.kind = 'plan' AND c.name = $2";

/// The same; the plan is not removed before the end of the transaction.
const OF_WITHIN: &str = "
    SELECT p.version, p.spec FROM tenantry.catalog AS c
    JOIN tenantry.catalog_version AS p ON p.env = c.env AND p.kind = c.kind AND p.name = c.name
        AND p.version = least(greatest($3::bigint, c.floor), c.version)
    WHERE c.env = $1 AND c.kind = 'plan' AND c.name = $2 FOR KEY SHARE OF c";

const AT: &str = "
    SELECT spec FROM tenantry.catalog_version
    WHERE env = $1 AND kind = 'plan' AND name = $2 AND version = $3 AND spec IS NOT NULL";

const OTHER_DEFAULT: &str = "
    SELECT name FROM tenantry.catalog WHERE env = $1 AND kind = 'plan' AND is_default AND name <> $2 LIMIT 1";

const BIND: &str = "UPDATE tenantry.tenant SET plan_version = $3 WHERE env = $1 AND id = $2";

const VERSIONS: &str = "
    SELECT v.version, v.spec, v.author, v.at, coalesce(n.tenants, 0) AS tenants FROM tenantry.catalog_version AS v
    LEFT JOIN (
        SELECT least(greatest(t.plan_version, c.floor), c.version) AS version, count(*) AS tenants
        FROM tenantry.catalog AS c
        JOIN tenantry.tenant AS t ON t.env = c.env AND t.plan = c.name AND t.phase <> 'deleted'
        WHERE c.env = $1 AND c.kind = 'plan' AND c.name = $2 GROUP BY 1
    ) AS n ON n.version = v.version
    WHERE v.env = $1 AND v.kind = 'plan' AND v.name = $2 AND v.version < $3 ORDER BY v.version DESC LIMIT $4";

const TENANTS: &str = "
    SELECT t.id FROM tenantry.tenant AS t
    JOIN tenantry.catalog AS c ON c.env = t.env AND c.kind = 'plan' AND c.name = t.plan
    CROSS JOIN LATERAL (SELECT least(greatest(t.plan_version, c.floor), c.version) AS version) AS h
    WHERE t.env = $1 AND t.plan = $2 AND t.phase <> 'deleted' AND t.id > $3 AND h.version <> $4
        AND ($5::bigint IS NULL OR h.version = $5)
    ORDER BY t.id LIMIT $6";

fn read_of(row: &Row) -> Result<PlanOf, StoreError> {
    Ok(PlanOf { version: get(row, "version")?, spec: json(row, "spec")? })
}

impl Catalog<'_> {
    /// Reads a plan and keeps it as it is until the end of the transaction: whoever writes a version of it waits, and whoever
    /// is writing one is waited for. Hold it before tenants are locked, where that can be foreseen.
    ///
    /// # Errors
    /// The database's.
    pub async fn hold_plan(&mut self, plan: &str) -> Result<Option<HeldPlan>, StoreError> {
        if let Some(held) = self.tx.ahead.as_ref().and_then(|ahead| ahead.held_plan(plan)) {
            return Ok(Some(held));
        }
        let statement = Statement::new(self.tx.text(HOLD, SEE)).bind(self.tx.env()).bind(plan.to_owned());
        let read = |row: &Row| {
            Ok(HeldPlan { version: get(row, "version")?, floor: get(row, "floor")?, spec: json(row, "spec")? })
        };
        self.tx.rows(statement).await?.first().map(read).transpose()
    }

    /// The plan of a tenant in the version that it has; the plan is not removed before the end of the transaction.
    ///
    /// # Errors
    /// The database's.
    pub async fn plan_of(&mut self, tenant: &TenantRow) -> Result<Option<PlanOf>, StoreError> {
        if let Some(held) = self.tx.ahead.as_ref().and_then(|ahead| ahead.held_plan(tenant.spec.plan.as_str())) {
            return self.plan_ahead(held, tenant).await;
        }
        let statement = Statement::new(self.tx.text(OF_WITHIN, OF))
            .bind(self.tx.env())
            .bind(tenant.spec.plan.as_str().to_owned())
            .bind(tenant.plan_version);
        self.tx.rows(statement).await?.first().map(read_of).transpose()
    }

    /// What a version of a plan says.
    ///
    /// # Errors
    /// The database's.
    pub async fn plan_at(&mut self, plan: &str, version: i64) -> Result<Option<Value>, StoreError> {
        let statement = Statement::new(AT).bind(self.tx.env()).bind(plan.to_owned()).bind(version);
        self.tx.rows(statement).await?.first().map(|row| json(row, "spec")).transpose()
    }

    /// The default plan, unless it is this one.
    ///
    /// # Errors
    /// The database's.
    pub async fn other_default(&mut self, plan: &str) -> Result<Option<String>, StoreError> {
        let statement = Statement::new(OTHER_DEFAULT).bind(self.tx.env()).bind(plan.to_owned());
        let found = self.tx.rows(statement).await?.first().map(|row| get(row, "name")).transpose()?;
        Ok(match &self.tx.ahead {
            Some(ahead) => ahead.other_default(plan, found),
            None => found,
        })
    }
}

impl Tenants<'_> {
    /// Gives a locked tenant a version of its plan. The plan has to be held, see [`Catalog::hold_plan`], and the change needs
    /// an entry as every other one.
    ///
    /// # Errors
    /// [`StoreError::NotLocked`].
    pub fn give_plan(&mut self, id: TenantId, version: i64) -> Result<(), StoreError> {
        let locked = self.tx.locked.get_mut(&id).ok_or(StoreError::NotLocked)?;
        locked.row.plan_version = version;
        locked.is_dirty = true;
        let statement = Statement::new(BIND).bind(self.tx.env()).bind(id.uuid()).bind(version);
        self.tx.queue(statement);
        Ok(())
    }
}

impl Reader {
    /// The plan of a tenant in the version that it has.
    ///
    /// # Errors
    /// The database's.
    pub async fn plan_of(&self, tenant: &TenantRow) -> Result<Option<PlanOf>, StoreError> {
        let plan = tenant.spec.plan.as_str();
        let params: [&(dyn tenantry_pg::ToSql + Sync); 3] = [&self.environment.as_str(), &plan, &tenant.plan_version];
        self.store.query_opt(OF, &params).await?.as_ref().map(read_of).transpose()
    }

    /// At most `limit` versions of a plan below a number with the tenants that have them, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn plan_versions(&self, plan: &str, below: i64, limit: i64) -> Result<Vec<PlanVersionRow>, StoreError> {
        let params: [&(dyn tenantry_pg::ToSql + Sync); 4] = [&self.environment.as_str(), &plan, &below, &limit];
        let rows = self.store.query(VERSIONS, &params).await?;
        let read = |row: &Row| {
            Ok(PlanVersionRow {
                version: get(row, "version")?,
                spec: crate::columns::json_opt(row, "spec")?,
                tenants: get(row, "tenants")?,
                author: get(row, "author")?,
                at: get(row, "at")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Tenants of a plan that do not have a version, in the order of their making.
    ///
    /// # Errors
    /// The database's.
    pub async fn plan_tenants(&self, of: &PlanTenants<'_>) -> Result<Vec<TenantId>, StoreError> {
        let after = of.after.map_or(Uuid::nil(), TenantId::uuid);
        let params: [&(dyn tenantry_pg::ToSql + Sync); 6] =
            [&self.environment.as_str(), &of.plan, &after, &of.to, &of.from, &of.limit];
        let rows = self.store.query(TENANTS, &params).await?;
        rows.iter().map(|row| Ok(TenantId::from_uuid(get(row, "id")?))).collect()
    }
}
