//! Whose turn it is to look at a cell: claims with a lease and a fence, and what gauges tell.
//!
//! INVARIANT: a cell has one holder of its turn at a time, and only the newest fence ends it. A holder that died is
//! followed by another one when its lease ends; what it wrote by then is whole, place by place.

use std::time::Duration;

use tenantry_domain::id::ReplicaId;
use tenantry_domain::name::CellName;
use tenantry_pg::Row;

use super::{CellGauge, LookKind, Turn, TurnRow, counts};
use crate::columns::{get, parse};
use crate::{Reader, Store, StoreError};

const CLAIM: &str = "
    WITH cells AS (
        SELECT env, name AS cell FROM tenantry.catalog WHERE kind = 'cell'
    ), fresh AS (
        INSERT INTO tenantry.isolation_turn (env, cell, kind, due_at)
        SELECT env, cell, $2, clock_timestamp() + random() * $4 * interval '1 second' FROM cells AS c
        WHERE $5 AND NOT EXISTS (
            SELECT FROM tenantry.isolation_turn AS t WHERE t.env = c.env AND t.cell = c.cell AND t.kind = $2
        ) ON CONFLICT DO NOTHING
    ), due AS (
        SELECT t.env, t.cell FROM tenantry.isolation_turn AS t
        WHERE t.kind = $2 AND (t.lease_until IS NULL OR t.lease_until < clock_timestamp())
            AND (t.requested_at IS NOT NULL OR ($5 AND t.due_at <= clock_timestamp()))
            AND EXISTS (SELECT FROM cells AS c WHERE c.env = t.env AND c.cell = t.cell)
        ORDER BY t.requested_at, t.due_at LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    UPDATE tenantry.isolation_turn AS t SET owner = $1, fence = nextval('tenantry.fence_seq'),
        lease_until = clock_timestamp() + $3 * interval '1 second', began_at = clock_timestamp()
    FROM due WHERE t.env = due.env AND t.cell = due.cell AND t.kind = $2
    RETURNING t.env, t.cell, t.fence";

impl Store {
    /// Takes the turn of one cell that is due, or was asked for, and at which nobody is. A cell that was never looked
    /// at is due within `first`. Without `is_scheduled` only those that were asked for are taken.
    ///
    /// # Errors
    /// The database's.
    pub async fn isolation_claim(
        &self,
        replica: ReplicaId,
        kind: LookKind,
        lease: Duration,
        first: Duration,
        is_scheduled: bool,
    ) -> Result<Option<Turn>, StoreError> {
        let (lease, first) = (lease.as_secs_f64(), first.as_secs_f64());
        let params: [&(dyn tenantry_pg::ToSql + Sync); 5] =
            [&replica.uuid(), &kind.as_str(), &lease, &first, &is_scheduled];
        let row = self.query_opt(CLAIM, &params).await?;
        let read = |row: &Row| {
            Ok(Turn { environment: parse(row, "env")?, cell: parse(row, "cell")?, kind, fence: get(row, "fence")? })
        };
        row.as_ref().map(read).transpose()
    }

    /// Prolongs a turn; says whether it was still held.
    ///
    /// # Errors
    /// The database's.
    pub async fn isolation_renew(&self, turn: &Turn, lease: Duration) -> Result<bool, StoreError> {
        let sql = "
            UPDATE tenantry.isolation_turn SET lease_until = clock_timestamp() + $5 * interval '1 second'
            WHERE env = $1 AND cell = $2 AND kind = $3 AND fence = $4 AND owner IS NOT NULL RETURNING fence";
        let (environment, cell, kind) = (turn.environment.as_str(), turn.cell.as_str(), turn.kind.as_str());
        let rows = self.query(sql, &[&environment, &cell, &kind, &turn.fence, &lease.as_secs_f64()]).await?;
        Ok(!rows.is_empty())
    }

    /// Ends a turn; the next one is due after `pause`, a tenth of it more or less. Does nothing for one that was lost.
    ///
    /// # Errors
    /// The database's.
    pub async fn isolation_end(&self, turn: &Turn, failure: Option<&str>, pause: Duration) -> Result<(), StoreError> {
        let sql = "
            UPDATE tenantry.isolation_turn SET owner = NULL, lease_until = NULL, failure = $5::text,
                ended_at = CASE WHEN $5::text IS NULL THEN clock_timestamp() ELSE ended_at END,
                requested_at = CASE WHEN requested_at > began_at THEN requested_at END,
                due_at = clock_timestamp() + $6 * (0.9 + 0.2 * random()) * interval '1 second'
            WHERE env = $1 AND cell = $2 AND kind = $3 AND fence = $4";
        let (environment, cell, kind) = (turn.environment.as_str(), turn.cell.as_str(), turn.kind.as_str());
        let pause = pause.as_secs_f64();
        self.query(sql, &[&environment, &cell, &kind, &turn.fence, &failure, &pause]).await.map(|_| ())
    }

    /// Forgets places of a cell that are no more and had no critical or high finding, and all that is kept of cells that
    /// are gone.
    ///
    /// # Errors
    /// The database's.
    pub async fn isolation_prune(&self, turn: &Turn, places: &[String]) -> Result<(), StoreError> {
        let sql = "
            WITH gone AS (
                DELETE FROM tenantry.isolation_place AS p WHERE p.env = $1 AND p.kind = $3
                    AND CASE WHEN p.cell = $2 THEN p.place <> ALL ($4::text[]) AND p.critical = 0 AND p.high = 0
                        ELSE NOT EXISTS (SELECT FROM tenantry.catalog AS c
                            WHERE c.env = p.env AND c.kind = 'cell' AND c.name = p.cell) END
            )
            DELETE FROM tenantry.isolation_turn AS t WHERE t.env = $1 AND NOT EXISTS (
                SELECT FROM tenantry.catalog AS c WHERE c.env = t.env AND c.kind = 'cell' AND c.name = t.cell
            )";
        let (environment, cell, kind) = (turn.environment.as_str(), turn.cell.as_str(), turn.kind.as_str());
        self.query(sql, &[&environment, &cell, &kind, &places]).await.map(|_| ())
    }

    /// All cells of all environments, with what was found there.
    ///
    /// # Errors
    /// The database's.
    pub async fn isolation_gauges(&self, kind: LookKind) -> Result<Vec<CellGauge>, StoreError> {
        let sql = "
            SELECT c.env, c.name AS cell, t.ended_at, coalesce(sum(p.critical), 0)::bigint AS critical,
                coalesce(sum(p.high), 0)::bigint AS high, coalesce(sum(p.medium), 0)::bigint AS medium,
                coalesce(sum(p.low), 0)::bigint AS low
            FROM tenantry.catalog AS c
            LEFT JOIN tenantry.isolation_turn AS t ON t.env = c.env AND t.cell = c.name AND t.kind = $1
            LEFT JOIN tenantry.isolation_place AS p ON p.env = c.env AND p.cell = c.name AND p.kind = $1
            WHERE c.kind = 'cell' GROUP BY c.env, c.name, t.ended_at ORDER BY c.env, c.name";
        let read = |row: &Row| {
            Ok(CellGauge {
                environment: parse(row, "env")?,
                cell: parse(row, "cell")?,
                counts: counts(row)?,
                ended_at: get(row, "ended_at")?,
            })
        };
        self.query(sql, &[&kind.as_str()]).await?.iter().map(read).collect()
    }
}

impl Reader {
    /// When a cell was and will be looked at; nothing when nobody was about to yet.
    ///
    /// # Errors
    /// The database's.
    pub async fn isolation_turn(&self, cell: &CellName, kind: LookKind) -> Result<Option<TurnRow>, StoreError> {
        let sql = "
            SELECT due_at, requested_at, ended_at, failure, coalesce(lease_until > clock_timestamp(), false) AS is_running
            FROM tenantry.isolation_turn WHERE env = $1 AND cell = $2 AND kind = $3";
        let row = self.store.query_opt(sql, &[&self.environment.as_str(), &cell.as_str(), &kind.as_str()]).await?;
        let read = |row: &Row| {
            Ok(TurnRow {
                due_at: get(row, "due_at")?,
                requested_at: get(row, "requested_at")?,
                ended_at: get(row, "ended_at")?,
                is_running: get(row, "is_running")?,
                failure: get(row, "failure")?,
            })
        };
        row.as_ref().map(read).transpose()
    }
}
