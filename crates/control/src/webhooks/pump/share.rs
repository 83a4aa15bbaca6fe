//! How many places one tenant's endpoints may have, of those that a process has.
//!
//! INVARIANT: whoever waits for a place of the process has one of its own share already, never the other way round. So what a
//! tenant has waiting in front of others is never more than its share, and nobody waits for somebody who waits for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tenantry_domain::name::EnvironmentName;
use tenantry_store::Subject;
use tokio::sync::Semaphore;

/// The part of all places that one tenant may have, and that an environment's own endpoints may, which hear of all its tenants.
const TENANT: usize = 8;
const ENVIRONMENT: usize = 2;

/// Shares that are known before those without an endpoint at work are looked for.
const FEW: usize = 64;

/// Whose endpoints.
type Whose = (EnvironmentName, Subject);

/// The places of one subject's endpoints.
#[derive(Debug)]
pub(super) struct Share {
    working: Semaphore,
    failing: Semaphore,
}

impl Share {
    /// The places for endpoints that fail, or for the others.
    pub(super) const fn places(&self, is_failing: bool) -> &Semaphore {
        if is_failing { &self.failing } else { &self.working }
    }
}

#[derive(Debug, Default)]
struct Known {
    shares: HashMap<Whose, Weak<Share>>,
    /// From how many on those that nobody has any more are forgotten.
    many: usize,
}

/// The shares of all whose endpoints are at work.
#[derive(Debug)]
pub(super) struct Shares {
    in_hand: (usize, usize),
    known: Mutex<Known>,
}

impl Shares {
    /// Of so many places for endpoints that work, and for those that do not.
    pub(super) fn new(in_hand: (usize, usize)) -> Self {
        Self { in_hand, known: Mutex::new(Known { shares: HashMap::new(), many: FEW }) }
    }

    /// The share of a subject: the same one for all who ask while somebody has it.
    pub(super) fn of(&self, environment: &EnvironmentName, subject: Subject) -> Arc<Share> {
        let whose = (environment.clone(), subject);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = known.shares.get(&whose).and_then(Weak::upgrade) {
            return share;
        }
        if known.shares.len() >= known.many {
            known.shares.retain(|_, share| share.strong_count() > 0);
            known.many = (known.shares.len() * 2).max(FEW);
        }
        let part = if subject == Subject::Environment { ENVIRONMENT } else { TENANT };
        let places = |all: usize| Semaphore::new((all / part).max(1));
        let share = Arc::new(Share { working: places(self.in_hand.0), failing: places(self.in_hand.1) });
        known.shares.insert(whose, Arc::downgrade(&share));
        share
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use tenantry_domain::id::TenantId;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_share_is_one_for_all_who_ask_and_is_forgotten_with_the_last_of_them() {
        let shares = Shares::new((512, 4));
        let environment = EnvironmentName::parse("prod").unwrap();
        let tenant = || Subject::Tenant(TenantId::from_uuid(Uuid::now_v7()));
        let acme = tenant();
        let first = shares.of(&environment, acme);
        assert!(Arc::ptr_eq(&first, &shares.of(&environment, acme)));
        assert!(!Arc::ptr_eq(&first, &shares.of(&environment, tenant())));
        assert_eq!((first.places(false).available_permits(), first.places(true).available_permits()), (64, 1));
        let own = shares.of(&environment, Subject::Environment);
        assert_eq!((own.places(false).available_permits(), own.places(true).available_permits()), (256, 2));
        for _ in 0..10_000 {
            shares.of(&environment, tenant());
        }
        assert!(shares.known.lock().unwrap().shares.len() <= FEW);
        assert!(Arc::ptr_eq(&first, &shares.of(&environment, acme)));
    }
}
