//! The end of a sink: nothing is noted for it any more, and nothing is left of what was.
//!
//! The sink itself goes with the transaction that says so in the audit. Its cursors and lines may be a million rows: they are
//! cleared behind it, some at a time. Nobody reads them without the sink, and whoever dies in between leaves them to whoever makes a
//! sink of that name known.

use std::time::Duration;

use tenantry_domain::id::ReplicaId;

use crate::columns::get;
use crate::line::Statement;
use crate::{Store, StoreError, WriteTx};

/// What came of the wish to forget a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forget {
    /// It is forgotten with the transaction.
    Gone,
    /// This process publishes to it.
    Held(ReplicaId),
}

/// Sinks inside a transaction.
pub struct Streams<'a> {
    pub(crate) tx: &'a mut WriteTx,
}

const FORGET: &str = "
    WITH lane AS (
        SELECT sink, owner,
            owner IS NOT NULL AND seen_at >= clock_timestamp() - $2::float8 * interval '1 second' AND code IS DISTINCT FROM $3 AS is_held
        FROM tenantry.stream_lane WHERE sink = $1 FOR UPDATE
    ), gone AS (
        DELETE FROM tenantry.stream_sink AS s USING lane WHERE s.name = lane.sink AND NOT lane.is_held
    )
    SELECT owner, is_held FROM lane";

/// Rows of one go.
const BATCH: i64 = 10_000;

const CLEAR_CURSORS: &str = "
    DELETE FROM tenantry.stream_cursor WHERE ctid = ANY (ARRAY (
        SELECT ctid FROM tenantry.stream_cursor
        WHERE sink = $1 AND NOT EXISTS (SELECT FROM tenantry.stream_sink WHERE name = $1) LIMIT $2
    )) RETURNING 1 AS one";

const CLEAR_LINES: &str = "
    DELETE FROM tenantry.stream_line WHERE ctid = ANY (ARRAY (
        SELECT ctid FROM tenantry.stream_line
        WHERE sink = $1 AND NOT EXISTS (SELECT FROM tenantry.stream_sink WHERE name = $1) LIMIT $2
    )) RETURNING 1 AS one";

impl Streams<'_> {
    /// Removes a sink, unless a process that was heard of within the patience publishes to it. One that says that it cannot, with
    /// the code `stuck`, is no hindrance.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such sink; the database's.
    pub async fn forget(&mut self, sink: &str, patience: Duration, stuck: String) -> Result<Forget, StoreError> {
        let statement = Statement::new(FORGET).bind(sink.to_owned()).bind(patience.as_secs_f64()).bind(stuck);
        let rows = self.tx.rows(statement).await?;
        let row = rows.first().ok_or(StoreError::NotFound)?;
        let owner: Option<uuid::Uuid> = get(row, "owner")?;
        Ok(match owner.filter(|_| get(row, "is_held").unwrap_or(true)) {
            Some(owner) => Forget::Held(ReplicaId::from_uuid(owner)),
            None => Forget::Gone,
        })
    }
}

impl Store {
    /// Clears what is left of a sink that was forgotten; nothing while there is a sink of that name. Lines that commits note which
    /// were under way meanwhile are harmless, and go the next time.
    ///
    /// # Errors
    /// The database's.
    pub async fn stream_clear(&self, sink: &str) -> Result<(), StoreError> {
        // Lines twice: commits that had seen the sink have ended while the cursors went.
        for sql in [CLEAR_LINES, CLEAR_CURSORS, CLEAR_LINES] {
            while !self.query(sql, &[&sink, &BATCH]).await?.is_empty() {}
        }
        Ok(())
    }
}
