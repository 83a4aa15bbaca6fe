//! Reading usage: a tenant's by windows, an environment's by tenant.

use tenantry_domain::Timestamp;
use tenantry_domain::id::TenantId;
use tenantry_domain::limit::QuotaName;
use tenantry_domain::name::MeterName;
use tenantry_domain::tenant::Slug;
use tenantry_domain::usage::{Aggregation, Field, Total, Window};
use tenantry_pg::{Row, ToSql};
use uuid::Uuid;

use crate::columns::{count, get, slug};
use crate::plans::held_plan;
use crate::{Reader, StoreError};

/// What is asked of one meter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageQuery {
    /// Which meter.
    pub meter: MeterName,
    /// How it counts.
    pub aggregation: Aggregation,
    /// From the hour that begins here on.
    pub from: Timestamp,
    /// Until the hour that begins here, which is left out.
    pub to: Timestamp,
    /// What the span is cut into.
    pub window: Window,
    /// The dimensions that figures are kept apart by; none for one figure a window.
    pub group: Vec<Field>,
    /// Most rows.
    pub limit: i64,
}

/// What a window came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// When it begins.
    pub from: Timestamp,
    /// Values of the dimensions that were asked for, as a JSON mapping.
    pub dimensions: String,
    /// How many events.
    pub events: i64,
    /// The figure.
    pub value: Total,
}

/// What a tenant had of an environment's usage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageShare {
    /// Whose.
    pub tenant: TenantId,
    /// Its name.
    pub slug: Slug,
    /// How many events.
    pub events: i64,
    /// The figure.
    pub value: Total,
}

/// A quota that a meter counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageQuota {
    /// The meter.
    pub meter: MeterName,
    /// The quota.
    pub quota: QuotaName,
    /// When the month began.
    pub month: Timestamp,
}

/// A page of tenants whose use of a quota is to be put right.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageBeside {
    /// Who, and what the meter has counted.
    pub tenants: Vec<(TenantId, u64)>,
    /// Behind whom the next page begins; absent when this was the last.
    pub next: Option<TenantId>,
}

/// The part of the dimensions that is asked for.
const WINDOWS: &str = "
    SELECT \"from\", dims, sum(events)::bigint AS events,
        (CASE $7 WHEN 'sum' THEN sum(value) WHEN 'max' THEN max(value)
            ELSE (array_agg(value ORDER BY last_at DESC, last_key DESC))[1] END)::text AS value
    FROM (
        SELECT date_trunc($6, h.hour, 'UTC') AS \"from\", h.events, h.value, h.last_at, h.last_key, (
            SELECT coalesce(jsonb_object_agg(k, h.dimensions::jsonb -> k), '{}') FROM unnest($8::text[]) AS k
            WHERE h.dimensions::jsonb ? k
        )::text COLLATE \"C\" AS dims
        FROM tenantry.usage_hour AS h
        WHERE h.env = $1 AND h.tenant = $2 AND h.meter = $3 AND h.hour >= $4 AND h.hour < $5
    ) AS part
    GROUP BY \"from\", dims ORDER BY \"from\", dims LIMIT $9";

/// Values that were there in several hours, or under several dimensions, are one.
const MEMBERS: &str = "
    WITH hours AS (
        SELECT date_trunc($6, h.hour, 'UTC') AS \"from\", (
            SELECT coalesce(jsonb_object_agg(k, h.dimensions::jsonb -> k), '{}') FROM unnest($8::text[]) AS k
            WHERE h.dimensions::jsonb ? k
        )::text COLLATE \"C\" AS dims, sum(h.events) AS events
        FROM tenantry.usage_hour AS h
        WHERE h.env = $1 AND h.tenant = $2 AND h.meter = $3 AND h.hour >= $4 AND h.hour < $5 AND $7 = 'unique'
        GROUP BY 1, 2
    ), members AS (
        SELECT date_trunc($6, m.hour, 'UTC') AS \"from\", (
            SELECT coalesce(jsonb_object_agg(k, m.dimensions::jsonb -> k), '{}') FROM unnest($8::text[]) AS k
            WHERE m.dimensions::jsonb ? k
        )::text COLLATE \"C\" AS dims, count(DISTINCT m.member) AS n
        FROM tenantry.usage_member AS m
        WHERE m.env = $1 AND m.tenant = $2 AND m.meter = $3 AND m.hour >= $4 AND m.hour < $5
        GROUP BY 1, 2
    )
    SELECT h.\"from\", h.dims, h.events::bigint AS events, (coalesce(m.n, 0) * 1000000)::text AS value
    FROM hours AS h LEFT JOIN members AS m USING (\"from\", dims)
    ORDER BY h.\"from\", h.dims LIMIT $9";

const SHARES: &str = "
    SELECT t.id, t.slug, s.events, s.value::text AS value FROM (
        SELECT h.tenant, sum(h.events)::bigint AS events, CASE $5 WHEN 'sum' THEN sum(h.value) WHEN 'max' THEN max(h.value)
            WHEN 'last' THEN (array_agg(h.value ORDER BY h.last_at DESC, h.last_key DESC))[1]
            ELSE 1000000 * (
                SELECT count(DISTINCT m.member) FROM tenantry.usage_member AS m
                WHERE m.env = $1 AND m.tenant = h.tenant AND m.meter = $2 AND m.hour >= $3 AND m.hour < $4
            ) END AS value
        FROM tenantry.usage_hour AS h WHERE h.env = $1 AND h.meter = $2 AND h.hour >= $3 AND h.hour < $4
        GROUP BY h.tenant
    ) AS s JOIN tenantry.tenant AS t ON t.env = $1 AND t.id = s.tenant
    ORDER BY s.value DESC, t.id LIMIT $6";

/// A page of tenants whose hours are not all told yet, and whether what a meter counted since the month began is not what the
/// quota's row says. All of a page come, for the next one to begin behind them. Plans that do not enforce the quota, or not by the
/// month, are left out; an override may name another period, which is judged by whoever puts the quota right.
const BESIDE: &str = concat!(
    "
    WITH active AS MATERIALIZED (
        SELECT DISTINCT u.tenant FROM tenantry.usage_hour AS u
        JOIN tenantry.tenant AS t ON t.env = u.env AND t.id = u.tenant AND t.phase <> 'deleted' ",
    held_plan!(),
    "
        CROSS JOIN LATERAL (SELECT p.spec -> 'quotas' -> $3 AS bound) AS b
        WHERE u.env = $1 AND u.meter = $2 AND NOT u.is_told AND u.tenant > $6 AND b.bound ->> 'mode' IS DISTINCT FROM 'off'
            AND b.bound IS NOT NULL AND (COALESCE(b.bound ->> 'limit', b.bound #>> '{}') LIKE '%/month'
                OR t.spec #> '{overrides,quotas}' ? $3)
        ORDER BY u.tenant LIMIT $5
    )
    SELECT a.tenant, s.used, COALESCE(s.used <> CASE WHEN q.since >= $4 THEN q.used ELSE 0 END, false) AS is_beside
    FROM active AS a
    CROSS JOIN LATERAL (
        SELECT floor(sum(h.value) / 1000000)::bigint AS used FROM tenantry.usage_hour AS h
        WHERE h.env = $1 AND h.tenant = a.tenant AND h.meter = $2 AND h.hour >= $4
    ) AS s
    LEFT JOIN tenantry.quota AS q ON q.env = $1 AND q.tenant = a.tenant AND q.name = $3
    ORDER BY a.tenant"
);

/// A value in millionths.
pub(super) fn total(row: &Row) -> Result<Total, StoreError> {
    let text: &str = get(row, "value")?;
    text.parse().map(Total::of).map_err(|_| StoreError::Unreadable { what: "value" })
}

impl Reader {
    /// What a tenant used, by window and by the dimensions asked for.
    ///
    /// # Errors
    /// The database's.
    pub async fn usage(&self, tenant: TenantId, query: &UsageQuery) -> Result<Vec<UsageRow>, StoreError> {
        let group: Vec<&str> = query.group.iter().map(Field::as_str).collect();
        let params: [&(dyn ToSql + Sync); 9] = [
            &self.environment.as_str(),
            &tenant.uuid(),
            &query.meter.as_str(),
            &query.from,
            &query.to,
            &query.window.as_str(),
            &query.aggregation.as_str(),
            &group,
            &query.limit,
        ];
        let sql = if query.aggregation == Aggregation::Unique { MEMBERS } else { WINDOWS };
        let read = |row: &Row| {
            Ok(UsageRow {
                from: get(row, "from")?,
                dimensions: get(row, "dims")?,
                events: get(row, "events")?,
                value: total(row)?,
            })
        };
        self.store.query(sql, &params).await?.iter().map(read).collect()
    }

    /// Tenants for whom a quota's use is not what its meter has counted since the month began, with what was counted. Looks at
    /// `limit` tenants behind one, from the first when absent.
    ///
    /// # Errors
    /// The database's.
    pub async fn usage_beside_quota(
        &self,
        of: &UsageQuota,
        behind: Option<TenantId>,
        limit: u32,
    ) -> Result<UsageBeside, StoreError> {
        let params: [&(dyn ToSql + Sync); 6] = [
            &self.environment.as_str(),
            &of.meter.as_str(),
            &of.quota.as_str(),
            &of.month,
            &i64::from(limit),
            &behind.map_or(Uuid::nil(), |tenant| tenant.uuid()),
        ];
        let rows = self.store.query(BESIDE, &params).await?;
        let mut page = UsageBeside::default();
        for row in &rows {
            let tenant = TenantId::from_uuid(get(row, "tenant")?);
            if get(row, "is_beside")? {
                page.tenants.push((tenant, count(row, "used")?));
            }
            page.next = Some(tenant).filter(|_| rows.len() >= limit as usize);
        }
        Ok(page)
    }

    /// What each tenant had of a meter, those with most first. Window and group of the query are not looked at.
    ///
    /// # Errors
    /// The database's.
    pub async fn usage_shares(&self, query: &UsageQuery) -> Result<Vec<UsageShare>, StoreError> {
        let params: [&(dyn ToSql + Sync); 6] = [
            &self.environment.as_str(),
            &query.meter.as_str(),
            &query.from,
            &query.to,
            &query.aggregation.as_str(),
            &query.limit,
        ];
        let read = |row: &Row| {
            Ok(UsageShare {
                tenant: TenantId::from_uuid(get(row, "id")?),
                slug: slug(row)?,
                events: get(row, "events")?,
                value: total(row)?,
            })
        };
        self.store.query(SHARES, &params).await?.iter().map(read).collect()
    }
}
