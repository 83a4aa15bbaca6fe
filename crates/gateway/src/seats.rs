//! How many clients each login has on this gateway.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tenantry_domain::gateway::LoginName;

use crate::table::Login;

type Counts = Arc<Mutex<HashMap<LoginName, u32>>>;

/// The clients of all logins. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Seats {
    counts: Counts,
}

/// One client's right to be connected; free again when dropped.
#[derive(Debug)]
pub struct Seat {
    counts: Counts,
    login: LoginName,
}

impl Seats {
    /// One more client of a login, unless it has as many as it may.
    #[must_use]
    pub fn take(&self, login: &Login) -> Option<Seat> {
        let mut counts = lock(&self.counts);
        let count = counts.entry(login.name.clone()).or_insert(0);
        if login.connections.is_some_and(|most| *count >= most) {
            return None;
        }
        *count += 1;
        Some(Seat { counts: Arc::clone(&self.counts), login: login.name.clone() })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        if let Some(count) = counts.get_mut(&self.login) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.login);
            }
        }
    }
}

fn lock(counts: &Counts) -> MutexGuard<'_, HashMap<LoginName, u32>> {
    // Nothing in between panics.
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}
