//! Lines: the events of one subject on their way to one sink.

use tenantry_domain::Timestamp;
use tenantry_domain::name::EnvironmentName;
use tenantry_pg::{Row, ToSql};
use uuid::Uuid;

use crate::columns::{get, parse};
use crate::scope::Subject;
use crate::streams::StreamHold;
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

/// What came of writing down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// Whether the claim still holds. Nothing was written down otherwise.
    pub is_mine: bool,
    /// Subjects with nothing left to publish, whose lines are gone.
    pub gone: i64,
}

// Plans of these statements are kept whatever there is later (see the pool for queues). So each cursor is looked up for itself, by
// the only index of its table, and each line by what has the order of its key and a limit: a planner that last saw the tables empty
// would read all rows of the sink for each of them.

const WORK: &str = "
    WITH head AS MATERIALIZED (
        SELECT env, subject, newest, since FROM tenantry.stream_line WHERE sink = $1 ORDER BY since LIMIT $2
    )
    SELECT h.env, h.subject, h.newest, coalesce((
        SELECT c.published FROM tenantry.stream_cursor AS c WHERE c.env = h.env AND c.subject = h.subject AND c.sink = $1
    ), 0) AS published
    FROM head AS h ORDER BY h.since, h.env, h.subject";

const MISSED: &str = "
    WITH behind AS MATERIALIZED (
        SELECT * FROM (
            SELECT s.env, s.subject, s.newest, coalesce((
                SELECT c.published FROM tenantry.stream_cursor AS c WHERE c.env = s.env AND c.subject = s.subject AND c.sink = $1
            ), 0) AS published FROM (
                SELECT env, id AS subject, event_seq AS newest FROM tenantry.tenant WHERE event_seq > 0
                UNION ALL
                SELECT name, '00000000-0000-0000-0000-000000000000', event_seq FROM tenantry.environment WHERE event_seq > 0
            ) AS s
        ) AS s WHERE s.newest > s.published
    )
    SELECT b.env, b.subject, b.newest, b.published FROM behind AS b
    WHERE NOT coalesce((
        SELECT (l.env, l.subject, l.sink) = (b.env, b.subject, $1) FROM tenantry.stream_line AS l
        WHERE (l.env, l.subject, l.sink) >= (b.env, b.subject, $1) ORDER BY l.env, l.subject, l.sink LIMIT 1
    ), false)
    LIMIT $2";

/// Rows of lines that a commit holds just now are passed over: it waits for nobody here, so nobody can be in its way; they are
/// looked at once more. One that a commit changed since it was found has another place, and is passed over too.
const RECORD: &str = "
    WITH mine AS (
        SELECT FROM tenantry.stream_lane WHERE sink = $1 AND claim = $2 AND owner = $7 FOR SHARE
    ), done AS (
        SELECT * FROM unnest($3::text[], $4::uuid[], $5::bigint[], $6::timestamptz[]) AS d (env, subject, published, at)
        WHERE EXISTS (SELECT FROM mine)
    ), moved AS (
        INSERT INTO tenantry.stream_cursor AS c (sink, env, subject, published)
        SELECT $1, env, subject, published FROM done
        ON CONFLICT ON CONSTRAINT stream_cursor_pkey DO UPDATE SET published = excluded.published
            WHERE c.published < excluded.published
    ), found AS MATERIALIZED (
        SELECT w.place, d.published, d.at FROM done AS d CROSS JOIN LATERAL (
            SELECT ctid AS place, env, subject, sink FROM tenantry.stream_line
            WHERE (env, subject, sink) >= (d.env, d.subject, $1) ORDER BY env, subject, sink LIMIT 1
        ) AS w
        WHERE w.env = d.env AND w.subject = d.subject AND w.sink = $1
    ), held AS (
        SELECT l.ctid AS place, f.published, f.at FROM found AS f JOIN tenantry.stream_line AS l ON l.ctid = f.place
        FOR UPDATE OF l SKIP LOCKED
    ), through AS (
        DELETE FROM tenantry.stream_line AS l USING held
        WHERE l.ctid = held.place AND l.newest <= held.published RETURNING 1
    ), onward AS (
        UPDATE tenantry.stream_line AS l SET since = greatest(l.since, held.at) FROM held
        WHERE l.ctid = held.place AND l.newest > held.published AND held.at > l.since
    )
    SELECT EXISTS (SELECT FROM mine) AS is_mine, (SELECT count(*) FROM through) AS gone";

/// The moment of the last publication is of use to people, and a commit of its own every time would be too much.
const PUBLISHED: &str = "
    UPDATE tenantry.stream_lane SET published_at = clock_timestamp() WHERE sink = $1 AND claim = $2 AND owner = $3";

const BACKLOG: &str = "
    SELECT count(*) AS subjects, coalesce(sum(behind), 0)::bigint AS events,
        coalesce(extract(epoch FROM clock_timestamp() - min(since)), 0)::float8 AS oldest
    FROM (
        SELECT l.since, l.newest - coalesce((
            SELECT c.published FROM tenantry.stream_cursor AS c WHERE c.env = l.env AND c.subject = l.subject AND c.sink = $1
        ), 0) AS behind FROM tenantry.stream_line AS l WHERE l.sink = $1 AND ($2::text IS NULL OR l.env = $2)
    ) AS line WHERE behind > 0";

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
        self.queue_query(WORK, &[&sink, &i64::from(limit)]).await?.iter().map(line).collect()
    }

    /// Subjects with something to publish that no commit has noted: it began before the sink was known. Looks at every tenant.
    ///
    /// # Errors
    /// The database's.
    pub async fn stream_missed(&self, sink: &str, limit: u32) -> Result<Vec<LineRow>, StoreError> {
        self.queue_query(MISSED, &[&sink, &i64::from(limit)]).await?.iter().map(line).collect()
    }

    /// Writes down how far lines came, if the claim still holds.
    ///
    /// # Errors
    /// The database's.
    pub async fn stream_record(&self, hold: &StreamHold, steps: &[LineStep]) -> Result<Recorded, StoreError> {
        let envs: Vec<&str> = steps.iter().map(|step| step.id.environment.as_str()).collect();
        let subjects: Vec<Uuid> = steps.iter().map(|step| step.id.subject.uuid()).collect();
        let published: Vec<i64> = steps.iter().map(|step| step.published).collect();
        let at: Vec<Option<Timestamp>> = steps.iter().map(|step| step.at).collect();
        let owner = hold.owner.uuid();
        let params: [&(dyn ToSql + Sync); 7] = [&hold.sink, &hold.claim, &envs, &subjects, &published, &at, &owner];
        let row = self.queue_query_opt(RECORD, &params).await?.ok_or(StoreError::NotFound)?;
        Ok(Recorded { is_mine: get(&row, "is_mine")?, gone: get(&row, "gone")? })
    }

    /// Writes down that something was published just now.
    ///
    /// # Errors
    /// The database's.
    pub async fn stream_published(&self, hold: &StreamHold) -> Result<(), StoreError> {
        self.queue_query(PUBLISHED, &[&hold.sink, &hold.claim, &hold.owner.uuid()]).await.map(|_| ())
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
        let row = self.queue_query_opt(BACKLOG, &[&sink, &environment]).await?.ok_or(StoreError::NotFound)?;
        Ok(StreamBacklog {
            events: get(&row, "events")?,
            subjects: get(&row, "subjects")?,
            oldest: get(&row, "oldest")?,
        })
    }
}
