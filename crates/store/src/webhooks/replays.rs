//! Replays: events of the past, put into an endpoint's queue again, little by little, so that what is new is not held up.

use tenantry_domain::Timestamp;
use tenantry_domain::id::WebhookId;
use tenantry_domain::webhook::Pattern;
use tenantry_pg::ToSql;
use uuid::Uuid;

use super::endpoints::Webhooks;
use super::lanes::LaneId;
use crate::columns::get;
use crate::scope::Subject;
use crate::{Reader, Store, StoreError};

/// A replay that is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReplay {
    /// Its id.
    pub id: Uuid,
    /// Of these types; empty for all that the endpoint wants.
    pub types: Vec<Pattern>,
    /// Of this subject; absent for all that the endpoint hears.
    pub subject: Option<Subject>,
    /// Behind this number; 0 for all.
    pub after: i64,
    /// From this moment on.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Timestamp,
}

/// A replay as far as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayRow {
    /// Its id.
    pub id: Uuid,
    /// Events that were put into the queue.
    pub queued: i64,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its last event was put into the queue, or the endpoint was disabled; absent while there are more.
    pub ended_at: Option<Timestamp>,
}

const CREATE: &str = "
    INSERT INTO tenantry.webhook_replay (env, endpoint, id, types, only_subject, since, until, at_subject, at_sequence, created_at)
    VALUES ($1, $2, $3, $4, $5::uuid, $6, $7, COALESCE($5::uuid, '00000000-0000-0000-0000-000000000000'), $8, $9)";

const OPEN: &str =
    "SELECT count(*) AS count FROM tenantry.webhook_replay WHERE env = $1 AND endpoint = $2 AND ended_at IS NULL";

const LIST: &str = "
    SELECT id, queued, created_at, ended_at FROM tenantry.webhook_replay WHERE env = $1 AND endpoint = $2
    ORDER BY id DESC LIMIT 100";

/// One page of the outbox. What waits already, and what the endpoint does not want, is passed over.
const REFILL: &str = "
    WITH r AS (
        SELECT r.*, e.types AS wanted, e.only_tenants, e.subject FROM tenantry.webhook_replay AS r
        JOIN tenantry.webhook_endpoint AS e ON e.env = r.env AND e.id = r.endpoint
        WHERE r.env = $1 AND r.endpoint = $2 AND r.ended_at IS NULL AND ($4 OR r.id = $5) ORDER BY r.id LIMIT 1 FOR NO KEY UPDATE OF r
    ), page AS (
        SELECT o.subject, o.sequence, o.type, o.at FROM r, LATERAL (
            SELECT subject, sequence, type, at FROM tenantry.outbox
            WHERE env = $1 AND (subject, sequence) > (r.at_subject, r.at_sequence)
                AND (r.only_subject IS NULL OR subject = r.only_subject)
            ORDER BY subject, sequence LIMIT $3
        ) AS o
    ), put AS (
        INSERT INTO tenantry.webhook_queue (env, endpoint, subject, sequence, due_at, queued_at, is_replay)
        SELECT $1, $2, p.subject, p.sequence, clock_timestamp(), clock_timestamp(), true FROM page AS p, r
        WHERE p.at < r.until AND (r.since IS NULL OR p.at >= r.since)
            AND r.subject IN (p.subject, '00000000-0000-0000-0000-000000000000'::uuid)
            AND (r.only_tenants IS NULL OR p.subject = ANY (r.only_tenants))
            AND (r.types = '{}' OR p.type = ANY (r.types) OR split_part(p.type, '.', 1) || '.*' = ANY (r.types))
            AND (r.wanted = '{}' OR p.type = ANY (r.wanted) OR split_part(p.type, '.', 1) || '.*' = ANY (r.wanted))
        ON CONFLICT ON CONSTRAINT webhook_queue_pkey DO NOTHING RETURNING subject, sequence
    ), alive AS (
        DELETE FROM tenantry.webhook_dead AS d USING put CROSS JOIN LATERAL (
            SELECT ctid AS place, subject, sequence FROM tenantry.webhook_dead
            WHERE env = $1 AND endpoint = $2 AND (subject, sequence) >= (put.subject, put.sequence)
            ORDER BY subject, sequence LIMIT 1
        ) AS w WHERE d.ctid = w.place AND w.subject = put.subject AND w.sequence = put.sequence
    ), last AS (SELECT subject, sequence FROM page ORDER BY subject DESC, sequence DESC LIMIT 1)
    UPDATE tenantry.webhook_replay AS w SET queued = w.queued + (SELECT count(*) FROM put),
        at_subject = COALESCE((SELECT subject FROM last), w.at_subject),
        at_sequence = COALESCE((SELECT sequence FROM last), w.at_sequence),
        ended_at = CASE WHEN (SELECT count(*) FROM page) < $3 THEN clock_timestamp() END
    FROM r WHERE w.env = r.env AND w.endpoint = r.endpoint AND w.id = r.id
    RETURNING w.id, (SELECT count(*) FROM put) AS count";

impl Webhooks<'_> {
    /// How many replays of an endpoint are not through.
    ///
    /// # Errors
    /// The database's.
    pub async fn open_replays(&mut self, id: WebhookId) -> Result<i64, StoreError> {
        let statement = self.of(OPEN, id);
        let rows = self.tx.rows(statement).await?;
        rows.first().map_or(Ok(0), |row| get(row, "count"))
    }

    /// Writes down a replay; it leaves with the commit.
    pub fn replay(&mut self, id: WebhookId, new: &NewReplay) {
        let types: Vec<String> = new.types.iter().map(|kind| kind.as_str().to_owned()).collect();
        let statement = self
            .of(CREATE, id)
            .bind(new.id)
            .bind(types)
            .bind(new.subject.map(Subject::uuid))
            .bind(new.since)
            .bind(new.until)
            .bind(new.after)
            .bind(self.tx.now);
        self.tx.queue(statement);
    }
}

impl Reader {
    /// Replays of an endpoint, the newest first; a hundred at most.
    ///
    /// # Errors
    /// The database's.
    pub async fn webhook_replays(&self, id: WebhookId) -> Result<Vec<ReplayRow>, StoreError> {
        let params: [&(dyn ToSql + Sync); 2] = [&self.environment.as_str(), &id.uuid()];
        let rows = self.store.query(LIST, &params).await?;
        rows.iter()
            .map(|row| {
                Ok(ReplayRow {
                    id: get(row, "id")?,
                    queued: get(row, "queued")?,
                    created_at: get(row, "created_at")?,
                    ended_at: get(row, "ended_at")?,
                })
            })
            .collect()
    }
}

impl Store {
    /// Puts one page of the oldest open replay into a lane's queue; of this one if no other one may begin. Gives which replay that
    /// was and how many events; nothing when there is none.
    ///
    /// # Errors
    /// The database's.
    pub async fn webhook_refill(
        &self,
        lane: &LaneId,
        page: u32,
        begins: bool,
        current: Option<Uuid>,
    ) -> Result<Option<(Uuid, i64)>, StoreError> {
        let params: [&(dyn ToSql + Sync); 5] =
            [&lane.environment.as_str(), &lane.endpoint.uuid(), &i64::from(page), &begins, &current];
        let row = self.queue_query_opt(REFILL, &params).await?;
        row.as_ref().map(|row| Ok((get(row, "id")?, get(row, "count")?))).transpose()
    }
}
