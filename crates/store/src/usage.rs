//! Usage of tenants: counting events, each once, and reading what hours came to.
//!
//! A batch is counted by one statement that commits by itself: which of its events are new, which values a unique meter has
//! not seen in its hour, and the hours that change. It needs no audit entry, as it is no decision of anybody; who was allowed
//! to send it is judged before.
//! INVARIANT: an event is counted when its row in `usage_event` is there, and not otherwise: both come with one statement.
//! INVARIANT: every statement takes its locks in one order: events by day and key, members, hours, each sorted. So two
//! batches that share events or hours wait for each other and never meet head-on.

mod read;
mod told;

pub use read::{UsageBeside, UsageQuery, UsageQuota, UsageRow, UsageShare};
pub use told::{UsageDue, UsageHour, UsageReport};

use std::collections::HashSet;

use tenantry_domain::Timestamp;
use tenantry_domain::id::TenantId;
use tenantry_domain::name::{EnvironmentName, MeterName};
use tenantry_domain::tenant::Slug;
use tenantry_domain::usage::{Aggregation, Amount};
use tenantry_pg::ToSql;
use uuid::Uuid;

use crate::columns::{get, slug};
use crate::{Reader, Store, StoreError};

/// What an event is known again by: the first half of a SHA-256.
pub type UsageKey = [u8; 16];

/// An event that is to be counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUsage {
    /// Its identity, together with the UTC day of its time.
    pub key: UsageKey,
    /// Its own time.
    pub at: Timestamp,
    /// Whose.
    pub tenant: TenantId,
    /// What it is counted by.
    pub meter: MeterName,
    /// How.
    pub aggregation: Aggregation,
    /// How much.
    pub amount: Amount,
    /// The dimensions in their one spelling.
    pub dimensions: String,
    /// Digest of the value that is counted once; only of a unique meter.
    pub member: Option<UsageKey>,
}

/// Values are in millionths, hence the million.
const COUNT: &str = "
    WITH input AS (
        SELECT key, at, (at AT TIME ZONE 'UTC')::date AS day, date_trunc('hour', at, 'UTC') AS hour,
            tenant, meter, aggregation, amount, dimensions COLLATE \"C\" AS dimensions, member
        FROM unnest($2::bytea[], $3::timestamptz[], $4::uuid[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::bytea[])
            AS i (key, at, tenant, meter, aggregation, amount, dimensions, member)
    ),
    fresh AS (
        INSERT INTO tenantry.usage_event (env, day, key, tenant, meter, received_at)
        SELECT $1::text, day, key, tenant, meter, $10::timestamptz FROM input ORDER BY day, key
        ON CONFLICT DO NOTHING RETURNING day, key
    ),
    counted AS MATERIALIZED (SELECT i.* FROM input AS i JOIN fresh USING (day, key)),
    seen AS (
        INSERT INTO tenantry.usage_member (env, tenant, meter, hour, dimensions, member)
        SELECT DISTINCT $1::text, tenant, meter, hour, dimensions, member FROM counted WHERE member IS NOT NULL
        ORDER BY tenant, meter, hour, dimensions, member
        ON CONFLICT DO NOTHING RETURNING tenant, meter, hour, dimensions
    ),
    new_members AS MATERIALIZED (
        SELECT tenant, meter, hour, dimensions, count(*) AS n FROM seen GROUP BY tenant, meter, hour, dimensions
    ),
    hours AS (
        INSERT INTO tenantry.usage_hour AS u
            (env, tenant, meter, hour, dimensions, aggregation, events, value, last_at, last_key)
        SELECT $1::text, c.tenant, c.meter, c.hour, c.dimensions, c.aggregation, count(*),
            CASE c.aggregation WHEN 'sum' THEN sum(c.amount) WHEN 'max' THEN max(c.amount)
                WHEN 'last' THEN (array_agg(c.amount ORDER BY c.at DESC, c.key DESC))[1]
                ELSE coalesce(max(m.n), 0) * 1000000 END,
            max(c.at), (array_agg(c.key ORDER BY c.at DESC, c.key DESC))[1]
        FROM counted AS c LEFT JOIN new_members AS m USING (tenant, meter, hour, dimensions)
        GROUP BY c.tenant, c.meter, c.hour, c.dimensions, c.aggregation
        ORDER BY c.tenant, c.meter, c.hour, c.dimensions
        ON CONFLICT ON CONSTRAINT usage_hour_pkey DO UPDATE SET
            events = u.events + excluded.events, is_told = false,
            value = CASE u.aggregation WHEN 'max' THEN greatest(u.value, excluded.value)
                WHEN 'last' THEN CASE WHEN (excluded.last_at, excluded.last_key) > (u.last_at, u.last_key)
                    THEN excluded.value ELSE u.value END
                ELSE u.value + excluded.value END,
            last_key = CASE WHEN (excluded.last_at, excluded.last_key) > (u.last_at, u.last_key)
                THEN excluded.last_key ELSE u.last_key END,
            last_at = greatest(u.last_at, excluded.last_at)
    )
    SELECT key FROM fresh";

const SUBJECTS: &str = "
    SELECT id, slug FROM tenantry.tenant
    WHERE env = $1 AND phase <> 'deleted' AND (id = ANY ($2::uuid[]) OR slug = ANY ($3::text[]))";

impl Store {
    /// Counts events of an environment that were not counted before, all in one commit. Gives the key of each that was new, in no
    /// order; the others had been counted. A key on two days is two events. The days of all events must be there, see
    /// [`Self::usage_days`].
    ///
    /// # Errors
    /// The database's; when its answer was lost, sending the same again tells.
    pub async fn count_usage(
        &self,
        environment: &EnvironmentName,
        events: &[NewUsage],
        now: Timestamp,
    ) -> Result<Vec<UsageKey>, StoreError> {
        // One event twice in one statement would be joined with itself.
        let mut known = HashSet::with_capacity(events.len());
        let day = |event: &NewUsage| event.at.as_second().div_euclid(86_400);
        let events: Vec<&NewUsage> = events.iter().filter(|event| known.insert((event.key, day(event)))).collect();
        let keys: Vec<Vec<u8>> = events.iter().map(|event| event.key.to_vec()).collect();
        let times: Vec<Timestamp> = events.iter().map(|event| event.at).collect();
        let tenants: Vec<Uuid> = events.iter().map(|event| event.tenant.uuid()).collect();
        let meters: Vec<&str> = events.iter().map(|event| event.meter.as_str()).collect();
        let aggregations: Vec<&str> = events.iter().map(|event| event.aggregation.as_str()).collect();
        let amounts: Vec<i64> = events.iter().map(|event| event.amount.millionths()).collect();
        let dimensions: Vec<&str> = events.iter().map(|event| event.dimensions.as_str()).collect();
        let members: Vec<Option<Vec<u8>>> =
            events.iter().map(|event| event.member.map(|member| member.to_vec())).collect();
        let params: [&(dyn ToSql + Sync); 10] = [
            &environment.as_str(),
            &keys,
            &times,
            &tenants,
            &meters,
            &aggregations,
            &amounts,
            &dimensions,
            &members,
            &now,
        ];
        let rows = self.query(COUNT, &params).await?;
        let read =
            |row| <UsageKey>::try_from(get::<&[u8]>(row, "key")?).map_err(|_| StoreError::Unreadable { what: "key" });
        rows.iter().map(read).collect()
    }

    /// Makes the days (`2027-03-31`) that events may come for, both included, and forgets which events were counted before
    /// the first of them.
    ///
    /// # Errors
    /// The database's.
    pub async fn usage_days(&self, first: &str, last: &str) -> Result<(), StoreError> {
        let sql = "SELECT tenantry.usage_days($1::text::date, $2::text::date, $1::text::date)";
        self.query(sql, &[&first, &last]).await.map(|_| ())
    }

    /// Forgets what hours before a moment came to, a bounded number of rows at a time; gives how many went.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_usage(&self, before: Timestamp) -> Result<i64, StoreError> {
        let sql = "
            WITH hours AS (
                DELETE FROM tenantry.usage_hour WHERE ctid = ANY (ARRAY(
                    SELECT ctid FROM tenantry.usage_hour WHERE hour < $1 LIMIT 5000
                )) RETURNING 1
            ),
            members AS (
                DELETE FROM tenantry.usage_member WHERE ctid = ANY (ARRAY(
                    SELECT ctid FROM tenantry.usage_member WHERE hour < $1 LIMIT 5000
                )) RETURNING 1
            ),
            reports AS (
                DELETE FROM tenantry.usage_report WHERE ctid = ANY (ARRAY(
                    SELECT ctid FROM tenantry.usage_report WHERE hour < $1 LIMIT 5000
                )) RETURNING 1
            )
            SELECT (SELECT count(*) FROM hours) + (SELECT count(*) FROM members) + (SELECT count(*) FROM reports) AS n";
        let row = self.query_opt(sql, &[&before]).await?.ok_or(StoreError::NotFound)?;
        get(&row, "n")
    }
}

impl Reader {
    /// Tenants by ids and slugs, those that are gone left out.
    ///
    /// # Errors
    /// The database's.
    pub async fn usage_subjects(&self, ids: &[TenantId], slugs: &[&str]) -> Result<Vec<(TenantId, Slug)>, StoreError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
        let rows = self.store.query(SUBJECTS, &[&self.environment.as_str(), &ids, &slugs]).await?;
        rows.iter().map(|row| Ok((TenantId::from_uuid(get(row, "id")?), slug(row)?))).collect()
    }
}
