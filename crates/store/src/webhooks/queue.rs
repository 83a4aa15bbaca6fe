//! What is to be delivered, and what came of it.

use std::collections::BTreeSet;
use std::time::Duration;

use tenantry_domain::id::{EventId, ReplicaId};
use tenantry_domain::webhook::{Cause, Why};
use tenantry_domain::{Timestamp, event};
use tenantry_pg::{Row, ToSql};
use uuid::Uuid;

use super::fifo::{DUE_IN_ORDER, TURNS};
use super::lanes::LaneId;
use crate::columns::get;
use crate::outbox::{self, EventRow};
use crate::{Store, StoreError, Subject};

/// An event that is to be delivered now.
#[derive(Debug, Clone, PartialEq)]
pub struct DueRow {
    /// The event.
    pub event: EventRow,
    /// Attempts made so far.
    pub attempts: u32,
    /// Whether it is sent again on demand.
    pub is_replay: bool,
}

/// Which of what is due is fetched first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The longest due, whoever's it is.
    Longest,
    /// The events of each subject in their order, of all subjects in turns. Begins behind this subject; with the first when absent.
    Turns(Option<Subject>),
}

/// What becomes of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was taken.
    Delivered,
    /// It is tried again after a pause.
    Again(Duration),
    /// It is given up.
    Dead(Cause),
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Of the log's row; time-ordered.
    pub id: Uuid,
    /// Which event.
    pub event: EventId,
    /// Its type.
    pub kind: event::Type,
    /// Whose.
    pub subject: Subject,
    /// Its number.
    pub sequence: i64,
    /// Which attempt this was, from 1.
    pub attempt: u32,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// What becomes of the delivery.
    pub fate: Fate,
    /// `delivered`, `failed`, `throttled`, `gone` or `refused`.
    pub word: &'static str,
    /// The status of HTTP; absent when there was none.
    pub status: Option<u16>,
    /// Why there was no status.
    pub fault: Option<&'static str>,
    /// The beginning of what was said, without secrets.
    pub answer: Option<String>,
    /// Whether it was sent again on demand.
    pub is_replay: bool,
}

/// What the outcomes mean for the endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LaneChange {
    /// Failures since the last success.
    pub failures: u32,
    /// Whether there was a success among them.
    pub has_success: bool,
    /// How long nothing is to be sent from now on.
    pub pause: Option<Duration>,
}

macro_rules! due_columns {
    () => {
        "q.attempts, q.is_replay, o.env, o.subject, o.sequence, o.id, o.type, o.at, o.version, o.correlation_id, o.causation_id, o.data "
    };
}
pub(super) use due_columns;

/// Events of types that a later release knows (`$4` are ours) take no place of those that can be sent. Each event is looked up for
/// itself: what has a limit of its own cannot be turned around by a planner that last saw the tables empty.
const DUE: &str = concat!(
    "SELECT ",
    due_columns!(),
    "FROM (
        SELECT q.* FROM tenantry.webhook_queue AS q CROSS JOIN LATERAL (
            SELECT FROM tenantry.outbox AS o
            WHERE o.env = q.env AND o.subject = q.subject AND o.sequence = q.sequence AND o.type = ANY ($4) LIMIT 1
        ) AS known
        WHERE q.env = $1 AND q.endpoint = $2 AND q.due_at <= clock_timestamp() ORDER BY q.due_at LIMIT $3
    ) AS q JOIN tenantry.outbox AS o ON o.env = q.env AND o.subject = q.subject AND o.sequence = q.sequence
    ORDER BY q.due_at, q.subject, q.sequence"
);

/// Of what is due only the longest due is looked at: where nothing can be sent it is one that cannot be read, or one that waits for
/// its turn.
const UNREAD: &str = "
    SELECT EXISTS (
        SELECT FROM (
            SELECT subject, sequence FROM tenantry.webhook_queue
            WHERE env = $1 AND endpoint = $2 AND due_at <= clock_timestamp() ORDER BY due_at LIMIT 1
        ) AS q JOIN tenantry.outbox AS o ON o.env = $1 AND o.subject = q.subject AND o.sequence = q.sequence
        WHERE o.type <> ALL ($3)
    ) AS is_unread";

/// Nothing but the log changes unless the writer holds the lane: its row is locked first, so that a claim comes before all of this or
/// behind it. A row whose count of attempts is another one by now was recorded already.
///
/// Each row is looked up for itself, by its key, and then changed where it lies. Joined by their keys, a planner that last saw the
/// tables empty reads all rows of the endpoint for each outcome; what has an order and a limit of its own cannot be turned around.
const RECORD: &str = "
    WITH r AS (
        SELECT * FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::uuid[], $7::bigint[], $8::smallint[], $9::timestamptz[],
            $10::integer[], $11::text[], $12::smallint[], $13::text[], $14::text[], $15::boolean[], $16::text[], $17::float8[])
        AS r (id, event, type, subject, sequence, attempt, at, took_ms, outcome, status, fault, answer, is_replay, cause, pause)
    ), mine AS MATERIALIZED (
        SELECT FROM tenantry.webhook_lane WHERE env = $1 AND endpoint = $2 AND owner = $22 FOR NO KEY UPDATE
    ), found AS MATERIALIZED (
        SELECT w.place, r.attempt, r.cause, r.status, r.fault, r.answer, r.pause FROM r CROSS JOIN LATERAL (
            SELECT ctid AS place, subject, sequence, attempts FROM tenantry.webhook_queue
            WHERE env = $1 AND endpoint = $2 AND (subject, sequence) >= (r.subject, r.sequence) ORDER BY subject, sequence LIMIT 1
        ) AS w
        WHERE w.subject = r.subject AND w.sequence = r.sequence AND w.attempts = r.attempt - 1 AND EXISTS (SELECT FROM mine)
    ), gone AS (
        DELETE FROM tenantry.webhook_queue AS q USING found AS f WHERE q.ctid = f.place AND f.pause IS NULL
        RETURNING q.subject, q.sequence, q.queued_at, f.attempt, f.cause, f.status, f.fault, f.answer
    ), again AS (
        UPDATE tenantry.webhook_queue AS q SET attempts = f.attempt, due_at = clock_timestamp() + f.pause * interval '1 second'
        FROM found AS f WHERE q.ctid = f.place AND f.pause IS NOT NULL
    ), dead AS (
        INSERT INTO tenantry.webhook_dead (env, endpoint, subject, sequence, attempts, cause, status, fault, answer, queued_at, died_at)
        SELECT $1, $2, subject, sequence, attempt, cause, status, fault, answer, queued_at, clock_timestamp()
        FROM gone WHERE cause IS NOT NULL
        ON CONFLICT ON CONSTRAINT webhook_dead_pkey DO UPDATE SET attempts = excluded.attempts, cause = excluded.cause,
            status = excluded.status, fault = excluded.fault, answer = excluded.answer, died_at = excluded.died_at
    ), alive AS (
        DELETE FROM tenantry.webhook_dead AS d USING gone CROSS JOIN LATERAL (
            SELECT ctid AS place, subject, sequence FROM tenantry.webhook_dead
            WHERE env = $1 AND endpoint = $2 AND (subject, sequence) >= (gone.subject, gone.sequence)
            ORDER BY subject, sequence LIMIT 1
        ) AS w
        WHERE d.ctid = w.place AND w.subject = gone.subject AND w.sequence = gone.sequence AND gone.cause IS NULL
    ), lane AS (
        UPDATE tenantry.webhook_lane SET failures = $18,
            failing_since = CASE WHEN $18 = 0 THEN NULL
                WHEN $19 THEN clock_timestamp() ELSE COALESCE(failing_since, clock_timestamp()) END,
            delivered_at = CASE WHEN $19 THEN clock_timestamp() ELSE delivered_at END,
            paused_until = CASE WHEN $20::float8 IS NULL THEN NULL ELSE clock_timestamp() + $20 * interval '1 second' END
        WHERE env = $1 AND endpoint = $2 AND $21 AND EXISTS (SELECT FROM mine)
    ), logged AS (
        INSERT INTO tenantry.webhook_attempt (env, endpoint, id, event, type, subject, sequence, attempt, at, took_ms, outcome,
            status, fault, answer, is_replay)
        SELECT $1, $2, id, event, type, subject, sequence, attempt, at, took_ms, outcome, status, fault, answer, is_replay FROM r
        ON CONFLICT DO NOTHING
    )
    SELECT EXISTS (SELECT FROM mine) AS is_mine";

/// Exact up to this many rows; beyond it what the planner knows since the table was looked through last.
const COUNTED: i64 = 100_000;

/// The oldest is exact: each endpoint's first row without an attempt, found through the index. Such a row is due since it was put
/// there.
const BACKLOG: &str = "
    WITH RECURSIVE lane AS (
        (SELECT env, endpoint FROM tenantry.webhook_queue ORDER BY env, endpoint LIMIT 1)
        UNION ALL
        SELECT n.env, n.endpoint FROM lane, LATERAL (
            SELECT q.env, q.endpoint FROM tenantry.webhook_queue AS q WHERE (q.env, q.endpoint) > (lane.env, lane.endpoint)
            ORDER BY q.env, q.endpoint LIMIT 1
        ) AS n
    ), oldest AS (
        SELECT min(n.due_at) AS at FROM lane, LATERAL (
            SELECT q.due_at FROM tenantry.webhook_queue AS q
            WHERE q.env = lane.env AND q.endpoint = lane.endpoint AND q.attempts = 0 AND NOT q.is_replay
            ORDER BY q.due_at LIMIT 1
        ) AS n
    ), counted AS (SELECT count(*) AS count FROM (SELECT FROM tenantry.webhook_queue LIMIT $1) AS first)
    SELECT CASE WHEN counted.count < $1 THEN counted.count ELSE greatest(counted.count, (
            SELECT reltuples::bigint FROM pg_class WHERE oid = 'tenantry.webhook_queue'::regclass
        )) END AS waiting,
        greatest(COALESCE(extract(epoch FROM clock_timestamp() - oldest.at), 0), 0)::float8 AS oldest
    FROM counted, oldest";

const BURY: &str = "
    WITH chosen AS MATERIALIZED (
        SELECT ctid AS place FROM tenantry.webhook_queue
        WHERE env = $1 AND endpoint = $2
            AND EXISTS (SELECT FROM tenantry.webhook_endpoint WHERE env = $1 AND id = $2 AND NOT is_listening)
        ORDER BY subject, sequence LIMIT $3
    ), gone AS (
        DELETE FROM tenantry.webhook_queue WHERE ctid = ANY (ARRAY (SELECT place FROM chosen))
        RETURNING subject, sequence, attempts, queued_at
    ), buried AS (
        INSERT INTO tenantry.webhook_dead (env, endpoint, subject, sequence, attempts, cause, queued_at, died_at)
        SELECT $1, $2, subject, sequence, attempts, $4, queued_at, clock_timestamp() FROM gone
        ON CONFLICT ON CONSTRAINT webhook_dead_pkey DO NOTHING
    )
    SELECT count(*) AS count FROM gone";

/// The types that can be read.
fn kinds() -> Vec<&'static str> {
    event::Type::ALL.iter().map(|kind| kind.as_str()).collect()
}

fn read(row: &Row) -> Result<DueRow, StoreError> {
    let attempts: i16 = get(row, "attempts")?;
    Ok(DueRow {
        event: outbox::read(row)?,
        attempts: u32::try_from(attempts).unwrap_or(0),
        is_replay: get(row, "is_replay")?,
    })
}

impl Store {
    /// What is due in a lane; in turns, the first ones of each subject whose first one is due. Events of types that a later release
    /// knows are left out, and so are, in turns, those behind them.
    ///
    /// # Errors
    /// The database's.
    pub async fn webhook_due(&self, lane: &LaneId, order: Order, limit: u32) -> Result<Vec<DueRow>, StoreError> {
        let limit = i64::from(limit);
        let (env, endpoint) = (lane.environment.as_str(), lane.endpoint.uuid());
        let is_ordered = matches!(order, Order::Turns(_));
        let kinds = kinds();
        let rows = match order {
            Order::Longest => self.queue_query(DUE, &[&env, &endpoint, &limit, &kinds]).await?,
            Order::Turns(behind) => {
                let behind = behind.map_or(Uuid::max(), Subject::uuid);
                let turns = i64::try_from(TURNS).unwrap_or(i64::MAX);
                self.queue_query(DUE_IN_ORDER, &[&env, &endpoint, &limit, &behind, &turns, &kinds]).await?
            }
        };
        let mut stalled: BTreeSet<Uuid> = BTreeSet::new();
        let mut due = Vec::new();
        for row in &rows {
            let subject: Uuid = get(row, "subject")?;
            match read(row) {
                Ok(_) if is_ordered && stalled.contains(&subject) => {}
                Ok(one) => due.push(one),
                // A type of a later release: a process that knows it sends it. Nothing overtakes it in the order.
                Err(StoreError::Unreadable { what: "type" }) => drop(stalled.insert(subject)),
                Err(error) => return Err(error),
            }
        }
        Ok(due)
    }

    /// Whether the longest due in a lane is of a type that a later release knows.
    ///
    /// # Errors
    /// The database's.
    pub async fn webhook_unread(&self, lane: &LaneId) -> Result<bool, StoreError> {
        let params: [&(dyn ToSql + Sync); 3] = [&lane.environment.as_str(), &lane.endpoint.uuid(), &kinds()];
        let row = self.queue_query_opt(UNREAD, &params).await?.ok_or(StoreError::NotFound)?;
        get(&row, "is_unread")
    }

    /// Writes down what came of attempts: rows leave the queue or wait, the dead are kept, the log grows, and the lane knows how its
    /// endpoint behaves. All or nothing; doing it twice does no harm. Of one who does not hold the lane any more only the log is
    /// written, which `false` says: what the next holder records stands.
    ///
    /// # Errors
    /// The database's.
    pub async fn webhook_record(
        &self,
        replica: ReplicaId,
        lane: &LaneId,
        outcomes: &[Outcome],
        change: Option<LaneChange>,
    ) -> Result<bool, StoreError> {
        let small = |number: u32| i16::try_from(number).unwrap_or(i16::MAX);
        let ids: Vec<Uuid> = outcomes.iter().map(|one| one.id).collect();
        let events: Vec<Uuid> = outcomes.iter().map(|one| one.event.uuid()).collect();
        let kinds: Vec<&str> = outcomes.iter().map(|one| one.kind.as_str()).collect();
        let subjects: Vec<Uuid> = outcomes.iter().map(|one| one.subject.uuid()).collect();
        let sequences: Vec<i64> = outcomes.iter().map(|one| one.sequence).collect();
        let attempts: Vec<i16> = outcomes.iter().map(|one| small(one.attempt)).collect();
        let ats: Vec<Timestamp> = outcomes.iter().map(|one| one.at).collect();
        let tooks: Vec<i32> =
            outcomes.iter().map(|one| i32::try_from(one.took.as_millis()).unwrap_or(i32::MAX)).collect();
        let words: Vec<&str> = outcomes.iter().map(|one| one.word).collect();
        let statuses: Vec<Option<i16>> =
            outcomes.iter().map(|one| one.status.and_then(|code| i16::try_from(code).ok())).collect();
        let faults: Vec<Option<&str>> = outcomes.iter().map(|one| one.fault).collect();
        let answers: Vec<Option<&str>> = outcomes.iter().map(|one| one.answer.as_deref()).collect();
        let replays: Vec<bool> = outcomes.iter().map(|one| one.is_replay).collect();
        let causes: Vec<Option<&str>> = outcomes
            .iter()
            .map(|one| if let Fate::Dead(cause) = one.fate { Some(cause.as_str()) } else { None })
            .collect();
        let pauses: Vec<Option<f64>> = outcomes
            .iter()
            .map(|one| if let Fate::Again(pause) = one.fate { Some(pause.as_secs_f64()) } else { None })
            .collect();
        let (is_changed, change) = (change.is_some(), change.unwrap_or_default());
        let failures = i32::try_from(change.failures).unwrap_or(i32::MAX);
        let pause = change.pause.map(|pause| pause.as_secs_f64());
        let replica = replica.uuid();
        let params: [&(dyn ToSql + Sync); 22] = [
            &lane.environment.as_str(),
            &lane.endpoint.uuid(),
            &ids,
            &events,
            &kinds,
            &subjects,
            &sequences,
            &attempts,
            &ats,
            &tooks,
            &words,
            &statuses,
            &faults,
            &answers,
            &replays,
            &causes,
            &pauses,
            &failures,
            &change.has_success,
            &pause,
            &is_changed,
            &replica,
        ];
        let row = self.queue_query_opt(RECORD, &params).await?.ok_or(StoreError::NotFound)?;
        get(&row, "is_mine")
    }

    /// Gives up what waits in a lane, at most `limit` rows; says how many.
    ///
    /// # Errors
    /// The database's.
    pub async fn webhook_bury(&self, lane: &LaneId, why: Why, limit: u32) -> Result<i64, StoreError> {
        // All ways of being disabled end in the same way for what waits.
        let cause = match why {
            Why::Asked | Why::Gone | Why::Failing => Cause::Disabled,
        };
        let params: [&(dyn ToSql + Sync); 4] =
            [&lane.environment.as_str(), &lane.endpoint.uuid(), &i64::from(limit), &cause.as_str()];
        let row = self.queue_query_opt(BURY, &params).await?.ok_or(StoreError::NotFound)?;
        get(&row, "count")
    }

    /// How much waits in all lanes, and for how many seconds the oldest event does that no attempt was made for. The latter is
    /// exact, the former up to 100,000; beyond that it is what the planner knows, off by what changed since autovacuum came by.
    ///
    /// # Errors
    /// The database's.
    pub async fn webhook_backlog(&self) -> Result<(i64, f64), StoreError> {
        let row = self.queue_query_opt(BACKLOG, &[&COUNTED]).await?.ok_or(StoreError::NotFound)?;
        Ok((get(&row, "waiting")?, get(&row, "oldest")?))
    }
}
