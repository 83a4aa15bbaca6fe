//! Tenants' own pools of users at an identity provider: how each stands, and whose turn it is to be looked at.
//!
//! Rows are made by a sweep over the plans and stay as evidence. Looks are observations and are written without
//! [`WriteTx`]. INVARIANT: a standing changes only inside a [`WriteTx`], with its entry; one replica at a time works at a
//! pool, and what a replica found after its lease was over is not written.

use std::time::Duration;

use serde_json::Value;
use tenantry_domain::Timestamp;
use tenantry_domain::id::TenantId;
use tenantry_domain::member::Identity;
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::pool::Standing;
use tenantry_domain::tenant::Slug;
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_pg::{Row, ToSql};
use uuid::Uuid;

use crate::columns::{count, get, json_opt, parse, slug};
use crate::line::Statement;
use crate::plans::held_plan;
use crate::{Reader, Store, StoreError, WriteTx};

/// A pool as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolRow {
    /// Where.
    pub environment: EnvironmentName,
    /// Whose.
    pub tenant: TenantId,
    /// The provider's issuer.
    pub issuer: String,
    /// What the provider calls it; absent before it said so.
    pub pool: Option<String>,
    /// How it stands.
    pub standing: Standing,
    /// Since when.
    pub since: Timestamp,
    /// Failures in a row.
    pub failures: u32,
    /// The word for the last one.
    pub problem: Option<String>,
    /// When it was looked at last; absent before the first time.
    pub looked_at: Option<Timestamp>,
    /// When the next look is due.
    pub next_look_at: Timestamp,
    /// Until when somebody works at it.
    pub leased_until: Option<Timestamp>,
}

/// A pool that somebody is to look at now.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolTurn {
    /// The pool.
    pub row: PoolRow,
    /// The tenant's name.
    pub slug: Slug,
    /// Where the tenant is.
    pub phase: Phase,
    /// What its plan says; absent when there is no such plan any more.
    pub plan: Option<Value>,
}

macro_rules! columns {
    ($of:literal) => {
        concat!(
            $of,
            "env, ",
            $of,
            "tenant, ",
            $of,
            "issuer, ",
            $of,
            "pool, ",
            $of,
            "standing, ",
            $of,
            "since, ",
            $of,
            "failures::bigint AS failures, ",
            $of,
            "problem, ",
            $of,
            "looked_at, ",
            $of,
            "next_look_at, ",
            $of,
            "leased_until "
        )
    };
}

const OF: &str = concat!("SELECT ", columns!(""), "FROM tenantry.identity_pool WHERE env = $1 AND tenant = $2");

const LOCK: &str =
    concat!("SELECT ", columns!(""), "FROM tenantry.identity_pool WHERE env = $1 AND tenant = $2 FOR UPDATE");

const OWNER: &str = "
    SELECT tenant FROM tenantry.identity_pool WHERE env = $1 AND issuer = $2 AND pool = $3 AND standing <> 'deleted'";

/// Active tenants of plans that promise a pool, in the version that they have, and have none. A plan whose tenants all have a
/// version that promises none is not looked at further.
const ENROL: &str = "
    INSERT INTO tenantry.identity_pool (env, tenant, issuer, standing, since, next_look_at)
    SELECT t.env, t.id, $1, 'wanted', $2::timestamptz, $2::timestamptz
    FROM tenantry.catalog AS c
    JOIN tenantry.tenant AS t ON t.env = c.env AND t.plan = c.name AND t.phase = 'active'
    JOIN tenantry.catalog_version AS p ON p.env = c.env AND p.kind = c.kind AND p.name = c.name
        AND p.version = least(greatest(t.plan_version, c.floor), c.version)
    LEFT JOIN tenantry.identity_pool AS i ON i.env = t.env AND i.tenant = t.id
    WHERE c.kind = 'plan' AND (c.spec ->> 'identity' = $3 OR c.floor < c.version) AND p.spec ->> 'identity' = $3
        AND i.tenant IS NULL
    LIMIT $4 ON CONFLICT DO NOTHING RETURNING tenant";

const CLAIM: &str = concat!(
    "
    WITH due AS (
        SELECT p.env, p.tenant, t.phase, t.version, t.slug, t.plan, t.plan_version
        FROM tenantry.identity_pool AS p JOIN tenantry.tenant AS t ON t.env = p.env AND t.id = p.tenant
        WHERE p.standing <> 'deleted' AND (p.leased_until IS NULL OR p.leased_until <= $1::timestamptz)
            AND (p.next_look_at <= $1::timestamptz OR p.seen_phase IS DISTINCT FROM t.phase
                OR p.seen_version IS DISTINCT FROM t.version)
        ORDER BY p.next_look_at LIMIT $3 FOR UPDATE OF p SKIP LOCKED
    ), taken AS (
        UPDATE tenantry.identity_pool AS p SET leased_until = $1::timestamptz + $2 * interval '1 second',
            seen_phase = due.phase, seen_version = due.version
        FROM due WHERE p.env = due.env AND p.tenant = due.tenant
        RETURNING ",
    columns!("p."),
    ", due.slug, due.phase, due.plan, due.plan_version
    )
    SELECT t.*, p.spec AS plan_spec FROM taken AS t ",
    held_plan!()
);

const IS_MEMBER: &str = "
    SELECT EXISTS (
        SELECT FROM tenantry.user_account AS u
        JOIN tenantry.member AS m ON m.env = u.env AND m.user_id = u.id
        WHERE u.env = $1 AND u.issuer = $2 AND u.pool = $3 AND u.subject = $4 AND m.tenant = $5
    ) AS is_member";

const PUT: &str = "
    UPDATE tenantry.identity_pool SET pool = $4, standing = $5,
        since = CASE WHEN standing = $5 THEN since ELSE $6::timestamptz END,
        failures = 0, problem = NULL, looked_at = $6::timestamptz,
        next_look_at = $6::timestamptz + $7 * (1 + 0.1 * random()) * interval '1 second', leased_until = NULL
    WHERE env = $1 AND tenant = $2 AND leased_until = $3 RETURNING tenant";

const NOTE: &str = "
    UPDATE tenantry.identity_pool SET failures = $4, problem = $5, looked_at = $6::timestamptz,
        next_look_at = $6::timestamptz + $7 * (1 + 0.1 * random()) * interval '1 second', leased_until = NULL
    WHERE env = $1 AND tenant = $2 AND leased_until = $3 RETURNING tenant";

const HOLD: &str = concat!(
    "UPDATE tenantry.identity_pool SET leased_until = $4::timestamptz + $5 * interval '1 second'
    WHERE env = $1 AND tenant = $2 AND leased_until = $3 RETURNING ",
    columns!("")
);

fn read(row: &Row) -> Result<PoolRow, StoreError> {
    Ok(PoolRow {
        environment: parse(row, "env")?,
        tenant: TenantId::from_uuid(get(row, "tenant")?),
        issuer: get(row, "issuer")?,
        pool: get(row, "pool")?,
        standing: parse(row, "standing")?,
        since: get(row, "since")?,
        failures: count(row, "failures")?,
        problem: get(row, "problem")?,
        looked_at: get(row, "looked_at")?,
        next_look_at: get(row, "next_look_at")?,
        leased_until: get(row, "leased_until")?,
    })
}

fn turn(row: &Row) -> Result<PoolTurn, StoreError> {
    Ok(PoolTurn { row: read(row)?, slug: slug(row)?, phase: parse(row, "phase")?, plan: json_opt(row, "plan_spec")? })
}

impl WriteTx {
    /// Pools of tenants. Lock the tenant first.
    pub fn pools(&mut self) -> Pools<'_> {
        Pools { tx: self }
    }
}

/// Pools inside a transaction.
pub struct Pools<'a> {
    pub(crate) tx: &'a mut WriteTx,
}

impl Pools<'_> {
    /// Locks a tenant's pool, if it has one.
    ///
    /// # Errors
    /// The database's.
    pub async fn lock(&mut self, tenant: TenantId) -> Result<Option<PoolRow>, StoreError> {
        let statement = Statement::new(LOCK).bind(self.tx.env()).bind(tenant.uuid());
        self.tx.rows(statement).await?.first().map(read).transpose()
    }

    /// Writes how a pool stands from now on, and ends the turn of whoever found it out; the next look is due after
    /// `pause`, up to a tenth more. Says whether the turn was still theirs; if not, nothing is written.
    ///
    /// # Errors
    /// The database's.
    pub async fn put(
        &mut self,
        row: &PoolRow,
        pool: Option<&str>,
        standing: Standing,
        pause: Duration,
    ) -> Result<bool, StoreError> {
        let statement = Statement::new(PUT)
            .bind(self.tx.env())
            .bind(row.tenant.uuid())
            .bind(row.leased_until)
            .bind(pool.map(ToOwned::to_owned))
            .bind(standing.as_str())
            .bind(self.tx.now)
            .bind(pause.as_secs_f64());
        if self.tx.rows(statement).await?.is_empty() {
            return Ok(false);
        }
        self.tx.wrote = true;
        Ok(true)
    }
}

impl Store {
    /// Notes a pool for each active tenant whose plan has the word for one and that has none; at most `most`. Says how many.
    ///
    /// # Errors
    /// The database's.
    pub async fn pools_enrol(&self, issuer: &str, word: &str, now: Timestamp, most: u32) -> Result<usize, StoreError> {
        let params: [&(dyn ToSql + Sync); 4] = [&issuer, &now, &word, &i64::from(most)];
        Ok(self.query(ENROL, &params).await?.len())
    }

    /// Takes pools that are due, at most `most`; nobody else gets them for `lease`. A pool is due when its time has come, and
    /// at once when its tenant changed.
    ///
    /// # Errors
    /// The database's.
    pub async fn pools_claim(&self, now: Timestamp, lease: Duration, most: u32) -> Result<Vec<PoolTurn>, StoreError> {
        let params: [&(dyn ToSql + Sync); 3] = [&now, &lease.as_secs_f64(), &i64::from(most)];
        self.query(CLAIM, &params).await?.iter().map(turn).collect()
    }

    /// Keeps a turn for another `lease` from now on. Nothing if somebody else has it by now.
    ///
    /// # Errors
    /// The database's.
    pub async fn pool_hold(
        &self,
        row: &PoolRow,
        now: Timestamp,
        lease: Duration,
    ) -> Result<Option<PoolRow>, StoreError> {
        let (environment, tenant) = (row.environment.as_str(), row.tenant.uuid());
        let params: [&(dyn ToSql + Sync); 5] = [&environment, &tenant, &row.leased_until, &now, &lease.as_secs_f64()];
        self.query_opt(HOLD, &params).await?.as_ref().map(read).transpose()
    }

    /// Writes what a look found where the standing stays, and ends the turn. Says whether the turn was still theirs.
    ///
    /// # Errors
    /// The database's.
    pub async fn pool_note(
        &self,
        row: &PoolRow,
        problem: Option<&str>,
        now: Timestamp,
        pause: Duration,
    ) -> Result<bool, StoreError> {
        let failures = if problem.is_some() { row.failures.saturating_add(1) } else { 0 };
        let failures = i32::try_from(failures).unwrap_or(i32::MAX);
        let (environment, tenant) = (row.environment.as_str(), row.tenant.uuid());
        let params: [&(dyn ToSql + Sync); 7] =
            [&environment, &tenant, &row.leased_until, &failures, &problem, &now, &pause.as_secs_f64()];
        Ok(!self.query(NOTE, &params).await?.is_empty())
    }
}

impl Reader {
    /// A tenant's pool, if it has one; also one that is gone.
    ///
    /// # Errors
    /// The database's.
    pub async fn pool(&self, tenant: TenantId) -> Result<Option<PoolRow>, StoreError> {
        let params: [&(dyn ToSql + Sync); 2] = [&self.environment.as_str(), &tenant.uuid()];
        self.store.query_opt(OF, &params).await?.as_ref().map(read).transpose()
    }

    /// The tenant whose pool an issuer's token names.
    ///
    /// # Errors
    /// The database's.
    pub async fn pool_owner(&self, issuer: &str, pool: &str) -> Result<Option<TenantId>, StoreError> {
        let params: [&(dyn ToSql + Sync); 3] = [&self.environment.as_str(), &issuer, &pool];
        let row = self.store.query_opt(OWNER, &params).await?;
        row.map(|row| get::<Uuid>(&row, "tenant").map(TenantId::from_uuid)).transpose()
    }
    /// Whether somebody made an identity a member of a tenant.
    ///
    /// # Errors
    /// The database's.
    pub async fn is_member(&self, tenant: TenantId, identity: &Identity) -> Result<bool, StoreError> {
        let params: [&(dyn ToSql + Sync); 5] =
            [&self.environment.as_str(), &identity.issuer, &identity.pool, &identity.subject, &tenant.uuid()];
        let row = self.store.query_opt(IS_MEMBER, &params).await?.ok_or(StoreError::NotFound)?;
        get(&row, "is_member")
    }
}
