//! What tenants use of their quotas.
//!
//! Whoever makes something that counts takes its quota in the same transaction, by [`Quotas::take`]; so use and limit are
//! compared where the use changes, and a change that is undone was never counted. The tenant's row is locked first, as
//! for every other change of it, which keeps all who take from meeting head-on.
//! INVARIANT: no commit leaves more than a hard limit allows, except where the limit was lowered or a recount found more.

mod counted;
mod reserve;
mod storage;
mod sweep;

pub use reserve::{NewReservation, ReservationRow};
pub use storage::StoredTenant;

use serde_json::{Value, json};
use tenantry_domain::Timestamp;
use tenantry_domain::event::{self, Type};
use tenantry_domain::id::TenantId;
use tenantry_domain::limit::{Bound, Crossing, Marks, Mode, QuotaName};
use tenantry_pg::{Row, ToSql};

use crate::columns::{count, get, parse};
use crate::line::Statement;
use crate::{Reader, StoreError, WriteTx};

/// A quota as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaRow {
    /// Its name.
    pub name: QuotaName,
    /// What is used; of the period that began at `since`.
    pub used: u64,
    /// What is set aside by reservations that hold.
    pub reserved: u64,
    /// When the period began; absent for a standing amount.
    pub since: Option<Timestamp>,
    /// The last change.
    pub updated_at: Timestamp,
}

/// What was taken, given back or set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "its events belong to the entry of the change"]
pub struct Taken {
    /// The quota.
    pub quota: QuotaName,
    /// What is used now.
    pub used: u64,
    /// What is set aside now.
    pub reserved: u64,
    /// The bound it was judged by.
    pub bound: Bound,
    /// The mark that was crossed by it.
    pub crossed: Option<Crossing>,
}

impl Taken {
    /// The event that tells of the crossed mark; goes into the entry of the change that took.
    #[must_use]
    pub fn events(&self) -> Vec<event::Draft> {
        let kind = |crossing| match crossing {
            Crossing::Warning => Type::QuotaWarning,
            Crossing::Exceeded => Type::QuotaExceeded,
        };
        let drafts = self.crossed.map(|crossing| event::Draft::new(kind(crossing), self.data(None)));
        drafts.into_iter().collect()
    }

    /// The payload of events about this quota.
    fn data(&self, asked: Option<u64>) -> Value {
        json!({
            "quota": self.quota, "used": self.used, "reserved": self.reserved, "limit": self.bound.limit.amount,
            "mode": self.bound.mode, "asked": asked,
        })
    }

    /// The same state for a quota that is not counted.
    const fn nothing(quota: QuotaName, bound: Bound) -> Self {
        Self { quota, used: 0, reserved: 0, bound, crossed: None }
    }
}

/// Why nothing was taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("quota `{quota}` is used up: {used} of {limit} used, {reserved} reserved, {asked} asked for")]
pub struct UsedUp {
    /// The quota.
    pub quota: QuotaName,
    /// What is used.
    pub used: u64,
    /// What is set aside.
    pub reserved: u64,
    /// The hard limit.
    pub limit: u64,
    /// What was asked for.
    pub asked: u64,
}

/// No counter goes beyond this, however often is taken: sums of four such numbers still fit the columns.
const MOST: u64 = 1 << 60;

/// A value of our bounds as the column's.
fn number(amount: u64) -> i64 {
    i64::try_from(amount.min(MOST)).unwrap_or(i64::MAX)
}

/// Frees what expired reservations hold. Runs before whatever judges the quota.
const FREE: &str = "
    WITH gone AS (
        DELETE FROM tenantry.quota_reservation WHERE env = $1 AND tenant = $2 AND name = $3 AND expires_at <= $4
        RETURNING amount
    )
    UPDATE tenantry.quota SET reserved = greatest(reserved - (SELECT sum(amount) FROM gone), 0)
    WHERE env = $1 AND tenant = $2 AND name = $3 AND EXISTS (SELECT FROM gone)";

/// Takes ($4) and sets aside ($5) if the hard limit ($10) allows both. A period that began after the stored one starts
/// from nothing; a clock that lags behind does not bring an old period back. The large number is [`MOST`].
const TAKE: &str = "
    INSERT INTO tenantry.quota AS q (env, tenant, name, used, reserved, since, bound, mode, updated_at)
    SELECT $1, $2, $3, $4::bigint, $5::bigint, $6::timestamptz, $7::bigint, $8, $9::timestamptz
    WHERE $10::bigint IS NULL OR $4::bigint + $5::bigint <= $10
    ON CONFLICT ON CONSTRAINT quota_pkey DO UPDATE SET
        used = least(CASE WHEN q.since < excluded.since THEN 0 ELSE q.used END + excluded.used, 1152921504606846976),
        warned = q.warned AND NOT coalesce(q.since < excluded.since, false),
        exceeded = q.exceeded AND NOT coalesce(q.since < excluded.since, false),
        reserved = least(q.reserved + excluded.reserved, 1152921504606846976),
        since = CASE WHEN excluded.since IS NULL THEN NULL ELSE greatest(q.since, excluded.since) END,
        bound = excluded.bound, mode = excluded.mode, updated_at = excluded.updated_at
    WHERE $10::bigint IS NULL
        OR CASE WHEN q.since < excluded.since THEN 0 ELSE q.used END + q.reserved + excluded.used + excluded.reserved <= $10
    RETURNING q.used, q.reserved, q.warned, q.exceeded";

/// Never below zero: what is given back twice by an application must not make room that is not there.
const GIVE_BACK: &str = "
    UPDATE tenantry.quota SET used = greatest(CASE WHEN since < $6::timestamptz THEN 0 ELSE used END - $4::bigint, 0),
        since = CASE WHEN $6::timestamptz IS NULL THEN NULL ELSE greatest(since, $6::timestamptz) END, updated_at = $5
    WHERE env = $1 AND tenant = $2 AND name = $3 RETURNING used, reserved, warned, exceeded";

const RECOUNT: &str = "
    INSERT INTO tenantry.quota AS q (env, tenant, name, used, reserved, since, bound, mode, updated_at)
    VALUES ($1, $2, $3, $4, 0, $5, $6, $7, $8)
    ON CONFLICT ON CONSTRAINT quota_pkey DO UPDATE SET used = excluded.used, since = excluded.since,
        bound = excluded.bound, mode = excluded.mode, updated_at = excluded.updated_at
    RETURNING used, reserved, warned, exceeded";

const MARK: &str = "UPDATE tenantry.quota SET warned = $4, exceeded = $5 WHERE env = $1 AND tenant = $2 AND name = $3";

const STATE: &str = "
    SELECT q.name, CASE WHEN q.since < $4::timestamptz THEN 0 ELSE q.used END AS used, q.reserved, q.warned, q.exceeded
    FROM tenantry.quota AS q WHERE q.env = $1 AND q.tenant = $2 AND q.name = $3";

/// What is reserved is counted anew, so that what has expired is not shown until somebody meets it.
const LIST: &str = "
    SELECT q.name, q.used, q.since, q.updated_at,
        (SELECT least(coalesce(sum(r.amount), 0), 1152921504606846976)::bigint FROM tenantry.quota_reservation AS r
            WHERE r.env = q.env AND r.tenant = q.tenant AND r.name = q.name AND r.expires_at > $3) AS reserved
    FROM tenantry.quota AS q WHERE q.env = $1 AND q.tenant = $2 ORDER BY q.name";

/// Quotas inside a transaction.
pub struct Quotas<'a> {
    tx: &'a mut WriteTx,
}

impl WriteTx {
    /// What tenants use of their quotas.
    pub fn quotas(&mut self) -> Quotas<'_> {
        Quotas { tx: self }
    }
}

fn read(row: &Row) -> Result<QuotaRow, StoreError> {
    Ok(QuotaRow {
        name: parse(row, "name")?,
        used: count(row, "used")?,
        reserved: count(row, "reserved")?,
        since: get(row, "since")?,
        updated_at: get(row, "updated_at")?,
    })
}

impl Quotas<'_> {
    /// What a locked tenant uses of its quotas, by name; those that were never counted are left out.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(&mut self, tenant: TenantId) -> Result<Vec<QuotaRow>, StoreError> {
        let statement = Statement::new(LIST).bind(self.tx.env()).bind(tenant.uuid()).bind(self.tx.now);
        self.tx.rows(statement).await?.iter().map(read).collect()
    }

    /// Takes an amount of a quota, or nothing. The change that it is taken for goes into the same transaction, and
    /// [`Taken::events`] into its entry. A quota that is off is not counted.
    ///
    /// # Errors
    /// [`StoreError::QuotaUsedUp`]; nothing of the transaction can be committed then. [`StoreError::NotFound`] when there
    /// is no such tenant. Or the database's.
    pub async fn take(
        &mut self,
        tenant: TenantId,
        quota: &QuotaName,
        amount: u64,
        limit: &Bound,
    ) -> Result<Taken, StoreError> {
        self.add(tenant, quota, amount, 0, limit).await
    }

    /// Gives an amount back. One that was not taken, or in an earlier period, makes no room.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such tenant, or the database's.
    pub async fn give_back(
        &mut self,
        tenant: TenantId,
        quota: &QuotaName,
        amount: u64,
        limit: &Bound,
    ) -> Result<Taken, StoreError> {
        self.tx.tenants().lock(tenant).await?;
        let now = self.tx.now;
        let give = self.of(GIVE_BACK, tenant, quota).bind(number(amount)).bind(now).bind(limit.since(now));
        let rows = self.run(tenant, quota, give).await?;
        match rows.first() {
            Some(row) => self.settle(tenant, quota, limit, row),
            None => Ok(Taken::nothing(quota.clone(), *limit)),
        }
    }

    /// Sets what is used to what was counted elsewhere. Of a quota that is off nothing is kept.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such tenant, or the database's.
    pub async fn recount(
        &mut self,
        tenant: TenantId,
        quota: &QuotaName,
        truth: u64,
        limit: &Bound,
    ) -> Result<Taken, StoreError> {
        if limit.mode == Mode::Off {
            return Ok(Taken::nothing(quota.clone(), *limit));
        }
        self.tx.tenants().lock(tenant).await?;
        let now = self.tx.now;
        let recount = self
            .of(RECOUNT, tenant, quota)
            .bind(number(truth))
            .bind(limit.since(now))
            .bind(limit.limit.amount.map(number))
            .bind(limit.mode.as_str())
            .bind(now);
        let rows = self.run(tenant, quota, recount).await?;
        let row = rows.first().ok_or(StoreError::NotFound)?;
        self.settle(tenant, quota, limit, row)
    }

    /// Notes that something was refused. Gives the event to tell of it, unless that was told already.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such tenant, or the database's.
    pub async fn refused(
        &mut self,
        tenant: TenantId,
        used_up: &UsedUp,
        limit: &Bound,
    ) -> Result<Option<event::Draft>, StoreError> {
        self.tx.tenants().lock(tenant).await?;
        let quota = &used_up.quota;
        // Without a row nothing was ever taken: the very first asked for more than all.
        let make = self.statement(TAKE, tenant, quota, 0, 0, limit);
        let rows = self.run(tenant, quota, make).await?;
        let state = match rows.into_iter().next() {
            Some(row) => row,
            None => {
                let state = self.of(STATE, tenant, quota).bind(limit.since(self.tx.now));
                self.tx.rows(state).await?.into_iter().next().ok_or(StoreError::NotFound)?
            }
        };
        if get::<bool>(&state, "exceeded")? {
            return Ok(None);
        }
        self.mark(tenant, quota, Marks { warned: true, exceeded: true });
        let taken = Taken {
            used: count(&state, "used")?,
            reserved: count(&state, "reserved")?,
            ..Taken::nothing(quota.clone(), *limit)
        };
        Ok(Some(event::Draft::new(Type::QuotaExceeded, taken.data(Some(used_up.asked)))))
    }

    async fn add(
        &mut self,
        tenant: TenantId,
        quota: &QuotaName,
        take: u64,
        reserve: u64,
        limit: &Bound,
    ) -> Result<Taken, StoreError> {
        // What is set aside is kept all the same: whoever has a reservation ends it, whatever the plan says by then.
        if limit.mode == Mode::Off && reserve == 0 {
            return Ok(Taken::nothing(quota.clone(), *limit));
        }
        self.tx.tenants().lock(tenant).await?;
        let add = self.statement(TAKE, tenant, quota, take, reserve, limit);
        let rows = self.run(tenant, quota, add).await?;
        if let Some(row) = rows.first() {
            return self.settle(tenant, quota, limit, row);
        }
        let state = self.of(STATE, tenant, quota).bind(limit.since(self.tx.now));
        let rows = self.tx.rows(state).await?;
        self.tx.abort();
        let read = |name| rows.first().map_or(Ok(0), |row| count(row, name));
        Err(StoreError::QuotaUsedUp(UsedUp {
            quota: quota.clone(),
            used: read("used")?,
            reserved: read("reserved")?,
            limit: limit.most().unwrap_or(0),
            asked: take.saturating_add(reserve),
        }))
    }

    fn statement(
        &self,
        sql: &'static str,
        tenant: TenantId,
        quota: &QuotaName,
        take: u64,
        reserve: u64,
        limit: &Bound,
    ) -> Statement {
        self.of(sql, tenant, quota)
            .bind(number(take))
            .bind(number(reserve))
            .bind(limit.since(self.tx.now))
            .bind(limit.limit.amount.map(number))
            .bind(limit.mode.as_str())
            .bind(self.tx.now)
            .bind(limit.most().map(number))
    }

    /// Frees what has expired, then runs a statement, in one round trip.
    async fn run(&mut self, tenant: TenantId, quota: &QuotaName, statement: Statement) -> Result<Vec<Row>, StoreError> {
        let free = self.of(FREE, tenant, quota).bind(self.tx.now);
        let answers = self.tx.run(vec![free, statement]).await?;
        self.tx.wrote = true;
        Ok(answers.into_iter().next_back().unwrap_or_default())
    }

    /// What a quota looks like after a change of it, and what is to be told of that.
    fn settle(&mut self, tenant: TenantId, quota: &QuotaName, limit: &Bound, row: &Row) -> Result<Taken, StoreError> {
        let (used, reserved): (u64, u64) = (count(row, "used")?, count(row, "reserved")?);
        let marks = Marks { warned: get(row, "warned")?, exceeded: get(row, "exceeded")? };
        let (kept, crossed) = limit.judge(marks, used.saturating_add(reserved));
        if kept != marks {
            self.mark(tenant, quota, kept);
        }
        Ok(Taken { quota: quota.clone(), used, reserved, bound: *limit, crossed })
    }

    fn mark(&mut self, tenant: TenantId, quota: &QuotaName, marks: Marks) {
        let mark = self.of(MARK, tenant, quota).bind(marks.warned).bind(marks.exceeded);
        self.tx.queue(mark);
    }

    fn of(&self, sql: &'static str, tenant: TenantId, quota: &QuotaName) -> Statement {
        Statement::new(sql).bind(self.tx.env()).bind(tenant.uuid()).bind(quota.as_str().to_owned())
    }
}

impl Reader {
    /// What a tenant uses of its quotas, by name; those that were never counted are left out.
    ///
    /// # Errors
    /// The database's.
    pub async fn quotas(&self, tenant: TenantId, now: Timestamp) -> Result<Vec<QuotaRow>, StoreError> {
        let params: [&(dyn ToSql + Sync); 3] = [&self.environment.as_str(), &tenant.uuid(), &now];
        self.store.query(LIST, &params).await?.iter().map(read).collect()
    }
}
