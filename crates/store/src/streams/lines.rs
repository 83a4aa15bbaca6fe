//! Lines: the events of one subject on their way to one sink.

use tenantry_domain::Timestamp;
use tenantry_domain::name::EnvironmentName;
use tenantry_pg::{Row, ToSql};
use uuid::Uuid;

use crate::columns::{get, parse};
use crate::outbox::{self, EventRow};
use crate::scope::Subject;
use crate::{Store, StoreError};

/// Whose events.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineId {
    /// The partition.
    pub environment: EnvironmentName,
    /// The tenant, or the environment itself.
    pub subject: Subject,
}

/// A subject with something to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineRow {
    /// Whose.
    pub id: LineId,
    /// Its newest event, as of the look.
    pub newest: i64,
    /// Up to which event it is published.
    pub published: i64,
}

/// How far a line came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineStep {
    /// Whose.
    pub id: LineId,
    /// Up to which event it is published now.
    pub published: i64,
    /// When that event was committed; absent where nothing was published just now.
    pub at: Option<Timestamp>,
}

/// What waits for a sink.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StreamBacklog {
    /// Events.
    pub events: i64,
    /// Subjects that they belong to.
    pub subjects: i64,
    /// For how many seconds the oldest waits; 0 for none.
    pub oldest: f64,
}

const WORK: &str = "
    SELECT l.env, l.subject, l.newest, coalesce(c.published, 0) AS published
    FROM tenantry.stream_line AS l
    LEFT JOIN tenantry.stream_cursor AS c ON c.sink = l.sink AND c.env = l.env AND c.subject = l.subject
    WHERE l.sink = $1 ORDER BY l.since, l.env, l.subject LIMIT $2";

const MISSED: &str = "
    SELECT s.env, s.subject, s.newest, coalesce(c.published, 0) AS published FROM (
        SELECT env, id AS subject, event_seq AS newest FROM tenantry.tenant WHERE event_seq > 0
        UNION ALL
        SELECT name, '00000000-0000-0000-0000-000000000000', event_seq FROM tenantry.environment WHERE event_seq > 0
    ) AS s LEFT JOIN tenantry.stream_cursor AS c ON c.sink = $1 AND c.env = s.env AND c.subject = s.subject
    WHERE s.newest > coalesce(c.published, 0)
        AND NOT EXISTS (SELECT FROM tenantry.stream_line AS l WHERE l.sink = $1 AND l.env = s.env AND l.subject = s.subject)
    LIMIT $2";

const EVENTS: &str = "
    SELECT o.env, o.subject, o.sequence, o.id, o.type, o.at, o.version, o.correlation_id, o.causation_id, o.data
    FROM unnest($1::text[], $2::uuid[], $3::bigint[]) WITH ORDINALITY AS w (env, subject, after, place), LATERAL (
        SELECT * FROM tenantry.outbox AS o WHERE o.env = w.env AND o.subject = w.subject AND o.sequence > w.after
        ORDER BY o.sequence LIMIT $4
    ) AS o ORDER BY w.place, o.sequence";

/// Rows of lines that a commit holds just now are passed over: it waits for nobody here, so nobody can be in its way; they are
/// looked at once more.
const RECORD: &str = "
    WITH mine AS (
        SELECT FROM tenantry.stream_lane WHERE sink = $1 AND claim = $2 FOR SHARE
    ), done AS (
        SELECT * FROM unnest($3::text[], $4::uuid[], $5::bigint[], $6::timestamptz[]) AS d (env, subject, published, at)
        WHERE EXISTS (SELECT FROM mine)
    ), moved AS (
        INSERT INTO tenantry.stream_cursor AS c (sink, env, subject, published)
        SELECT $1, env, subject, published FROM done
        ON CONFLICT ON CONSTRAINT stream_cursor_pkey DO UPDATE SET published = excluded.published
            WHERE c.published < excluded.published
    ), held AS (
        SELECT l.env, l.subject, l.newest, done.published, done.at FROM done JOIN tenantry.stream_line AS l
            ON l.sink = $1 AND l.env = done.env AND l.subject = done.subject
        FOR UPDATE OF l SKIP LOCKED
    ), through AS (
        DELETE FROM tenantry.stream_line AS l USING held
        WHERE l.sink = $1 AND l.env = held.env AND l.subject = held.subject AND l.newest <= held.published
    ), onward AS (
        UPDATE tenantry.stream_line AS l SET since = greatest(l.since, held.at) FROM held
        WHERE l.sink = $1 AND l.env = held.env AND l.subject = held.subject AND l.newest > held.published AND held.at > l.since
    )
    SELECT EXISTS (SELECT FROM mine) AS is_mine";

/// The moment of the last publication is of use to people, and a commit of its own every time would be too much.
const PUBLISHED: &str = "
    UPDATE tenantry.stream_lane SET published_at = clock_timestamp() WHERE sink = $1 AND claim = $2";

const BACKLOG: &str = "
    SELECT count(*) AS subjects, coalesce(sum(l.newest - coalesce(c.published, 0)), 0)::bigint AS events,
        coalesce(extract(epoch FROM clock_timestamp() - min(l.since)), 0)::float8 AS oldest
    FROM tenantry.stream_line AS l
    LEFT JOIN tenantry.stream_cursor AS c ON c.sink = l.sink AND c.env = l.env AND c.subject = l.subject
    WHERE l.sink = $1 AND ($2::text IS NULL OR l.env = $2) AND l.newest > coalesce(c.published, 0)";

fn line(row: &Row) -> Result<LineRow, StoreError> {
    Ok(LineRow {
        id: LineId { environment: parse(row, "env")?, subject: Subject::from_uuid(get(row, "subject")?) },
        newest: get(row, "newest")?,
        published: get(row, "published")?,
    })
}

impl Store {
    /// Subjects with something to publish, those that wait longest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn stream_work(&self, sink: &str, limit: u32) -> Result<Vec<LineRow>, StoreError> {
        self.query(WORK, &[&sink, &i64::from(limit)]).await?.iter().map(line).collect()
    }

    /// Subjects with something to publish that no commit has noted: it began before the sink was known. Looks at every tenant.
    ///
    /// # Errors
    /// The database's.
    pub async fn stream_missed(&self, sink: &str, limit: u32) -> Result<Vec<LineRow>, StoreError> {
        self.query(MISSED, &[&sink, &i64::from(limit)]).await?.iter().map(line).collect()
    }

    /// Events of lines behind a number each, in the order of the lines and of each line's numbers; at most `each` of one.
    ///
    /// # Errors
    /// The database's; an event has a type that this release does not know.
    pub async fn stream_events(&self, behind: &[(LineId, i64)], each: u32) -> Result<Vec<EventRow>, StoreError> {
        let envs: Vec<&str> = behind.iter().map(|(id, _)| id.environment.as_str()).collect();
        let subjects: Vec<Uuid> = behind.iter().map(|(id, _)| id.subject.uuid()).collect();
        let after: Vec<i64> = behind.iter().map(|(_, after)| *after).collect();
        let params: [&(dyn ToSql + Sync); 4] = [&envs, &subjects, &after, &i64::from(each)];
        self.query(EVENTS, &params).await?.iter().map(outbox::read).collect()
    }

    /// Writes down how far lines came, if the claim still holds, and says whether it does.
    ///
    /// # Errors
    /// The database's.
    pub async fn stream_record(&self, sink: &str, claim: i64, steps: &[LineStep]) -> Result<bool, StoreError> {
        let envs: Vec<&str> = steps.iter().map(|step| step.id.environment.as_str()).collect();
        let subjects: Vec<Uuid> = steps.iter().map(|step| step.id.subject.uuid()).collect();
        let published: Vec<i64> = steps.iter().map(|step| step.published).collect();
        let at: Vec<Option<Timestamp>> = steps.iter().map(|step| step.at).collect();
        let params: [&(dyn ToSql + Sync); 6] = [&sink, &claim, &envs, &subjects, &published, &at];
        let row = self.query_opt(RECORD, &params).await?.ok_or(StoreError::NotFound)?;
        get(&row, "is_mine")
    }

    /// Writes down that something was published just now.
    ///
    /// # Errors
    /// The database's.
    pub async fn stream_published(&self, sink: &str, claim: i64) -> Result<(), StoreError> {
        self.query(PUBLISHED, &[&sink, &claim]).await.map(|_| ())
    }

    /// What waits for a sink, of one environment or of all.
    ///
    /// # Errors
    /// The database's.
    pub async fn stream_backlog(
        &self,
        sink: &str,
        environment: Option<&EnvironmentName>,
    ) -> Result<StreamBacklog, StoreError> {
        let environment = environment.map(EnvironmentName::as_str);
        let row = self.query_opt(BACKLOG, &[&sink, &environment]).await?.ok_or(StoreError::NotFound)?;
        Ok(StreamBacklog {
            events: get(&row, "events")?,
            subjects: get(&row, "subjects")?,
            oldest: get(&row, "oldest")?,
        })
    }
}
