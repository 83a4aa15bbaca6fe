//! Flags of an environment, and how often tenants use features.
//!
//! INVARIANT: a flag's version rises with every change, also over a removal, so that it names one text for ever. Uses are
//! counts for reports: they are no evidence, and what a process that was killed had not written is lost.

use std::collections::BTreeMap;

use serde_json::Value;
use tenantry_domain::Timestamp;
use tenantry_domain::flag::{Flag, FlagName};
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{CellName, EnvironmentName, PlanCode};
use tenantry_domain::tenant::Slug;
use tenantry_domain::tenant::spec::Override;
use tenantry_pg::{Json, Row, ToSql};
use uuid::Uuid;

use crate::columns::{get, json, json_opt, parse, parse_opt, slug};
use crate::cursor::Binding;
use crate::line::Statement;
use crate::plans::held_plan;
use crate::{Page, PageRequest, Reader, Store, StoreError, WriteTx};

/// A flag as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct FlagRow {
    /// Its name.
    pub name: FlagName,
    /// What it says; absent once it was removed.
    pub flag: Option<Flag>,
    /// Rises with every change; the ETag.
    pub version: i64,
    /// Since when the name is known.
    pub created_at: Timestamp,
    /// Its last change.
    pub updated_at: Timestamp,
    /// Who made the last change.
    pub updated_by: String,
}

/// Uses of a feature by a tenant on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureUse {
    /// The day in UTC, `2027-03-31`.
    pub day: String,
    /// The feature.
    pub feature: FlagName,
    /// How often.
    pub uses: i64,
}

/// Uses that are to be added.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UsedFeature {
    /// The partition.
    pub environment: EnvironmentName,
    /// Whose.
    pub tenant: TenantId,
    /// The day in UTC, `2027-03-31`.
    pub day: String,
    /// The feature.
    pub feature: FlagName,
}

/// A tenant that lives, or is meant to live, at another level than its plan's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffLevel {
    /// Whose.
    pub tenant: TenantId,
    /// Its name.
    pub slug: Slug,
    /// Its plan.
    pub plan: PlanCode,
    /// The plan's level, which is paid for.
    pub paid: Isolation,
    /// The level of its place; absent while it has none.
    pub placed: Option<Isolation>,
    /// The level that an override gives; absent without one, or when its end has come.
    pub overridden: Option<Isolation>,
    /// Why the override was made.
    pub reason: Option<String>,
}

const GET: &str = "
    SELECT name, spec, version, created_at, updated_at, updated_by FROM tenantry.flag WHERE env = $1 AND name = $2";

const LOCK: &str = "
    SELECT name, spec, version, created_at, updated_at, updated_by FROM tenantry.flag
    WHERE env = $1 AND name = $2 FOR NO KEY UPDATE";

const LIST: &str = "
    SELECT name, spec, version, created_at, updated_at, updated_by FROM tenantry.flag
    WHERE env = $1 AND name > $2 AND spec IS NOT NULL ORDER BY name LIMIT $3";

/// Written by whoever saw the version that is there; nobody else's change is overwritten.
const PUT: &str = "
    INSERT INTO tenantry.flag AS f (env, name, spec, version, created_at, updated_at, updated_by)
    SELECT $1, $2, $3, 1, $4, $4, $5 WHERE $6::bigint = 0
        OR EXISTS (SELECT FROM tenantry.flag WHERE env = $1 AND name = $2)
    ON CONFLICT ON CONSTRAINT flag_pkey DO UPDATE
    SET spec = excluded.spec, version = f.version + 1, updated_at = excluded.updated_at, updated_by = excluded.updated_by
    WHERE f.version = $6
    RETURNING name, spec, version, created_at, updated_at, updated_by";

const OFF_LEVEL: &str = concat!(
    "
    SELECT * FROM (
        SELECT t.id, t.slug, t.plan, p.spec ->> 'isolation' AS paid, t.isolation AS placed,
            CASE WHEN coalesce((t.spec #>> '{overrides,isolation,until}')::timestamptz > $2, true)
                THEN t.spec #>> '{overrides,isolation,value}' END AS overridden,
            t.spec #>> '{overrides,isolation,reason}' AS reason
        FROM tenantry.tenant AS t ",
    held_plan!(),
    "
        WHERE t.env = $1 AND t.phase <> 'deleted' AND t.id > $3 AND p.version IS NOT NULL
    ) AS level
    WHERE placed <> paid OR overridden <> paid ORDER BY id LIMIT $4"
);

fn read(row: &Row) -> Result<FlagRow, StoreError> {
    Ok(FlagRow {
        name: parse(row, "name")?,
        flag: json_opt(row, "spec")?,
        version: get(row, "version")?,
        created_at: get(row, "created_at")?,
        updated_at: get(row, "updated_at")?,
        updated_by: get(row, "updated_by")?,
    })
}

/// Flags inside a transaction.
pub struct Flags<'a> {
    pub(crate) tx: &'a mut WriteTx,
}

impl Flags<'_> {
    /// Locks a flag, if its name is known; a removed one too.
    ///
    /// # Errors
    /// The database's.
    pub async fn lock(&mut self, name: &FlagName) -> Result<Option<FlagRow>, StoreError> {
        let statement = Statement::new(LOCK).bind(self.tx.env()).bind(name.as_str().to_owned());
        self.tx.rows(statement).await?.first().map(read).transpose()
    }

    /// Writes a flag, or removes it: what it says is absent then. `from_version` is the version that was locked, 0 for none.
    ///
    /// # Errors
    /// [`StoreError::StaleVersion`], or the database's.
    pub async fn put(
        &mut self,
        name: &FlagName,
        from_version: i64,
        flag: Option<&Flag>,
    ) -> Result<FlagRow, StoreError> {
        let statement = Statement::new(PUT)
            .bind(self.tx.env())
            .bind(name.as_str().to_owned())
            .bind(flag.cloned().map(Json))
            .bind(self.tx.now)
            .bind(self.tx.actor.to_string())
            .bind(from_version);
        let rows = self.tx.rows(statement).await?;
        let Some(row) = rows.first() else {
            let current = self.lock(name).await?.map_or(0, |row| row.version);
            return Err(StoreError::StaleVersion { current });
        };
        self.tx.wrote = true;
        read(row)
    }
}

/// The place of a name in the list: its length, its bytes.
fn keys(row: &FlagRow) -> [u8; 64] {
    let mut keys = [0; 64];
    let text = row.name.as_str().as_bytes();
    keys[0] = u8::try_from(text.len()).unwrap_or(63);
    for (key, byte) in keys[1..].iter_mut().zip(text) {
        *key = *byte;
    }
    keys
}

fn place(keys: &[u8; 64]) -> String {
    let length = usize::from(keys[0]).min(63);
    String::from_utf8_lossy(&keys[1..=length]).into_owned()
}

impl Reader {
    /// One flag, if its name is known; a removed one too.
    ///
    /// # Errors
    /// The database's.
    pub async fn flag(&self, name: &FlagName) -> Result<Option<FlagRow>, StoreError> {
        let params: [&(dyn ToSql + Sync); 2] = [&self.environment.as_str(), &name.as_str()];
        self.store.query_opt(GET, &params).await?.as_ref().map(read).transpose()
    }

    /// Flags that are there, by name: a page of them.
    ///
    /// # Errors
    /// The page token's, or the database's.
    pub async fn flags(&self, page: &PageRequest<'_>) -> Result<Page<FlagRow>, StoreError> {
        let binding = Binding::new(&self.store, "flags", &self.environment, &(), page);
        let after = binding.open(page)?.map(|keys| place(&keys)).unwrap_or_default();
        let found = self.flags_after(&after, i64::from(page.size.get()) + 1).await?;
        Ok(binding.page(found, page, keys))
    }

    /// At most `limit` flags that are there behind a name, by name.
    ///
    /// # Errors
    /// The database's.
    pub async fn flags_after(&self, after: &str, limit: i64) -> Result<Vec<FlagRow>, StoreError> {
        let rows = self.store.query(LIST, &[&self.environment.as_str(), &after, &limit]).await?;
        rows.iter().map(read).collect()
    }

    /// What a tenant used on days from one to another, both included (`2027-03-31`): by day and feature, at most `limit`.
    ///
    /// # Errors
    /// The database's.
    pub async fn feature_uses(
        &self,
        tenant: TenantId,
        from: &str,
        to: &str,
        limit: i64,
    ) -> Result<Vec<FeatureUse>, StoreError> {
        let sql = "
            SELECT day::text AS day, feature, uses FROM tenantry.feature_use
            WHERE env = $1 AND tenant = $2 AND day BETWEEN $3::text::date AND $4::text::date
            ORDER BY day, feature LIMIT $5";
        let params: [&(dyn ToSql + Sync); 5] = [&self.environment.as_str(), &tenant.uuid(), &from, &to, &limit];
        let rows = self.store.query(sql, &params).await?;
        let read = |row: &Row| {
            Ok(FeatureUse { day: get(row, "day")?, feature: parse(row, "feature")?, uses: get(row, "uses")? })
        };
        rows.iter().map(read).collect()
    }

    /// Tenants whose level, by place or override, is not the one of their plan, in the order of their making.
    ///
    /// # Errors
    /// The page token's, or the database's.
    pub async fn off_level(&self, page: &PageRequest<'_>) -> Result<Page<OffLevel>, StoreError> {
        let binding = Binding::new(&self.store, "levels", &self.environment, &(), page);
        let after = binding.open::<16>(page)?.map(Uuid::from_bytes).unwrap_or_default();
        let limit = i64::from(page.size.get()) + 1;
        let params: [&(dyn ToSql + Sync); 4] = [&self.environment.as_str(), &page.now, &after, &limit];
        let rows = self.store.query(OFF_LEVEL, &params).await?;
        let read = |row: &Row| {
            let overridden: Option<Isolation> = parse_opt(row, "overridden")?;
            let reason: Option<String> = get(row, "reason")?;
            Ok(OffLevel {
                tenant: TenantId::from_uuid(get(row, "id")?),
                slug: slug(row)?,
                plan: parse(row, "plan")?,
                paid: parse(row, "paid")?,
                placed: parse_opt(row, "placed")?,
                overridden,
                reason: reason.filter(|_| overridden.is_some()),
            })
        };
        let found = rows.iter().map(read).collect::<Result<Vec<OffLevel>, StoreError>>()?;
        Ok(binding.page(found, page, |row: &OffLevel| *row.tenant.uuid().as_bytes()))
    }
}

impl Store {
    /// Adds uses, all in one statement; in one order for everybody, so that two writers wait instead of failing.
    ///
    /// # Errors
    /// The database's; nothing was added then.
    pub async fn add_feature_uses(&self, uses: &[(UsedFeature, i64)]) -> Result<(), StoreError> {
        let mut sorted: Vec<&(UsedFeature, i64)> = uses.iter().collect();
        sorted.sort();
        let environments: Vec<&str> = sorted.iter().map(|(used, _)| used.environment.as_str()).collect();
        let tenants: Vec<Uuid> = sorted.iter().map(|(used, _)| used.tenant.uuid()).collect();
        let days: Vec<&str> = sorted.iter().map(|(used, _)| used.day.as_str()).collect();
        let features: Vec<&str> = sorted.iter().map(|(used, _)| used.feature.as_str()).collect();
        let counts: Vec<i64> = sorted.iter().map(|(_, count)| *count).collect();
        let sql = "
            INSERT INTO tenantry.feature_use AS u (env, tenant, day, feature, uses)
            SELECT env, tenant, day::date, feature, uses
            FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::bigint[]) AS n (env, tenant, day, feature, uses)
            ON CONFLICT ON CONSTRAINT feature_use_pkey DO UPDATE SET uses = u.uses + excluded.uses";
        self.query(sql, &[&environments, &tenants, &days, &features, &counts]).await.map(|_| ())
    }

    /// Forgets uses of days before one (`2027-03-31`). Gives how many rows went.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_feature_uses(&self, before: &str) -> Result<i64, StoreError> {
        let sql = "
            WITH gone AS (DELETE FROM tenantry.feature_use WHERE day < $1::text::date RETURNING 1)
            SELECT count(*) AS n FROM gone";
        let row = self.query_opt(sql, &[&before]).await?.ok_or(StoreError::NotFound)?;
        get(&row, "n")
    }
}

/// Everything that decides about the features of one tenant, read together: a decision is about one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureFacts {
    /// Whose.
    pub tenant: TenantId,
    /// Its name.
    pub slug: Slug,
    /// Its plan.
    pub plan: PlanCode,
    /// Where its data is.
    pub cell: Option<CellName>,
    /// What its plan says, by feature.
    pub of_plan: BTreeMap<String, Value>,
    /// What its manifest says, by feature.
    pub deviations: BTreeMap<String, Override<Value>>,
    /// What the environment says, by feature.
    pub flags: BTreeMap<String, Flag>,
}

const FACTS: &str = concat!(
    "
    SELECT t.id, t.slug, t.plan, t.cell, coalesce(p.spec -> 'features', '{}') AS of_plan,
        coalesce(t.spec #> '{overrides,features}', '{}') AS deviations,
        (SELECT coalesce(jsonb_object_agg(f.name, f.spec), '{}') FROM tenantry.flag AS f
            WHERE f.env = t.env AND f.spec IS NOT NULL AND ($4::text IS NULL OR f.name = $4)) AS flags
    FROM tenantry.tenant AS t ",
    held_plan!(),
    "
    WHERE t.env = $1 AND t.phase <> 'deleted' AND (t.id = $2 OR t.slug = $3)"
);

impl Reader {
    /// The facts about the features of a tenant, by its id or its slug: about one feature, or all. Absent when there is no
    /// such tenant.
    ///
    /// # Errors
    /// The database's.
    pub async fn feature_facts(
        &self,
        id: Option<TenantId>,
        name: Option<&Slug>,
        feature: Option<&FlagName>,
    ) -> Result<Option<FeatureFacts>, StoreError> {
        let (id, name) = (id.map(TenantId::uuid), name.map(Slug::as_str));
        let feature = feature.map(FlagName::as_str);
        let params: [&(dyn ToSql + Sync); 4] = [&self.environment.as_str(), &id, &name, &feature];
        let row = self.store.query_opt(FACTS, &params).await?;
        let Some(row) = row.as_ref() else { return Ok(None) };
        Ok(Some(FeatureFacts {
            tenant: TenantId::from_uuid(get(row, "id")?),
            slug: slug(row)?,
            plan: parse(row, "plan")?,
            cell: parse_opt(row, "cell")?,
            of_plan: json(row, "of_plan")?,
            deviations: json(row, "deviations")?,
            flags: json(row, "flags")?,
        }))
    }
}
