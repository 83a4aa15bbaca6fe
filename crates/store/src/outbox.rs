//! Reading the events. They are written by [`crate::WriteTx::commit`], numbered per subject without gaps.

use serde_json::Value;
use tenantry_domain::Timestamp;
use tenantry_domain::event::Type;
use tenantry_domain::id::EventId;
use tenantry_domain::name::EnvironmentName;

use tenantry_pg::Row;

use crate::columns::{get, json, parse};
use crate::scope::Subject;
use crate::{Reader, StoreError};

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// The partition.
    pub environment: EnvironmentName,
    /// Whose sequence.
    pub subject: Subject,
    /// Its number, from 1.
    pub sequence: i64,
    /// Its id.
    pub id: EventId,
    /// What happened.
    pub kind: Type,
    /// When.
    pub at: Timestamp,
    /// The tenant's version at that moment; absent for the environment.
    pub version: Option<i64>,
    /// The chain of requests.
    pub correlation_id: String,
    /// The request that caused it.
    pub causation_id: String,
    /// The payload.
    pub data: Value,
}

pub(crate) fn read(row: &Row) -> Result<EventRow, StoreError> {
    let kind: &str = get(row, "type")?;
    let known = Type::ALL.iter().copied().find(|known| known.as_str() == kind);
    Ok(EventRow {
        environment: parse(row, "env")?,
        subject: Subject::from_uuid(get(row, "subject")?),
        sequence: get(row, "sequence")?,
        id: EventId::from_uuid(get(row, "id")?),
        kind: known.ok_or(StoreError::Unreadable { what: "type" })?,
        at: get(row, "at")?,
        version: get(row, "version")?,
        correlation_id: get(row, "correlation_id")?,
        causation_id: get(row, "causation_id")?,
        data: json(row, "data")?,
    })
}

impl Reader {
    /// Events of a subject behind a number, in order.
    ///
    /// # Errors
    /// The database's.
    pub async fn events(&self, subject: Subject, after: i64, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        let sql = "
            SELECT env, subject, sequence, id, type, at, version, correlation_id, causation_id, data FROM tenantry.outbox
            WHERE env = $1 AND subject = $2 AND sequence > $3 ORDER BY sequence LIMIT $4";
        let rows =
            self.store.query(sql, &[&self.environment.as_str(), &subject.uuid(), &after, &i64::from(limit)]).await?;
        rows.iter().map(read).collect()
    }

    /// One event, if there is such a one.
    ///
    /// # Errors
    /// The database's.
    pub async fn event(&self, id: EventId) -> Result<Option<EventRow>, StoreError> {
        let sql = "
            SELECT env, subject, sequence, id, type, at, version, correlation_id, causation_id, data FROM tenantry.outbox
            WHERE env = $1 AND id = $2";
        self.store.query_opt(sql, &[&self.environment.as_str(), &id.uuid()]).await?.as_ref().map(read).transpose()
    }
}
