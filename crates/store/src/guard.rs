//! What was found at the cells: whose turn it is to look, and each place with its last states.
//!
//! Looks are observations: the clean ones leave no audit entry, so they are written without [`WriteTx`], like signs of
//! life. INVARIANT: the set of a place's critical and high findings changes only inside a [`WriteTx`], with its entry;
//! every other write names the state that it continues and does nothing when that has changed.

use serde::{Deserialize, Serialize};
use tenantry_domain::Timestamp;
use tenantry_domain::id::TenantId;
use tenantry_domain::name::{CellName, EnvironmentName};
use tenantry_pg::{Json, Row};
use uuid::Uuid;

use crate::columns::{count, get, json, parse};
use crate::line::Statement;
use crate::{Reader, Store, StoreError, WriteTx};

mod pairs;
mod turns;

pub use pairs::PairRow;

/// States that are kept of each place.
pub const STATES_KEPT: i64 = 30;

/// What kind of look it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LookKind {
    /// The guard's: catalogs are read.
    Guard,
    /// The leak probe's: synthetic tenants try to reach each other.
    Probe,
}

impl LookKind {
    /// The word in columns and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Guard => "guard",
            Self::Probe => "probe",
        }
    }
}

/// The right to look at a cell, until its lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The cell's environment.
    pub environment: EnvironmentName,
    /// The cell.
    pub cell: CellName,
    /// What kind of look.
    pub kind: LookKind,
    /// Grows with every claim.
    pub fence: i64,
}

/// When a cell was and will be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnRow {
    /// When the next look is due.
    pub due_at: Timestamp,
    /// When somebody asked for one that has not ended yet.
    pub requested_at: Option<Timestamp>,
    /// When the last one that reached every place ended.
    pub ended_at: Option<Timestamp>,
    /// Whether somebody is at it.
    pub is_running: bool,
    /// Why the last one did not reach every place.
    pub failure: Option<String>,
}

/// How many findings there are of each severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Critical ones.
    pub critical: u64,
    /// High ones.
    pub high: u64,
    /// Medium ones.
    pub medium: u64,
    /// Low ones.
    pub low: u64,
}

/// A critical or high finding that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenFinding {
    /// The check's id.
    pub check: String,
    /// What it was found at.
    pub object: String,
    /// `critical` or `high`.
    pub severity: String,
    /// The check's title.
    pub title: String,
    /// Since when it is known.
    pub since: Timestamp,
}

/// What a look found at one place.
#[derive(Debug, Clone)]
pub struct PlaceState {
    /// The cell.
    pub cell: CellName,
    /// What kind of look.
    pub kind: LookKind,
    /// `server`, `home/<app>` or `tenant/<id>`.
    pub place: String,
    /// Whose database it is.
    pub tenant: Option<TenantId>,
    /// When, by the clock of the server that was looked at.
    pub taken_at: Timestamp,
    /// How many findings.
    pub counts: Counts,
    /// The critical and high ones.
    pub open: Vec<OpenFinding>,
    /// SHA-256 of the findings.
    pub digest: [u8; 32],
    /// The signed report.
    pub document: String,
}

/// A place as it was found last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceRow {
    /// The cell.
    pub cell: CellName,
    /// `server`, `home/<app>` or `tenant/<id>`.
    pub place: String,
    /// Whose database it is.
    pub tenant: Option<TenantId>,
    /// The number of the state.
    pub seq: i64,
    /// When it was looked at last.
    pub taken_at: Timestamp,
    /// How many findings.
    pub counts: Counts,
    /// The critical and high ones.
    pub open: Vec<OpenFinding>,
}

/// What gauges tell of one cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellGauge {
    /// The cell's environment.
    pub environment: EnvironmentName,
    /// The cell.
    pub cell: CellName,
    /// Findings at all its places.
    pub counts: Counts,
    /// The last time that every place was looked at.
    pub ended_at: Option<Timestamp>,
}

/// A place's row where nothing of weight changed, and its state: the present one taken over, or a new one.
const KEEP: &str = "
    WITH put AS (
        INSERT INTO tenantry.isolation_place AS p
            (env, cell, kind, place, tenant, seq, taken_at, critical, high, medium, low, open)
        SELECT $1, $2, $3, $4, $5, 1, $6, $7, $8, $9, $10, $11 WHERE $14::bigint = 0 OR EXISTS (
            SELECT FROM tenantry.isolation_place WHERE env = $1 AND cell = $2 AND kind = $3 AND place = $4
        )
        ON CONFLICT ON CONSTRAINT isolation_place_pkey DO UPDATE SET
            tenant = excluded.tenant, taken_at = excluded.taken_at, critical = excluded.critical, high = excluded.high,
            medium = excluded.medium, low = excluded.low, open = excluded.open,
            seq = p.seq + CASE WHEN EXISTS (
                SELECT FROM tenantry.isolation_report AS r
                WHERE r.env = $1 AND r.cell = $2 AND r.kind = $3 AND r.place = $4 AND r.seq = $14 AND r.digest = $12
            ) THEN 0 ELSE 1 END
        WHERE p.seq = $14 AND p.taken_at < excluded.taken_at
        RETURNING p.seq
    ), state AS (
        INSERT INTO tenantry.isolation_report AS r (env, cell, kind, place, seq, digest, since, taken_at, document)
        SELECT $1, $2, $3, $4, seq, $12, $6, $6, $13 FROM put
        ON CONFLICT ON CONSTRAINT isolation_report_pkey DO UPDATE SET
            taken_at = excluded.taken_at, document = excluded.document
    ), old AS (
        DELETE FROM tenantry.isolation_report AS r USING put
        WHERE r.env = $1 AND r.cell = $2 AND r.kind = $3 AND r.place = $4 AND r.seq <= put.seq - $15
    )
    SELECT seq FROM put";

const PLACES: &str = "
    SELECT cell, place, tenant, seq, taken_at, critical, high, medium, low, open FROM tenantry.isolation_place
    WHERE env = $1 AND cell = $2 AND kind = $3";

fn read(row: &Row) -> Result<PlaceRow, StoreError> {
    Ok(PlaceRow {
        cell: parse(row, "cell")?,
        place: get(row, "place")?,
        tenant: get::<Option<Uuid>>(row, "tenant")?.map(TenantId::from_uuid),
        seq: get(row, "seq")?,
        taken_at: get(row, "taken_at")?,
        counts: counts(row)?,
        open: json(row, "open")?,
    })
}

fn counts(row: &Row) -> Result<Counts, StoreError> {
    Ok(Counts {
        critical: count(row, "critical")?,
        high: count(row, "high")?,
        medium: count(row, "medium")?,
        low: count(row, "low")?,
    })
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn keep(environment: &str, state: &PlaceState, seq: i64) -> Statement {
    Statement::new(KEEP)
        .bind(environment.to_owned())
        .bind(state.cell.as_str().to_owned())
        .bind(state.kind.as_str())
        .bind(state.place.clone())
        .bind(state.tenant.map(|id| id.uuid()))
        .bind(state.taken_at)
        .bind(number(state.counts.critical))
        .bind(number(state.counts.high))
        .bind(number(state.counts.medium))
        .bind(number(state.counts.low))
        .bind(Json(state.open.clone()))
        .bind(state.digest.to_vec())
        .bind(state.document.clone())
        .bind(seq)
        .bind(STATES_KEPT)
}

/// What was found, inside a transaction.
pub struct Isolation<'a> {
    pub(crate) tx: &'a mut WriteTx,
}

impl Isolation<'_> {
    /// Locks a place, if it was looked at before.
    ///
    /// # Errors
    /// The database's.
    pub async fn lock(&mut self, cell: &CellName, kind: LookKind, place: &str) -> Result<Option<PlaceRow>, StoreError> {
        let sql = "
            SELECT cell, place, tenant, seq, taken_at, critical, high, medium, low, open FROM tenantry.isolation_place
            WHERE env = $1 AND cell = $2 AND kind = $3 AND place = $4 FOR UPDATE";
        let statement = Statement::new(sql).bind(self.tx.env()).bind(cell.as_str().to_owned());
        let rows = self.tx.rows(statement.bind(kind.as_str()).bind(place.to_owned())).await?;
        rows.first().map(read).transpose()
    }

    /// Writes a place whose critical and high findings have changed. `seq` is the state that was locked, 0 for none.
    ///
    /// # Errors
    /// [`StoreError::StaleVersion`] when somebody else was faster, or the database's.
    pub async fn put(&mut self, state: &PlaceState, seq: i64) -> Result<(), StoreError> {
        let statement = keep(&self.tx.env(), state, seq);
        if self.tx.rows(statement).await?.is_empty() {
            return Err(StoreError::StaleVersion { current: seq });
        }
        self.tx.wrote = true;
        Ok(())
    }

    /// Forgets a place that is no more.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget(&mut self, cell: &CellName, kind: LookKind, place: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM tenantry.isolation_place WHERE env = $1 AND cell = $2 AND kind = $3 AND place = $4";
        let statement = Statement::new(sql).bind(self.tx.env()).bind(cell.as_str().to_owned());
        self.tx.rows(statement.bind(kind.as_str()).bind(place.to_owned())).await?;
        self.tx.wrote = true;
        Ok(())
    }

    /// Asks for a look that does not wait until it is due.
    ///
    /// # Errors
    /// The database's.
    pub async fn request(&mut self, cell: &CellName, kind: LookKind) -> Result<(), StoreError> {
        let sql = "
            INSERT INTO tenantry.isolation_turn (env, cell, kind, due_at, requested_at)
            VALUES ($1, $2, $3, clock_timestamp(), clock_timestamp())
            ON CONFLICT ON CONSTRAINT isolation_turn_pkey DO UPDATE SET requested_at = excluded.requested_at";
        let statement = Statement::new(sql).bind(self.tx.env()).bind(cell.as_str().to_owned());
        self.tx.rows(statement.bind(kind.as_str())).await?;
        self.tx.wrote = true;
        Ok(())
    }
}

impl Store {
    /// Writes a place whose critical and high findings are those of the state `seq`, 0 for none; says whether that is
    /// still its state, and the look newer than the one that is there.
    ///
    /// # Errors
    /// The database's.
    pub async fn isolation_keep(
        &self,
        environment: &EnvironmentName,
        state: &PlaceState,
        seq: i64,
    ) -> Result<bool, StoreError> {
        let conn = self.inner.pool.get().await?;
        let statement = keep(environment.as_str(), state, seq);
        let answer = crate::line::send(&conn, None, std::slice::from_ref(&statement), false).await;
        conn.release();
        match answer {
            Ok(rows) => Ok(rows.first().is_some_and(|rows| !rows.is_empty())),
            Err(crate::line::Failure::Refused(error)) => Err(StoreError::of_lone_write(error.into())),
            Err(crate::line::Failure::Unknown) => Err(StoreError::UnknownOutcome),
        }
    }
}

impl Reader {
    /// A cell's places as they were found last, the worst first.
    ///
    /// # Errors
    /// The database's.
    pub async fn isolation_places(&self, cell: &CellName, kind: LookKind) -> Result<Vec<PlaceRow>, StoreError> {
        let rows = self.store.query(PLACES, &[&self.environment.as_str(), &cell.as_str(), &kind.as_str()]).await?;
        let mut places: Vec<PlaceRow> = rows.iter().map(read).collect::<Result<_, _>>()?;
        let worth = |place: &PlaceRow| {
            let Counts { critical, high, medium, low } = place.counts;
            std::cmp::Reverse((critical, high, medium, low))
        };
        places.sort_by(|a, b| worth(a).cmp(&worth(b)).then_with(|| a.place.cmp(&b.place)));
        Ok(places)
    }

    /// A place as it was found last.
    ///
    /// # Errors
    /// The database's.
    pub async fn isolation_place(
        &self,
        cell: &CellName,
        kind: LookKind,
        place: &str,
    ) -> Result<Option<PlaceRow>, StoreError> {
        let sql = "
            SELECT cell, place, tenant, seq, taken_at, critical, high, medium, low, open FROM tenantry.isolation_place
            WHERE env = $1 AND cell = $2 AND kind = $3 AND place = $4";
        let environment = self.environment.as_str();
        let row = self.store.query_opt(sql, &[&environment, &cell.as_str(), &kind.as_str(), &place]).await?;
        row.as_ref().map(read).transpose()
    }

    /// The signed report of a place's present state, to the byte, and since when that state holds.
    ///
    /// # Errors
    /// The database's.
    pub async fn isolation_document(
        &self,
        cell: &CellName,
        kind: LookKind,
        place: &str,
    ) -> Result<Option<(String, Timestamp)>, StoreError> {
        let sql = "
            SELECT document, since FROM tenantry.isolation_report
            WHERE env = $1 AND cell = $2 AND kind = $3 AND place = $4 ORDER BY seq DESC LIMIT 1";
        let environment = self.environment.as_str();
        let row = self.store.query_opt(sql, &[&environment, &cell.as_str(), &kind.as_str(), &place]).await?;
        row.map(|row| Ok((get(&row, "document")?, get(&row, "since")?))).transpose()
    }
}
