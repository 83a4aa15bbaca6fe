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
const WORK: &str = "
    WITH RECURSIVE head AS (
        (SELECT env, endpoint, due_at FROM tenantry.webhook_queue ORDER BY env, endpoint, due_at LIMIT 1)
        UNION ALL
        SELECT n.env, n.endpoint, n.due_at FROM head, LATERAL (
            SELECT q.env, q.endpoint, q.due_at FROM tenantry.webhook_queue AS q
            WHERE (q.env, q.endpoint) > (head.env, head.endpoint) ORDER BY q.env, q.endpoint, q.due_at LIMIT 1
        ) AS n
    ), wanted AS (
        SELECT env, endpoint FROM head WHERE due_at <= clock_timestamp()
        UNION SELECT env, endpoint FROM tenantry.webhook_replay WHERE ended_at IS NULL
        UNION SELECT h.env, h.endpoint FROM head AS h JOIN tenantry.webhook_endpoint AS e
            ON e.env = h.env AND e.id = h.endpoint AND NOT e.is_listening
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
    LIMIT $3";

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

const SWEEP: &str = "DELETE FROM tenantry.webhook_queue WHERE env = $1 AND endpoint = $2";

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

    /// Lanes in which there is something to do now, apart from those that others hold. What is left of endpoints that are gone
    /// is removed on the way.
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
        let mut work = Vec::with_capacity(rows.len());
        for row in &rows {
            let lane = id(row)?;
            if get(row, "is_gone")? {
                self.queue_query(SWEEP, &[&lane.environment.as_str(), &lane.endpoint.uuid()]).await?;
                continue;
            }
            work.push(LaneWork { lane, is_mine: get(row, "is_mine")? });
        }
        Ok(work)
    }

    /// Takes those of the lanes that nobody holds.
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
        let rows = self.queue_query(CLAIM, &[&replica.uuid(), &patience.as_secs_f64(), &envs, &endpoints]).await?;
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
