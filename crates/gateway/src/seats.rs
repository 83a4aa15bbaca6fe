//! How many clients this gateway has, and each login on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tenantry_domain::gateway::LoginName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::table::Login;

/// The clients of this gateway. Their bound may change at any time: those who are there stay.
#[derive(Debug)]
pub struct Clients {
    all: Arc<Semaphore>,
    /// One at a time counts and takes, so that the last place is given to one of two.
    turn: Mutex<()>,
}

impl Default for Clients {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)), turn: Mutex::default() }
    }
}

impl Clients {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        Semaphore::MAX_PERMITS - self.all.available_permits()
    }

    /// One more of at most so many.
    #[must_use]
    pub fn take(&self, most: usize) -> Option<OwnedSemaphorePermit> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if self.count() >= most {
            return None;
        }
        Arc::clone(&self.all).try_acquire_owned().ok()
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_bound_takes_nobodys_place_and_gives_none() {
        let clients = Clients::default();
        let mut here: Vec<_> = (0..3).filter_map(|_| clients.take(3)).collect();
        assert!(here.len() == 3 && clients.take(3).is_none());
        here.extend(clients.take(4));
        assert_eq!((here.len(), clients.count()), (4, 4));
        for left in [3, 2] {
            assert!(clients.take(2).is_none());
            here.pop();
            assert_eq!(clients.count(), left);
        }
        assert!(clients.take(2).is_none());
        here.pop();
        assert!(clients.take(2).is_some());
    }
}
