//! Domains of tenants' own: what proves each, how it stands, whose turn it is to be looked at.
//!
//! Rows come and go with the tenant's spec, in its transaction ([`crate::tenants`]). Looks are observations and are
//! written without [`WriteTx`]. INVARIANT: a standing changes only inside a [`WriteTx`], with its entry, and at most one
//! tenant of an environment has a domain verified; every other write names the standing that it continues.

use std::time::Duration;

use tenantry_domain::Timestamp;
use tenantry_domain::access::domain::{Proof, Standing};
use tenantry_domain::id::TenantId;
use tenantry_domain::name::EnvironmentName;
use tenantry_pg::{Row, ToSql};
use uuid::Uuid;

use crate::columns::{get, parse, parse_opt};
use crate::line::Statement;
use crate::{Reader, Store, StoreError, WriteTx};

/// A domain as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainRow {
    /// Where.
    pub environment: EnvironmentName,
    /// Who wants it.
    pub tenant: TenantId,
    /// The domain.
    pub domain: String,
    /// What the TXT record has to hold. Not secret: whoever reads DNS sees it.
    pub challenge: String,
    /// How it stands.
    pub proof: Proof,
    /// When it was looked at last; absent before the first time.
    pub looked_at: Option<Timestamp>,
    /// When the next look is due.
    pub next_look_at: Timestamp,
}

const COLUMNS: &str = "
    SELECT env, tenant, domain, challenge, standing, since, missed, missing_since, problem, looked_at, next_look_at
    FROM tenantry.domain WHERE env = $1 AND tenant = $2 ORDER BY domain";

const LOCK: &str = "
    SELECT env, tenant, domain, challenge, standing, since, missed, missing_since, problem, looked_at, next_look_at
    FROM tenantry.domain WHERE env = $1 AND tenant = $2 AND domain = $3 FOR UPDATE";

const CLAIM: &str = "
    UPDATE tenantry.domain AS d SET next_look_at = $1::timestamptz + $2 * interval '1 second'
    FROM (
        SELECT env, tenant, domain FROM tenantry.domain WHERE next_look_at <= $1::timestamptz
        ORDER BY next_look_at LIMIT $3 FOR UPDATE SKIP LOCKED
    ) AS due
    WHERE d.env = due.env AND d.tenant = due.tenant AND d.domain = due.domain
    RETURNING d.env, d.tenant, d.domain, d.challenge, d.standing, d.since, d.missed, d.missing_since, d.problem,
        d.looked_at, d.next_look_at";

const PUT: &str = "
    UPDATE tenantry.domain SET standing = $4, since = $5, missed = $6, missing_since = $7, problem = $8, looked_at = $9::timestamptz,
        next_look_at = $9::timestamptz + $10 * interval '1 second'
    WHERE env = $1 AND tenant = $2 AND domain = $3 RETURNING domain";

/// What was looked at a moment ago must not be overwritten by a slower look.
const NOTE: &str = "
    UPDATE tenantry.domain SET missed = $6, missing_since = $7, problem = $8, looked_at = $9::timestamptz,
        next_look_at = $9::timestamptz + $10 * (1 + 0.05 * random()) * interval '1 second'
    WHERE env = $1 AND tenant = $2 AND domain = $3 AND standing = $4 AND since = $5 AND challenge = $11
        AND looked_at IS NOT DISTINCT FROM $12
    RETURNING domain";

fn read(row: &Row) -> Result<DomainRow, StoreError> {
    Ok(DomainRow {
        environment: parse(row, "env")?,
        tenant: TenantId::from_uuid(get(row, "tenant")?),
        domain: get(row, "domain")?,
        challenge: get(row, "challenge")?,
        proof: Proof {
            standing: parse(row, "standing")?,
            since: get(row, "since")?,
            missed: u32::try_from(get::<i32>(row, "missed")?).unwrap_or_default(),
            missing_since: get(row, "missing_since")?,
            problem: parse_opt(row, "problem")?,
        },
        looked_at: get(row, "looked_at")?,
        next_look_at: get(row, "next_look_at")?,
    })
}

/// The columns hold microseconds: what is compared later must be what was stored.
fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

fn missed(proof: &Proof) -> i32 {
    i32::try_from(proof.missed).unwrap_or(i32::MAX)
}

/// Domains inside a transaction.
pub struct Domains<'a> {
    pub(crate) tx: &'a mut WriteTx,
}

impl Domains<'_> {
    /// Locks a tenant's domain, if the tenant still wants it. Lock the tenant first, as whoever changes its spec does.
    ///
    /// # Errors
    /// The database's.
    pub async fn lock(&mut self, tenant: TenantId, domain: &str) -> Result<Option<DomainRow>, StoreError> {
        let statement = Statement::new(LOCK).bind(self.tx.env()).bind(tenant.uuid()).bind(domain.to_owned());
        let rows = self.tx.rows(statement).await?;
        rows.first().map(read).transpose()
    }

    /// Whether no tenant has a domain verified. Until the end of the transaction nobody else gets an answer for it, so
    /// the answer holds when it is acted on.
    ///
    /// # Errors
    /// The database's.
    pub async fn is_free(&mut self, domain: &str) -> Result<bool, StoreError> {
        // A statement of its own, so that the look behind it sees what the one who was waited for has committed.
        let queue = "SELECT pg_advisory_xact_lock(hashtextextended($1::text || '/' || $2::text, 0))";
        let free = "SELECT NOT EXISTS (
            SELECT FROM tenantry.domain WHERE env = $1 AND domain = $2 AND standing = 'verified'
        ) AS is_free";
        let both = [queue, free];
        let statements = both.map(|sql| Statement::new(sql).bind(self.tx.env()).bind(domain.to_owned()));
        let answers = self.tx.run(statements.into()).await?;
        let row = answers.get(1).and_then(|rows| rows.first()).ok_or(StoreError::NotFound)?;
        get(row, "is_free")
    }

    /// Writes how a locked domain stands from now on; the next look is due after `pause`.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or the database's.
    pub async fn put(&mut self, row: &DomainRow, proof: &Proof, pause: Duration) -> Result<(), StoreError> {
        let statement = Statement::new(PUT)
            .bind(self.tx.env())
            .bind(row.tenant.uuid())
            .bind(row.domain.clone())
            .bind(proof.standing.as_str())
            .bind(whole(proof.since))
            .bind(missed(proof))
            .bind(proof.missing_since.map(whole))
            .bind(proof.problem.map(|problem| problem.as_str()))
            .bind(self.tx.now)
            .bind(pause.as_secs_f64());
        if self.tx.rows(statement).await?.is_empty() {
            return Err(StoreError::NotFound);
        }
        self.tx.wrote = true;
        Ok(())
    }
}

impl Store {
    /// Takes domains that are due, at most `most`; nobody else gets them for `lease`.
    ///
    /// # Errors
    /// The database's.
    pub async fn domains_claim(
        &self,
        now: Timestamp,
        lease: Duration,
        most: u32,
    ) -> Result<Vec<DomainRow>, StoreError> {
        let params: [&(dyn ToSql + Sync); 3] = [&now, &lease.as_secs_f64(), &i64::from(most)];
        self.query(CLAIM, &params).await?.iter().map(read).collect()
    }

    /// Writes what a look at `row` found where its standing stays; the next one is due after `pause`, up to a twentieth
    /// more. Says whether the row was still as it was read.
    ///
    /// # Errors
    /// The database's.
    pub async fn domain_note(
        &self,
        row: &DomainRow,
        proof: &Proof,
        now: Timestamp,
        pause: Duration,
    ) -> Result<bool, StoreError> {
        let (environment, tenant) = (row.environment.as_str(), row.tenant.uuid());
        let (missing_since, problem) = (proof.missing_since.map(whole), proof.problem.map(|problem| problem.as_str()));
        let params: [&(dyn ToSql + Sync); 12] = [
            &environment,
            &tenant,
            &row.domain,
            &row.proof.standing.as_str(),
            &row.proof.since,
            &missed(proof),
            &missing_since,
            &problem,
            &whole(now),
            &pause.as_secs_f64(),
            &row.challenge,
            &row.looked_at,
        ];
        Ok(!self.query(NOTE, &params).await?.is_empty())
    }
}

impl Reader {
    /// A tenant's domains, by name.
    ///
    /// # Errors
    /// The database's.
    pub async fn domains(&self, tenant: TenantId) -> Result<Vec<DomainRow>, StoreError> {
        let rows = self.store.query(COLUMNS, &[&self.environment.as_str(), &tenant.uuid()]).await?;
        rows.iter().map(read).collect()
    }

    /// The tenant that has a domain verified.
    ///
    /// # Errors
    /// The database's.
    pub async fn domain_owner(&self, domain: &str) -> Result<Option<TenantId>, StoreError> {
        let sql = "SELECT tenant FROM tenantry.domain WHERE env = $1 AND domain = $2 AND standing = $3";
        let params: [&(dyn ToSql + Sync); 3] = [&self.environment.as_str(), &domain, &Standing::Verified.as_str()];
        let row = self.store.query_opt(sql, &params).await?;
        row.map(|row| get::<Uuid>(&row, "tenant").map(TenantId::from_uuid)).transpose()
    }
}
