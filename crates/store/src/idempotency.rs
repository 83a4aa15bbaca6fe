//! Answers kept for repeated requests, written by the transaction that had the effect.

use std::time::Duration;

use tenantry_domain::Timestamp;
use tenantry_domain::id::OperationId;
use tenantry_pg::{Json, Row};
use uuid::Uuid;

use crate::columns::{get, json};
use crate::line::Statement;
use crate::{Reader, StoreError, WriteTx};

/// Which request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Whose; the same key of another caller is another request.
    pub principal: String,
    /// Method and route template.
    pub route: String,
    /// The caller's key.
    pub key: String,
    /// SHA-256 of the canonical body.
    pub fingerprint: [u8; 32],
}

/// The answer of the first request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// HTTP status.
    pub status: u16,
    /// Headers worth repeating.
    pub headers: Vec<(String, String)>,
    /// The body, byte for byte.
    pub body: Vec<u8>,
    /// The operation that was begun, if one was.
    pub operation: Option<OperationId>,
}

/// What to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It is the first; finish it with [`Idempotency::finish`].
    Fresh,
    /// It has been answered.
    Replay(StoredAnswer),
}

/// A dropped transaction is rolled back behind its caller's back, within a few milliseconds.
const MOMENT: Duration = Duration::from_millis(15);

/// Others with the same key are told at once that it is taken; they need not wait for its end.
const OCCUPY: &str = "
    SELECT pg_try_advisory_xact_lock(hashtextextended(
        format('idempotency %s %L %L %L', $1::text, $2::text, $3::text, $4::text), 0)) AS is_ours";

/// A statement of its own behind the lock, so that it sees what the lock's last holder committed.
const FIND: &str = "
    SELECT fingerprint, status, headers, body, operation FROM tenantry.idempotency
    WHERE env = $1 AND principal = $2 AND route = $3 AND key = $4 AND expires_at > $5";

/// An expired answer is overwritten, a living one never.
const KEEP: &str = "
    WITH kept AS (
        INSERT INTO tenantry.idempotency AS i
            (env, principal, route, key, fingerprint, status, headers, body, operation, created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        ON CONFLICT ON CONSTRAINT idempotency_pkey DO UPDATE
        SET fingerprint = excluded.fingerprint, status = excluded.status, headers = excluded.headers,
            body = excluded.body, operation = excluded.operation, created_at = excluded.created_at,
            expires_at = excluded.expires_at
        WHERE i.expires_at <= excluded.created_at
        RETURNING 1
    )
    SELECT tenantry.require(EXISTS (SELECT FROM kept), 'TN110')";

fn answer(row: &Row, key: &IdempotencyKey) -> Result<StoredAnswer, StoreError> {
    if get::<&[u8]>(row, "fingerprint")? != key.fingerprint {
        return Err(StoreError::KeyReused);
    }
    let status: i32 = get(row, "status")?;
    let operation: Option<Uuid> = get(row, "operation")?;
    Ok(StoredAnswer {
        status: u16::try_from(status).map_err(|_| StoreError::Unreadable { what: "status" })?,
        headers: json(row, "headers")?,
        body: get(row, "body")?,
        operation: operation.map(OperationId::from_uuid),
    })
}

/// Kept answers inside a transaction.
pub struct Idempotency<'a> {
    pub(crate) tx: &'a mut WriteTx,
}

impl Idempotency<'_> {
    /// Looks for an earlier answer and keeps others with the same key out until the end of the transaction.
    ///
    /// # Errors
    /// [`StoreError::KeyReused`], [`StoreError::KeyInFlight`], or the database's.
    pub async fn begin(&mut self, key: &IdempotencyKey) -> Result<Begun, StoreError> {
        for is_last in [false, false, true] {
            let occupy = self.keyed(OCCUPY, key);
            let find = self.keyed(FIND, key).bind(self.tx.now);
            let answers = self.tx.run(vec![occupy, find]).await?;
            // An answer that is there is an answer, whoever is looking at it at the same time.
            if let Some(row) = answers[1].first() {
                return answer(row, key).map(Begun::Replay);
            }
            if answers[0].first().map(|row| get::<bool>(row, "is_ours")).transpose()?.unwrap_or(false) {
                return Ok(Begun::Fresh);
            }
            if !is_last {
                // A request that was refused a moment ago may still be rolling back.
                tokio::time::sleep(MOMENT).await;
            }
        }
        Err(StoreError::KeyInFlight)
    }

    /// Keeps the answer; it leaves with the commit.
    pub fn finish(&mut self, key: &IdempotencyKey, answer: &StoredAnswer, keep: Duration) {
        let now = self.tx.now;
        let statement = self
            .keyed(KEEP, key)
            .bind(key.fingerprint.to_vec())
            .bind(i32::from(answer.status))
            .bind(Json(answer.headers.clone()))
            .bind(answer.body.clone())
            .bind(answer.operation.map(OperationId::uuid))
            .bind(now)
            .bind(now.saturating_add(keep).unwrap_or(Timestamp::MAX));
        self.tx.queue(statement);
    }

    fn keyed(&self, sql: &'static str, key: &IdempotencyKey) -> Statement {
        let statement = Statement::new(sql).bind(self.tx.env());
        statement.bind(key.principal.clone()).bind(key.route.clone()).bind(key.key.clone())
    }
}

impl Reader {
    /// The kept answer, without waiting for a running request: resolves a commit whose answer was lost.
    ///
    /// # Errors
    /// [`StoreError::KeyReused`], or the database's.
    pub async fn kept_answer(&self, key: &IdempotencyKey, now: Timestamp) -> Result<Option<StoredAnswer>, StoreError> {
        let params: [&(dyn tenantry_pg::ToSql + Sync); 5] =
            [&self.environment.as_str(), &key.principal, &key.route, &key.key, &now];
        self.store.query_opt(FIND, &params).await?.as_ref().map(|row| answer(row, key)).transpose()
    }
}
