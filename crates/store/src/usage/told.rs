//! Hours that have closed, and telling the world of them: once for each state that they are found in.

use tenantry_domain::Timestamp;
use tenantry_domain::id::TenantId;
use tenantry_domain::name::{EnvironmentName, MeterName};
use tenantry_domain::usage::{Aggregation, Total};

use super::read::total;
use crate::columns::{get, parse};
use crate::line::Statement;
use crate::{Store, StoreError, WriteTx};

/// An hour of a tenant's meter that the world does not know as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageDue {
    /// The partition.
    pub environment: EnvironmentName,
    /// Whose.
    pub tenant: TenantId,
    /// Of which meter.
    pub meter: MeterName,
    /// When the hour begins.
    pub hour: Timestamp,
}

/// What an hour came to under some dimensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageHour {
    /// The dimensions, as a JSON mapping.
    pub dimensions: String,
    /// How many events.
    pub events: i64,
    /// The figure.
    pub value: Total,
}

/// What is to be told of an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageReport {
    /// How often the hour was told, this time included.
    pub revision: i32,
    /// How the meter counts.
    pub aggregation: Aggregation,
    /// How many events.
    pub events: i64,
    /// The figure of the hour as a whole.
    pub value: Total,
    /// By dimensions.
    pub parts: Vec<UsageHour>,
}

const DUE: &str = "
    SELECT env, tenant, meter, hour FROM tenantry.usage_hour WHERE NOT is_told AND hour < $1
    GROUP BY env, tenant, meter, hour ORDER BY env, tenant, meter, hour LIMIT $2";

const LOCK: &str = "
    SELECT dimensions, aggregation, events, value::text AS value, is_told FROM tenantry.usage_hour
    WHERE env = $1 AND tenant = $2 AND meter = $3 AND hour = $4 ORDER BY dimensions FOR NO KEY UPDATE";

/// Only what was locked, and so read: a row that came since then is told later.
const TELL: &str = "
    UPDATE tenantry.usage_hour SET is_told = true
    WHERE env = $1 AND tenant = $2 AND meter = $3 AND hour = $4 AND dimensions = ANY ($5) AND NOT is_told";

const WHOLE: &str = "
    SELECT (CASE min(aggregation) WHEN 'sum' THEN sum(value) WHEN 'max' THEN max(value)
        WHEN 'last' THEN (array_agg(value ORDER BY last_at DESC, last_key DESC))[1]
        ELSE 1000000 * (
            SELECT count(DISTINCT member) FROM tenantry.usage_member
            WHERE env = $1 AND tenant = $2 AND meter = $3 AND hour = $4 AND dimensions = ANY ($5)
        ) END)::text AS value
    FROM tenantry.usage_hour WHERE env = $1 AND tenant = $2 AND meter = $3 AND hour = $4 AND dimensions = ANY ($5)";

const REVISE: &str = "
    INSERT INTO tenantry.usage_report AS r (env, tenant, meter, hour, revision, told_at) VALUES ($1, $2, $3, $4, 1, $5)
    ON CONFLICT ON CONSTRAINT usage_report_pkey DO UPDATE SET revision = r.revision + 1, told_at = excluded.told_at
    RETURNING revision";

impl Store {
    /// Hours before a moment that are to be told, in one order for everybody.
    ///
    /// # Errors
    /// The database's.
    pub async fn usage_due(&self, before: Timestamp, limit: i64) -> Result<Vec<UsageDue>, StoreError> {
        let rows = self.query(DUE, &[&before, &limit]).await?;
        let read = |row| {
            Ok(UsageDue {
                environment: parse(row, "env")?,
                tenant: TenantId::from_uuid(get(row, "tenant")?),
                meter: parse(row, "meter")?,
                hour: get(row, "hour")?,
            })
        };
        rows.iter().map(read).collect()
    }
}

/// Usage inside a transaction.
pub struct Usage<'a> {
    tx: &'a mut WriteTx,
}

impl WriteTx {
    /// What tenants used.
    pub fn usage(&mut self) -> Usage<'_> {
        Usage { tx: self }
    }
}

impl Usage<'_> {
    /// Takes an hour as told. What it came to goes into an event of the same transaction. Absent when somebody else was faster.
    ///
    /// # Errors
    /// The database's.
    pub async fn tell(
        &mut self,
        tenant: TenantId,
        meter: &MeterName,
        hour: Timestamp,
    ) -> Result<Option<UsageReport>, StoreError> {
        let of = |sql, env: String| {
            Statement::new(sql).bind(env).bind(tenant.uuid()).bind(meter.as_str().to_owned()).bind(hour)
        };
        let env = self.tx.env();
        let rows = self.tx.rows(of(LOCK, env.clone())).await?;
        let mut is_new = false;
        let mut parts = Vec::with_capacity(rows.len());
        for row in &rows {
            is_new |= !get::<bool>(row, "is_told")?;
            parts.push(UsageHour {
                dimensions: get(row, "dimensions")?,
                events: get(row, "events")?,
                value: total(row)?,
            });
        }
        let Some(first) = rows.first().filter(|_| is_new) else { return Ok(None) };
        let aggregation = parse(first, "aggregation")?;
        let names: Vec<String> = parts.iter().map(|part| part.dimensions.clone()).collect();
        let now = self.tx.now;
        let statements = vec![
            of(TELL, env.clone()).bind(names.clone()),
            of(WHOLE, env.clone()).bind(names),
            of(REVISE, env).bind(now),
        ];
        let answers = self.tx.run(statements).await?;
        self.tx.wrote = true;
        let row = |place: usize| answers.get(place).and_then(|rows| rows.first()).ok_or(StoreError::NotFound);
        Ok(Some(UsageReport {
            revision: get(row(2)?, "revision")?,
            aggregation,
            events: parts.iter().map(|part| part.events).fold(0, i64::saturating_add),
            value: total(row(1)?)?,
            parts,
        }))
    }

    /// Whether something was counted by a meter of this name, but in another way.
    ///
    /// # Errors
    /// The database's.
    pub async fn counts_otherwise(&mut self, meter: &MeterName, aggregation: Aggregation) -> Result<bool, StoreError> {
        let sql = "
            SELECT EXISTS (
                SELECT FROM tenantry.usage_hour WHERE env = $1 AND meter = $2 AND aggregation <> $3
            ) AS counts_otherwise";
        let statement =
            Statement::new(sql).bind(self.tx.env()).bind(meter.as_str().to_owned()).bind(aggregation.as_str());
        let rows = self.tx.rows(statement).await?;
        rows.first().map_or(Ok(false), |row| get(row, "counts_otherwise"))
    }
}
