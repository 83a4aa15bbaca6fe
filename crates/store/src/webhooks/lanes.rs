//! Lanes: which process sends to which endpoint.
//!
//! INVARIANT: two processes that report in time never hold the same lane. One that was silent for longer than the patience has
//! lost its lanes, whether it knows or not; what it had in hand is sent once more by the next one.

use std::time::Duration;

use tenantry_domain::id::{ReplicaId, WebhookId};
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_pg::Row;
use uuid::Uuid;

use super::endpoints::{self, EndpointRow, endpoint_columns, endpoint_from};
use crate::columns::{get, parse, parse_opt};
use crate::{Store, StoreError};

/// An endpoint's lane.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId {
    /// The partition.
    pub environment: EnvironmentName,
    /// The endpoint.
    pub endpoint: WebhookId,
}

/// A lane in which there is something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneWork {
    /// Which.
    pub lane: LaneId,
    /// Whether the asking process holds it.
    pub is_mine: bool,
    /// Whether its endpoint is gone: there is nothing to send, and what waits is to be swept.
    pub is_gone: bool,
}

/// A lane as its holder sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// The endpoint.
    pub endpoint: EndpointRow,
    /// Whether the endpoint's tenant is being served; true for the environment's endpoints.
    pub is_served: bool,
    /// For how long nothing may be sent; absent for no pause.
    pub paused: Option<Duration>,
    /// Failures since the last success.
    pub failures: u32,
    /// How long there were nothing but failures; absent for none.
    pub failing: Option<Duration>,
    /// Whether a replay has events that are not in the queue yet.
    pub has_replay: bool,
}

const BEAT: &str = "
    INSERT INTO tenantry.webhook_pump (replica, seen_at) VALUES ($1, clock_timestamp())
    ON CONFLICT ON CONSTRAINT webhook_pump_pkey DO UPDATE SET seen_at = excluded.seen_at";

const LEAVE: &str = "
    WITH gone AS (DELETE FROM tenantry.webhook_pump WHERE replica = $1)
    UPDATE tenantry.webhook_lane SET owner = NULL WHERE owner = $1";

/// The earliest row of each endpoint, one step through the index per endpoint, however long its queue is; and each endpoint that
/// a replay is open for. Endpoints that are gone come with no lane, for what is left of them to be removed.
///
/// Lanes that nobody has come first, the longest due before the others: those that run look by themselves.
const WORK: &str = "
    WITH RECURSIVE head AS (
        (SELECT env, endpoint, due_at FROM tenantry.webhook_queue ORDER BY env, endpoint, due_at LIMIT 1)
        UNION ALL
        SELECT n.env, n.endpoint, n.due_at FROM head, LATERAL (
            SELECT q.env, q.endpoint, q.due_at FROM tenantry.webhook_queue AS q
            WHERE (q.env, q.endpoint) > (head.env, head.endpoint) ORDER BY q.env, q.endpoint, q.due_at LIMIT 1
        ) AS n
    ), wanted AS (
        SELECT env, endpoint, min(since) AS since FROM (
            SELECT env, endpoint, due_at AS since FROM head WHERE due_at <= clock_timestamp()
            UNION ALL SELECT r.env, r.endpoint, r.created_at FROM tenantry.webhook_replay AS r
                JOIN tenantry.webhook_endpoint AS e ON e.env = r.env AND e.id = r.endpoint AND e.is_listening
                WHERE r.ended_at IS NULL
            UNION ALL SELECT h.env, h.endpoint, h.due_at FROM head AS h JOIN tenantry.webhook_endpoint AS e
                ON e.env = h.env AND e.id = h.endpoint AND NOT e.is_listening
        ) AS reasons GROUP BY env, endpoint
    )
    SELECT w.env, w.endpoint, COALESCE(l.owner = $1, false) AS is_mine, l.endpoint IS NULL AS is_gone
    FROM wanted AS w
    LEFT JOIN tenantry.webhook_lane AS l ON l.env = w.env AND l.endpoint = w.endpoint
    LEFT JOIN tenantry.webhook_pump AS p ON p.replica = l.owner
    LEFT JOIN tenantry.webhook_endpoint AS e ON e.env = w.env AND e.id = w.endpoint
    LEFT JOIN tenantry.tenant AS t ON t.env = e.env AND t.id = e.subject
    WHERE (l.paused_until IS NULL OR l.paused_until <= clock_timestamp())
        AND (t.id IS NULL OR t.phase NOT IN ('suspended', 'archived') OR NOT e.is_listening)
        AND (l.owner IS NULL OR l.owner = $1 OR p.replica IS NULL OR p.seen_at < clock_timestamp() - $2 * interval '1 second')
    ORDER BY is_mine, w.since LIMIT $3";

// Without a join to the owners: a row that somebody else took between our look and our lock is looked at once more, and a join
// would be looked at as it was before.
const CLAIM: &str = "
    WITH free AS (
        SELECT l.env, l.endpoint FROM tenantry.webhook_lane AS l
        JOIN unnest($3::text[], $4::uuid[]) AS w (env, endpoint) ON w.env = l.env AND w.endpoint = l.endpoint
        WHERE l.owner IS NULL OR l.owner <> ALL (
            SELECT replica FROM tenantry.webhook_pump WHERE seen_at >= clock_timestamp() - $2 * interval '1 second'
        )
        FOR UPDATE OF l SKIP LOCKED
    )
    UPDATE tenantry.webhook_lane AS l SET owner = $1 FROM free WHERE l.env = free.env AND l.endpoint = free.endpoint
    RETURNING l.env, l.endpoint";

const RELEASE: &str = "UPDATE tenantry.webhook_lane SET owner = NULL WHERE env = $1 AND endpoint = $2 AND owner = $3";

const LOOK: &str = concat!(
    "SELECT ",
    endpoint_columns!(),
    ", t.phase, l.failures, extract(epoch FROM l.paused_until - clock_timestamp())::float8 AS paused,
        extract(epoch FROM clock_timestamp() - l.failing_since)::float8 AS failing,
        EXISTS (SELECT FROM tenantry.webhook_replay AS r WHERE r.env = e.env AND r.endpoint = e.id AND r.ended_at IS NULL)
            AS has_replay ",
    endpoint_from!(),
    "WHERE e.env = $1 AND e.id = $2 AND l.owner = $3"
);

/// Others may sweep the same lane: nobody waits for what somebody else removes.
const SWEEP: &str = "
    WITH chosen AS MATERIALIZED (
        SELECT ctid AS place FROM tenantry.webhook_queue
        WHERE env = $1 AND endpoint = $2
            AND NOT EXISTS (SELECT FROM tenantry.webhook_endpoint WHERE env = $1 AND id = $2)
        ORDER BY subject, sequence LIMIT $3 FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM tenantry.webhook_queue WHERE ctid = ANY (ARRAY (SELECT place FROM chosen)) RETURNING 1
    )
    SELECT count(*) AS count FROM gone";

fn id(row: &Row) -> Result<LaneId, StoreError> {
    Ok(LaneId { environment: parse(row, "env")?, endpoint: WebhookId::from_uuid(get(row, "endpoint")?) })
}

fn seconds(row: &Row, name: &'static str) -> Result<Option<Duration>, StoreError> {
    let seconds: Option<f64> = get(row, name)?;
    Ok(seconds.filter(|seconds| *seconds > 0.0).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
}

impl Store {
    /// Reports that a process sends. It must do so more often than the patience of the others is long.
    ///
    /// # Errors
    /// The database's.
    pub async fn webhook_beat(&self, replica: ReplicaId) -> Result<(), StoreError> {
        self.query(BEAT, &[&replica.uuid()]).await.map(|_| ())
    }

    /// Says that a process sends no more: its lanes are free at once.
    ///
    /// # Errors
    /// The database's.
    pub async fn webhook_leave(&self, replica: ReplicaId) -> Result<(), StoreError> {
        self.query(LEAVE, &[&replica.uuid()]).await.map(|_| ())
    }

    /// Lanes in which there is something to do now, apart from those that others hold; `limit` at most, those that nobody has
    /// first. It changes nothing.
    ///
    /// # Errors
    /// The database's.
    pub async fn webhook_work(
        &self,
        replica: ReplicaId,
        patience: Duration,
        limit: u32,
    ) -> Result<Vec<LaneWork>, StoreError> {
        let rows = self.queue_query(WORK, &[&replica.uuid(), &patience.as_secs_f64(), &i64::from(limit)]).await?;
        let read = |row| Ok(LaneWork { lane: id(row)?, is_mine: get(row, "is_mine")?, is_gone: get(row, "is_gone")? });
        rows.iter().map(read).collect()
    }

    /// Removes what waits in the lane of an endpoint that is gone, at most `limit` rows; says how many. Fewer than `limit` means
    /// that nothing is left, apart from rows that somebody else has locked.
    ///
    /// # Errors
    /// The database's.
    pub async fn webhook_sweep(&self, lane: &LaneId, limit: u32) -> Result<i64, StoreError> {
        let params: [&(dyn tenantry_pg::ToSql + Sync); 3] =
            [&lane.environment.as_str(), &lane.endpoint.uuid(), &i64::from(limit)];
        let row = self.queue_query_opt(SWEEP, &params).await?.ok_or(StoreError::NotFound)?;
        get(&row, "count")
    }

    /// Takes those of the lanes that nobody holds. Unlike what is done in a lane this is on the disk when it returns: a claim that
    /// a crash of the server undid would leave the lane to two processes.
    ///
    /// # Errors
    /// The database's.
    pub async fn webhook_claim(
        &self,
        replica: ReplicaId,
        patience: Duration,
        lanes: &[LaneId],
    ) -> Result<Vec<LaneId>, StoreError> {
        let envs: Vec<&str> = lanes.iter().map(|lane| lane.environment.as_str()).collect();
        let endpoints: Vec<Uuid> = lanes.iter().map(|lane| lane.endpoint.uuid()).collect();
        let rows = self.query(CLAIM, &[&replica.uuid(), &patience.as_secs_f64(), &envs, &endpoints]).await?;
        rows.iter().map(id).collect()
    }

    /// Gives a lane back.
    ///
    /// # Errors
    /// The database's.
    pub async fn webhook_release(&self, replica: ReplicaId, lane: &LaneId) -> Result<(), StoreError> {
        let params: [&(dyn tenantry_pg::ToSql + Sync); 3] =
            [&lane.environment.as_str(), &lane.endpoint.uuid(), &replica.uuid()];
        self.queue_query(RELEASE, &params).await.map(|_| ())
    }

    /// Looks at a lane that the process holds; nothing when it does not hold it any more, or the endpoint is gone.
    ///
    /// # Errors
    /// The database's.
    pub async fn webhook_lane(&self, replica: ReplicaId, lane: &LaneId) -> Result<Option<Lane>, StoreError> {
        let params: [&(dyn tenantry_pg::ToSql + Sync); 3] =
            [&lane.environment.as_str(), &lane.endpoint.uuid(), &replica.uuid()];
        let Some(row) = self.queue_query_opt(LOOK, &params).await? else { return Ok(None) };
        let phase: Option<Phase> = parse_opt(&row, "phase")?;
        let failures: i32 = get(&row, "failures")?;
        Ok(Some(Lane {
            endpoint: endpoints::read(&row)?,
            is_served: !matches!(phase, Some(Phase::Suspended | Phase::Archived | Phase::Deleted)),
            paused: seconds(&row, "paused")?,
            failures: u32::try_from(failures).unwrap_or(0),
            failing: seconds(&row, "failing")?,
            has_replay: get(&row, "has_replay")?,
        }))
    }
}
