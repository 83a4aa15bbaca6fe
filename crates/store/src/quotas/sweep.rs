//! Freeing what expired reservations hold, for quotas that nobody takes from.

use tenantry_domain::Timestamp;

use crate::columns::count;
use crate::{Store, StoreError};

/// Rows are locked in the order in which whoever takes does: reservations, then the quota. Those that somebody works on
/// are left to the next sweep.
const SWEEP: &str = "
    WITH due AS (
        SELECT env, id FROM tenantry.quota_reservation WHERE expires_at <= $1
        ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
    ),
    gone AS (
        DELETE FROM tenantry.quota_reservation AS r USING due WHERE r.env = due.env AND r.id = due.id
        RETURNING r.env, r.tenant, r.name, r.amount
    ),
    freed AS (SELECT env, tenant, name, sum(amount) AS amount, count(*) AS count FROM gone GROUP BY env, tenant, name),
    changed AS (
        UPDATE tenantry.quota AS q SET reserved = greatest(q.reserved - freed.amount, 0), updated_at = $1
        FROM freed WHERE q.env = freed.env AND q.tenant = freed.tenant AND q.name = freed.name
    )
    SELECT coalesce(sum(count), 0)::bigint AS count FROM freed";

/// The most reservations of one sweep: their quotas are locked together, for a moment.
const MOST: i64 = 100;

impl Store {
    /// Forgets reservations that have expired at `now`, a hundred at most; gives how many.
    ///
    /// # Errors
    /// The database's.
    pub async fn sweep_reservations(&self, now: Timestamp) -> Result<u64, StoreError> {
        let row = self.query_opt(SWEEP, &[&now, &MOST]).await?.ok_or(StoreError::NotFound)?;
        count(&row, "count")
    }
}
