//! What Tenantry counts itself: the rows are counted, and judged by the quota, in the transaction that changes them.
//!
//! INVARIANT: under the tenant's lock, what a statement here counts is what the commit leaves.

use std::collections::BTreeMap;

use tenantry_domain::Timestamp;
use tenantry_domain::id::TenantId;
use tenantry_domain::limit::{Bound, Counted, Mode};
use tenantry_pg::ToSql;

use super::{Quotas, Taken, UsedUp, number};
use crate::columns::count;
use crate::line::Statement;
use crate::{Reader, StoreError};

/// How many there are of each kind: of environment $1, tenant $2, at $3.
macro_rules! truth {
    (users) => {
        "((SELECT count(*) FROM tenantry.member WHERE env = $1 AND tenant = $2) \
         + (SELECT count(*) FROM tenantry.invitation WHERE env = $1 AND tenant = $2 AND status = 'pending' AND expires_at > $3) \
         + (SELECT count(*) FROM tenantry.scim_user WHERE env = $1 AND tenant = $2 AND active AND user_id IS NULL))"
    };
    (logins) => {
        "(SELECT count(*) FROM tenantry.gateway_login WHERE env = $1 AND tenant = $2 AND revoked_at IS NULL \
         AND (expires_at IS NULL OR expires_at > $3) AND NOT starts_with(name, 'access-'))"
    };
    (webhooks) => {
        "(SELECT count(*) FROM tenantry.webhook_endpoint WHERE env = $1 AND subject = $2)"
    };
    (keys) => {
        "(SELECT count(*) FROM tenantry.token WHERE env = $1 AND tenant = $2 AND revoked_at IS NULL \
         AND (expires_at IS NULL OR expires_at > $3))"
    };
    (domains) => {
        "(SELECT count(*) FROM tenantry.domain WHERE env = $1 AND tenant = $2)"
    };
}

/// Counts and judges in one statement: nothing is written, and no row comes back, where there are more than $8 allows.
macro_rules! settle {
    ($kind:ident) => {
        concat!(
            "WITH truth AS (SELECT ",
            truth!($kind),
            " AS n)
            INSERT INTO tenantry.quota AS q (env, tenant, name, used, reserved, since, bound, mode, updated_at)
            SELECT $1, $2, $4, truth.n, 0, $5::timestamptz, $6::bigint, $7, $3::timestamptz FROM truth
            WHERE $8::bigint IS NULL OR truth.n <= $8
            ON CONFLICT ON CONSTRAINT quota_pkey DO UPDATE SET used = excluded.used, since = excluded.since,
                bound = excluded.bound, mode = excluded.mode, updated_at = excluded.updated_at
            RETURNING q.used, q.reserved, q.warned, q.exceeded"
        )
    };
}

const ALL: &str = concat!(
    "SELECT ",
    truth!(users),
    " AS users, ",
    truth!(logins),
    " AS logins, ",
    truth!(webhooks),
    " AS webhooks, ",
    truth!(keys),
    " AS keys, ",
    truth!(domains),
    " AS domains FROM (SELECT $1::text, $2::uuid, $3::timestamptz) AS of"
);

const fn settle(kind: Counted) -> &'static str {
    match kind {
        Counted::Users => settle!(users),
        Counted::Logins => settle!(logins),
        Counted::Webhooks => settle!(webhooks),
        Counted::ApiKeys => settle!(keys),
        Counted::Domains => settle!(domains),
    }
}

/// The column of [`ALL`].
const fn column(kind: Counted) -> &'static str {
    match kind {
        Counted::Users => "users",
        Counted::Logins => "logins",
        Counted::Webhooks => "webhooks",
        Counted::ApiKeys => "keys",
        Counted::Domains => "domains",
    }
}

fn read(row: &tenantry_pg::Row) -> Result<BTreeMap<Counted, u64>, StoreError> {
    Counted::ALL.into_iter().map(|kind| Ok((kind, count(row, column(kind))?))).collect()
}

impl Quotas<'_> {
    /// Counts what a change of this transaction leaves of a kind, and judges it. `grown` says by how much the change made it
    /// more; what did not grow is never refused, also where a limit was lowered below it. The change is written before.
    ///
    /// # Errors
    /// [`StoreError::QuotaUsedUp`]; nothing of the transaction can be committed then. [`StoreError::NotFound`] when there
    /// is no such tenant. Or the database's.
    pub async fn settle_count(
        &mut self,
        tenant: TenantId,
        kind: Counted,
        grown: u64,
        limit: &Bound,
    ) -> Result<Taken, StoreError> {
        let quota = kind.quota();
        if limit.mode == Mode::Off {
            return Ok(Taken::nothing(quota, *limit));
        }
        self.tx.tenants().lock(tenant).await?;
        let now = self.tx.now;
        let most = limit.most().filter(|_| grown > 0);
        if self.tx.looks_ahead() {
            // The change is not written, so what is there is what was there before.
            let used = self.counts(tenant).await?.get(&kind).copied().unwrap_or_default();
            return match most.filter(|most| used.saturating_add(grown) > *most) {
                Some(limit) => Err(StoreError::QuotaUsedUp(UsedUp { quota, used, reserved: 0, limit, asked: grown })),
                None => Ok(Taken::nothing(quota, *limit)),
            };
        }
        let settle = Statement::new(settle(kind))
            .bind(self.tx.env())
            .bind(tenant.uuid())
            .bind(now)
            .bind(quota.as_str().to_owned())
            .bind(limit.since(now))
            .bind(limit.limit.amount.map(number))
            .bind(limit.mode.as_str())
            .bind(most.map(number));
        let rows = self.tx.rows(settle).await?;
        self.tx.wrote = true;
        if let Some(row) = rows.first() {
            return self.settle(tenant, &quota, limit, row);
        }
        let found = self.counts(tenant).await?.get(&kind).copied().unwrap_or_default();
        self.tx.abort();
        Err(StoreError::QuotaUsedUp(UsedUp {
            quota,
            used: found.saturating_sub(grown),
            reserved: 0,
            limit: most.unwrap_or_default(),
            asked: grown,
        }))
    }

    /// How many a tenant has of each kind, as this transaction sees it.
    ///
    /// # Errors
    /// The database's.
    pub async fn counts(&mut self, tenant: TenantId) -> Result<BTreeMap<Counted, u64>, StoreError> {
        let all = Statement::new(ALL).bind(self.tx.env()).bind(tenant.uuid()).bind(self.tx.now);
        let rows = self.tx.rows(all).await?;
        read(rows.first().ok_or(StoreError::NotFound)?)
    }
}

impl Reader {
    /// How many a tenant has at a moment of each kind that Tenantry counts itself.
    ///
    /// # Errors
    /// The database's.
    pub async fn counts(&self, tenant: TenantId, now: Timestamp) -> Result<BTreeMap<Counted, u64>, StoreError> {
        let params: [&(dyn ToSql + Sync); 3] = [&self.environment.as_str(), &tenant.uuid(), &now];
        read(&self.store.query_opt(ALL, &params).await?.ok_or(StoreError::NotFound)?)
    }
}
