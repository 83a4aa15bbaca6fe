//! The log of attempts, the dead, and how both are forgotten.

use std::time::Duration;

use tenantry_domain::Timestamp;
use tenantry_domain::event::Type;
use tenantry_domain::id::{EventId, WebhookId};
use tenantry_domain::webhook::{Cause, Pattern};
use tenantry_pg::{Row, ToSql};
use uuid::Uuid;

use super::endpoints::Webhooks;
use super::lanes::LaneId;
use crate::columns::{get, parse};
use crate::cursor::Binding;
use crate::scope::Subject;
use crate::{Page, PageRequest, Reader, Store, StoreError};

/// An attempt as it was logged.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptRow {
    /// Time-ordered.
    pub id: Uuid,
    /// Which event.
    pub event: EventId,
    /// Its type; `webhook.test` for a test.
    pub kind: String,
    /// Whose.
    pub subject: Subject,
    /// Its number; absent for a test.
    pub sequence: Option<i64>,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// What came of it, in a word.
    pub outcome: String,
    /// The status of HTTP.
    pub status: Option<u16>,
    /// Why there was no status.
    pub fault: Option<String>,
    /// The beginning of what was said.
    pub answer: Option<String>,
    /// Whether it was sent again on demand.
    pub is_replay: bool,
}

/// A delivery that was given up.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadRow {
    /// Which event.
    pub event: EventId,
    /// Its type.
    pub kind: Type,
    /// Whose.
    pub subject: Subject,
    /// Its number.
    pub sequence: i64,
    /// Attempts made.
    pub attempts: u32,
    /// Why it was given up.
    pub cause: Cause,
    /// The status of the last attempt.
    pub status: Option<u16>,
    /// Why the last attempt had no status.
    pub fault: Option<String>,
    /// The beginning of what was said last.
    pub answer: Option<String>,
    /// Since when it was to be delivered.
    pub queued_at: Timestamp,
    /// When it was given up.
    pub died_at: Timestamp,
}

/// Which attempts of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttemptFilter {
    /// Of this event.
    pub event: Option<EventId>,
    /// Only those that failed.
    pub failed: bool,
}

/// Which of the dead of an endpoint. All that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadFilter {
    /// These events; empty for any.
    pub events: Vec<EventId>,
    /// Of these types; empty for any.
    pub types: Vec<Pattern>,
    /// Given up for this reason.
    pub cause: Option<Cause>,
    /// Given up from this moment on.
    pub since: Option<Timestamp>,
    /// Given up before this moment.
    pub until: Option<Timestamp>,
}

impl DeadFilter {
    fn events(&self) -> Option<Vec<Uuid>> {
        (!self.events.is_empty()).then(|| self.events.iter().map(|id| id.uuid()).collect())
    }

    fn types(&self) -> Option<Vec<String>> {
        (!self.types.is_empty()).then(|| self.types.iter().map(|kind| kind.as_str().to_owned()).collect())
    }
}

/// How much was forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Rows of the log.
    pub attempts: i64,
    /// Dead letters.
    pub dead: i64,
}

const ATTEMPTS: &str = "
    SELECT id, event, type, subject, sequence, attempt, at, took_ms, outcome, status, fault, answer, is_replay
    FROM tenantry.webhook_attempt
    WHERE env = $1 AND endpoint = $2 AND ($3::uuid IS NULL OR event = $3) AND (NOT $4::boolean OR outcome <> 'delivered')
        AND id < $5
    ORDER BY id DESC LIMIT $6";

const LOG: &str = "
    INSERT INTO tenantry.webhook_attempt (env, endpoint, id, event, type, subject, sequence, attempt, at, took_ms, outcome, status,
        fault, answer, is_replay)
    SELECT $1, $2, $3, $4, $5, $6, NULL, 1, $7, $8, $9, $10, $11, $12, false
    WHERE EXISTS (SELECT FROM tenantry.webhook_endpoint WHERE env = $1 AND id = $2)";

macro_rules! dead_where {
    () => {
        "d.env = $1 AND d.endpoint = $2 AND ($3::uuid[] IS NULL OR o.id = ANY ($3))
            AND ($4::text[] IS NULL OR o.type = ANY ($4) OR split_part(o.type, '.', 1) || '.*' = ANY ($4))
            AND ($5::text IS NULL OR d.cause = $5) AND ($6::timestamptz IS NULL OR d.died_at >= $6)
            AND ($7::timestamptz IS NULL OR d.died_at < $7) "
    };
}

const DEAD: &str = concat!(
    "SELECT o.id AS event, o.type, d.subject, d.sequence, d.attempts, d.cause, d.status, d.fault, d.answer, d.queued_at, d.died_at
    FROM tenantry.webhook_dead AS d
    JOIN tenantry.outbox AS o ON o.env = d.env AND o.subject = d.subject AND o.sequence = d.sequence
    WHERE ",
    dead_where!(),
    "AND (d.subject, d.sequence) > ($8, $9) ORDER BY d.subject, d.sequence LIMIT $10"
);

/// The row leaves the dead with the queue's, when it is delivered or dies again; until then it is in the queue only.
const REDRIVE: &str = concat!(
    "WITH chosen AS (
        SELECT d.ctid AS place FROM tenantry.webhook_dead AS d
        JOIN tenantry.outbox AS o ON o.env = d.env AND o.subject = d.subject AND o.sequence = d.sequence
        WHERE ",
    dead_where!(),
    "ORDER BY d.subject, d.sequence LIMIT $8
    ), gone AS (
        DELETE FROM tenantry.webhook_dead WHERE ctid = ANY (ARRAY (SELECT place FROM chosen)) RETURNING subject, sequence
    ), put AS (
        INSERT INTO tenantry.webhook_queue (env, endpoint, subject, sequence, due_at, queued_at, is_replay)
        SELECT $1, $2, subject, sequence, clock_timestamp(), clock_timestamp(), true FROM gone
        ON CONFLICT ON CONSTRAINT webhook_queue_pkey DO NOTHING
    )
    SELECT count(*) AS count FROM gone"
);

/// Rows before a moment, and of each endpoint all but the newest, a bounded number at a time.
const FORGET: &str = "
    WITH oldest AS MATERIALIZED (
        SELECT ctid AS place FROM tenantry.webhook_attempt WHERE at < $1 ORDER BY at LIMIT $3
    ), old AS (
        DELETE FROM tenantry.webhook_attempt WHERE ctid = ANY (ARRAY (SELECT place FROM oldest)) RETURNING 1
    ), longest AS MATERIALIZED (
        SELECT ctid AS place FROM tenantry.webhook_dead WHERE died_at < $2 LIMIT $3
    ), buried AS (
        DELETE FROM tenantry.webhook_dead WHERE ctid = ANY (ARRAY (SELECT place FROM longest)) RETURNING 1
    ), done AS (DELETE FROM tenantry.webhook_replay WHERE ended_at < $1),
    left_behind AS (DELETE FROM tenantry.webhook_pump WHERE seen_at < $1)
    SELECT (SELECT count(*) FROM old) AS attempts, (SELECT count(*) FROM buried) AS dead";

// The edge is a value of its own, found once: joined, a planner without statistics looks for it anew for each row.
const TRIM: &str = "
    WITH old AS (
        DELETE FROM tenantry.webhook_attempt WHERE env = $1 AND endpoint = $2 AND id <= (
            SELECT id FROM tenantry.webhook_attempt WHERE env = $1 AND endpoint = $2 ORDER BY id DESC OFFSET $3 LIMIT 1
        ) RETURNING 1
    )
    SELECT count(*) AS count FROM old";

fn attempt(row: &Row) -> Result<AttemptRow, StoreError> {
    let (attempts, took): (i16, i32) = (get(row, "attempt")?, get(row, "took_ms")?);
    Ok(AttemptRow {
        id: get(row, "id")?,
        event: EventId::from_uuid(get(row, "event")?),
        kind: get(row, "type")?,
        subject: Subject::from_uuid(get(row, "subject")?),
        sequence: get(row, "sequence")?,
        attempt: u32::try_from(attempts).unwrap_or(0),
        at: get(row, "at")?,
        took: Duration::from_millis(u64::try_from(took).unwrap_or(0)),
        outcome: get(row, "outcome")?,
        status: status(row)?,
        fault: get(row, "fault")?,
        answer: get(row, "answer")?,
        is_replay: get(row, "is_replay")?,
    })
}

fn status(row: &Row) -> Result<Option<u16>, StoreError> {
    Ok(get::<Option<i16>>(row, "status")?.and_then(|code| u16::try_from(code).ok()))
}

fn dead(row: &Row) -> Result<DeadRow, StoreError> {
    let kind: &str = get(row, "type")?;
    let attempts: i16 = get(row, "attempts")?;
    Ok(DeadRow {
        event: EventId::from_uuid(get(row, "event")?),
        kind: Type::ALL
            .iter()
            .copied()
            .find(|known| known.as_str() == kind)
            .ok_or(StoreError::Unreadable { what: "type" })?,
        subject: Subject::from_uuid(get(row, "subject")?),
        sequence: get(row, "sequence")?,
        attempts: u32::try_from(attempts).unwrap_or(0),
        cause: parse(row, "cause")?,
        status: status(row)?,
        fault: get(row, "fault")?,
        answer: get(row, "answer")?,
        queued_at: get(row, "queued_at")?,
        died_at: get(row, "died_at")?,
    })
}

/// Subject and number, the place of a dead letter in its list.
fn keys(row: &DeadRow) -> [u8; 24] {
    let mut keys = [0; 24];
    keys[..16].copy_from_slice(row.subject.uuid().as_bytes());
    keys[16..].copy_from_slice(&row.sequence.to_be_bytes());
    keys
}

impl Webhooks<'_> {
    /// Puts dead letters back into the queue, `limit` at most, with all attempts before them; says how many.
    ///
    /// # Errors
    /// The database's.
    pub async fn redrive(&mut self, id: WebhookId, filter: &DeadFilter, limit: u32) -> Result<i64, StoreError> {
        let statement = self
            .of(REDRIVE, id)
            .bind(filter.events())
            .bind(filter.types())
            .bind(filter.cause.map(Cause::as_str))
            .bind(filter.since)
            .bind(filter.until)
            .bind(i64::from(limit));
        self.tx.wrote = true;
        let rows = self.tx.rows(statement).await?;
        rows.first().map_or(Ok(0), |row| get(row, "count"))
    }
}

impl Reader {
    /// Attempts of an endpoint, the newest first.
    ///
    /// # Errors
    /// The page token's, or the database's.
    pub async fn webhook_attempts(
        &self,
        id: WebhookId,
        filter: &AttemptFilter,
        page: &PageRequest<'_>,
    ) -> Result<Page<AttemptRow>, StoreError> {
        let binding = Binding::new(&self.store, "webhook-attempts", &self.environment, &(id, filter), page);
        let before = binding.open(page)?.map_or(Uuid::max(), Uuid::from_bytes);
        let (event, limit) = (filter.event.map(EventId::uuid), i64::from(page.size.get()) + 1);
        let params: [&(dyn ToSql + Sync); 6] =
            [&self.environment.as_str(), &id.uuid(), &event, &filter.failed, &before, &limit];
        let rows = self.store.query(ATTEMPTS, &params).await?;
        let found = rows.iter().map(attempt).collect::<Result<_, _>>()?;
        Ok(binding.page(found, page, |row: &AttemptRow| row.id.into_bytes()))
    }

    /// Dead letters of an endpoint, by subject and number.
    ///
    /// # Errors
    /// The page token's, or the database's.
    pub async fn webhook_dead(
        &self,
        id: WebhookId,
        filter: &DeadFilter,
        page: &PageRequest<'_>,
    ) -> Result<Page<DeadRow>, StoreError> {
        let binding = Binding::new(&self.store, "webhook-dead", &self.environment, &(id, filter), page);
        let after = binding.open(page)?.unwrap_or([0; 24]);
        let (subject, sequence) = after.split_at(16);
        let subject = Uuid::from_slice(subject).unwrap_or_default();
        let sequence = sequence.try_into().map(i64::from_be_bytes).unwrap_or(0);
        let (events, types, cause) = (filter.events(), filter.types(), filter.cause.map(Cause::as_str));
        let limit = i64::from(page.size.get()) + 1;
        let params: [&(dyn ToSql + Sync); 10] = [
            &self.environment.as_str(),
            &id.uuid(),
            &events,
            &types,
            &cause,
            &filter.since,
            &filter.until,
            &subject,
            &sequence,
            &limit,
        ];
        let rows = self.store.query(DEAD, &params).await?;
        let found = rows.iter().map(dead).collect::<Result<_, _>>()?;
        Ok(binding.page(found, page, keys))
    }
}

impl Store {
    /// Writes down the attempt of a test, unless the endpoint is gone.
    ///
    /// # Errors
    /// The database's.
    pub async fn webhook_log(&self, lane: &LaneId, row: &AttemptRow) -> Result<(), StoreError> {
        let took = i32::try_from(row.took.as_millis()).unwrap_or(i32::MAX);
        let status = row.status.and_then(|code| i16::try_from(code).ok());
        let params: [&(dyn ToSql + Sync); 12] = [
            &lane.environment.as_str(),
            &lane.endpoint.uuid(),
            &row.id,
            &row.event.uuid(),
            &row.kind,
            &row.subject.uuid(),
            &row.at,
            &took,
            &row.outcome,
            &status,
            &row.fault,
            &row.answer,
        ];
        self.query(LOG, &params).await.map(|_| ())
    }

    /// Forgets attempts and dead letters from before two moments, at most `limit` of each.
    ///
    /// # Errors
    /// The database's.
    pub async fn webhook_forget(
        &self,
        attempts: Timestamp,
        dead: Timestamp,
        limit: u32,
    ) -> Result<Forgotten, StoreError> {
        let row =
            self.queue_query_opt(FORGET, &[&attempts, &dead, &i64::from(limit)]).await?.ok_or(StoreError::NotFound)?;
        Ok(Forgotten { attempts: get(&row, "attempts")?, dead: get(&row, "dead")? })
    }

    /// Forgets all but the newest attempts of a lane; says how many went.
    ///
    /// # Errors
    /// The database's.
    pub async fn webhook_trim(&self, lane: &LaneId, newest: u32) -> Result<i64, StoreError> {
        let params: [&(dyn ToSql + Sync); 3] = [&lane.environment.as_str(), &lane.endpoint.uuid(), &i64::from(newest)];
        let row = self.queue_query_opt(TRIM, &params).await?.ok_or(StoreError::NotFound)?;
        get(&row, "count")
    }
}
