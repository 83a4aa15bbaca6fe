//! Pools of users.

use tenantry_api::v1::pool::IdentityPool;
use tenantry_control::pools::PoolView;

/// A tenant's pool.
#[must_use]
pub fn pool(view: PoolView) -> IdentityPool {
    IdentityPool {
        issuer: view.issuer,
        pool: view.pool,
        status: view.standing.as_str().to_owned(),
        since: view.since,
        settled: view.is_settled,
        problem: view.problem,
        failures: view.failures,
        looked_at: view.looked_at,
        next_look_at: view.next_look_at,
    }
}
