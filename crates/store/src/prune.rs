//! Forgetting what has served its time. Nothing that is evidence is ever removed here.

use tenantry_domain::Timestamp;

use crate::columns::get;
use crate::{Store, StoreError};

/// How much was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Kept answers that had expired.
    pub answers: i64,
    /// Slugs whose quarantine is over.
    pub quarantines: i64,
    /// Operations that were asked for too long ago.
    pub operations: i64,
    /// Processes that have not reported for a day.
    pub replicas: i64,
}

/// Rows of a kind that one call removes at most: an installation that was never pruned has years of them.
pub const PRUNED_MAX: i64 = 10_000;

const PRUNE: &str = "
    WITH answers AS (
        DELETE FROM tenantry.idempotency
        WHERE ctid = ANY (ARRAY(SELECT ctid FROM tenantry.idempotency WHERE expires_at <= $1 LIMIT 10000)) RETURNING 1
    ),
    quarantines AS (
        DELETE FROM tenantry.slug_quarantine
        WHERE ctid = ANY (ARRAY(SELECT ctid FROM tenantry.slug_quarantine WHERE until <= $1 LIMIT 10000)) RETURNING 1
    ),
    operations AS (DELETE FROM tenantry.operation WHERE created_at < $2 RETURNING env, id),
    targets AS (
        DELETE FROM tenantry.operation_target AS t USING operations AS o WHERE t.env = o.env AND t.operation = o.id
    ),
    replicas AS (DELETE FROM tenantry.replica WHERE seen_at < clock_timestamp() - interval '1 day' RETURNING 1)
    SELECT (SELECT count(*) FROM answers) AS answers, (SELECT count(*) FROM quarantines) AS quarantines,
        (SELECT count(*) FROM operations) AS operations, (SELECT count(*) FROM replicas) AS replicas";

impl Store {
    /// Removes what has expired at `now`, [`PRUNED_MAX`] of each kind at most, and operations from before a moment.
    ///
    /// # Errors
    /// The database's.
    pub async fn prune(&self, now: Timestamp, operations_before: Timestamp) -> Result<Pruned, StoreError> {
        let row = self.query_opt(PRUNE, &[&now, &operations_before]).await?.ok_or(StoreError::NotFound)?;
        Ok(Pruned {
            answers: get(&row, "answers")?,
            quarantines: get(&row, "quarantines")?,
            operations: get(&row, "operations")?,
            replicas: get(&row, "replicas")?,
        })
    }
}
