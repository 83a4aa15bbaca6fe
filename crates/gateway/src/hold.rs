//! Tenants whose next transaction has to wait: for the moment of a move, or because an administrator says so.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tenantry_domain::id::TenantId;
use tokio::sync::Notify;

#[derive(Debug, Clone)]
struct Hold {
    until: Instant,
    released: Rc<Notify>,
}

/// The holds of one worker.
#[derive(Debug, Default)]
pub struct Holds {
    map: RefCell<HashMap<TenantId, Hold>>,
}

impl Holds {
    /// Holds a tenant for at most so long; again: for so long from now.
    pub fn hold(&self, tenant: TenantId, limit: Duration) {
        let mut map = self.map.borrow_mut();
        let hold = map.entry(tenant).or_insert_with(|| Hold { until: Instant::now(), released: Rc::default() });
        hold.until = Instant::now() + limit;
    }

    /// Lets a tenant go on.
    pub fn release(&self, tenant: TenantId) {
        if let Some(hold) = self.map.borrow_mut().remove(&tenant) {
            hold.released.notify_waiters();
        }
    }

    /// Whether a tenant has to wait.
    #[must_use]
    pub fn is_held(&self, tenant: TenantId) -> bool {
        let map = self.map.borrow();
        !map.is_empty() && map.get(&tenant).is_some_and(|hold| hold.until > Instant::now())
    }

    /// The tenants that have to wait.
    #[must_use]
    pub fn held(&self) -> Vec<TenantId> {
        let now = Instant::now();
        self.map.borrow().iter().filter(|(_, hold)| hold.until > now).map(|(tenant, _)| *tenant).collect()
    }

    /// Waits until the tenant is not held.
    ///
    /// # Errors
    /// The hold's time is over; the hold is, too.
    pub async fn pass(&self, tenant: TenantId) -> Result<(), ()> {
        loop {
            let hold = self.map.borrow().get(&tenant).cloned();
            let Some(hold) = hold else { return Ok(()) };
            let released = hold.released.notified();
            let Some(left) = hold.until.checked_duration_since(Instant::now()) else {
                // Whoever held it is gone. The tenant goes on; the one that waited longest is told.
                self.release(tenant);
                return Err(());
            };
            let _ = tokio::time::timeout(left, released).await;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_hold_ends_by_release_or_by_its_time() {
        let holds = Rc::new(Holds::default());
        let tenant = TenantId::from_uuid(uuid::Uuid::from_u128(1));
        assert_eq!(holds.pass(tenant).await, Ok(()));
        holds.hold(tenant, Duration::from_secs(60));
        assert!(holds.is_held(tenant));
        let mut waiting = Box::pin(holds.pass(tenant));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        holds.release(tenant);
        assert_eq!(waiting.await, Ok(()));
        assert!(!holds.is_held(tenant));
    }
}
