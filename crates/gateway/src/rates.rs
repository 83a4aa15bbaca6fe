//! How often a tenant may begin a transaction.
//!
//! The generic cell rate algorithm (ITU-T I.371, virtual scheduling): each transaction has a moment at which it would come if
//! they came evenly, and may come at most a burst before that. Whoever comes too early waits for its moment, so that clients of
//! a tenant go one after the other in the order in which they came, and none is refused that can be served in time.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use tenantry_domain::id::TenantId;
use tenantry_domain::quantity::Rate;

/// What may come at once: what evenly comes in this time, and at least one.
const BURST: Duration = Duration::from_secs(1);

/// The most that is owed.
const DEBT: Duration = Duration::from_secs(60);

/// The rate is used up for longer than a client waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsedUp;

/// The rates of a worker's tenants.
#[derive(Debug, Default)]
pub struct Rates {
    /// When the next transaction would come, if they came evenly.
    next: RefCell<HashMap<TenantId, Instant>>,
}

impl Rates {
    /// Takes one transaction's place: how long it has to wait for its moment, which is not at all by far the most times.
    ///
    /// # Errors
    /// It would be longer than `most`; nothing is taken then.
    pub fn take(&self, tenant: TenantId, rate: Rate, now: Instant, most: Duration) -> Result<Duration, UsedUp> {
        let between = Duration::from_secs(u64::from(rate.seconds.get())) / rate.amount.get();
        let mut map = self.next.borrow_mut();
        let next = map.entry(tenant).or_insert(now);
        let due = (*next).max(now);
        let wait = due.duration_since(now).saturating_sub(BURST.saturating_sub(between));
        if wait > most {
            return Err(UsedUp);
        }
        *next = due + between;
        Ok(wait)
    }

    /// Takes places for transactions that have begun already: a client may send several without waiting. The next one waits
    /// for them, a minute at most.
    pub fn charge(&self, tenant: TenantId, rate: Rate, count: u32, now: Instant) {
        let between = Duration::from_secs(u64::from(rate.seconds.get())) / rate.amount.get();
        let mut map = self.next.borrow_mut();
        let next = map.entry(tenant).or_insert(now);
        *next = ((*next).max(now) + between.saturating_mul(count)).min(now + DEBT.max(between));
    }

    /// Forgets tenants for which it makes no difference any more.
    pub fn sweep(&self, now: Instant) {
        self.next.borrow_mut().retain(|_, next| *next > now);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use std::num::NonZeroU32;

    use super::*;

    fn rate(amount: u32, seconds: u32) -> Rate {
        Rate { amount: NonZeroU32::new(amount).unwrap(), seconds: NonZeroU32::new(seconds).unwrap() }
    }

    #[test]
    fn a_burst_goes_at_once_and_the_rest_evenly() {
        let (rates, tenant, now) = (Rates::default(), TenantId::from_uuid(uuid::Uuid::from_u128(1)), Instant::now());
        let waits: Vec<_> = (0..15).map(|_| rates.take(tenant, rate(10, 1), now, BURST).unwrap().as_millis()).collect();
        assert_eq!(waits[..10], [0; 10]);
        assert_eq!(waits[10..], [100, 200, 300, 400, 500]);
        assert_eq!(rates.take(tenant, rate(10, 1), now, Duration::from_millis(500)), Err(UsedUp));
        // The one that was turned away took nothing, and another tenant is another one.
        assert_eq!(rates.take(tenant, rate(10, 1), now, BURST), Ok(Duration::from_millis(600)));
        let other = TenantId::from_uuid(uuid::Uuid::from_u128(2));
        assert_eq!(rates.take(other, rate(10, 1), now, BURST), Ok(Duration::ZERO));
        // Over ten seconds no more than a burst and what comes evenly.
        let mut done = 0;
        for millis in 0..10_000 {
            let at = now + Duration::from_millis(millis);
            done += u32::from(rates.take(other, rate(10, 1), at, Duration::ZERO).is_ok());
        }
        assert!((108..=109).contains(&done), "{done}");
        rates.sweep(now + Duration::from_secs(60));
        assert!(rates.next.borrow().is_empty());
    }

    #[test]
    fn what_was_sent_without_waiting_is_waited_for_afterwards() {
        let (rates, tenant, now) = (Rates::default(), TenantId::from_uuid(uuid::Uuid::from_u128(1)), Instant::now());
        rates.take(tenant, rate(10, 1), now, BURST).unwrap();
        rates.charge(tenant, rate(10, 1), 19, now);
        assert_eq!(rates.take(tenant, rate(10, 1), now, BURST * 2), Ok(Duration::from_millis(1100)));
        rates.charge(tenant, rate(10, 1), u32::MAX, now);
        assert_eq!(rates.take(tenant, rate(10, 1), now, BURST), Err(UsedUp));
        assert_eq!(rates.take(tenant, rate(10, 1), now + DEBT, BURST), Ok(Duration::ZERO));
    }

    #[test]
    fn a_slow_rate_lets_the_first_go() {
        let (rates, tenant, now) = (Rates::default(), TenantId::from_uuid(uuid::Uuid::from_u128(1)), Instant::now());
        let hourly = rate(2, 3600);
        assert_eq!(rates.take(tenant, hourly, now, BURST), Ok(Duration::ZERO));
        assert_eq!(rates.take(tenant, hourly, now, BURST), Err(UsedUp));
        assert_eq!(rates.take(tenant, hourly, now + Duration::from_secs(1800), BURST), Ok(Duration::ZERO));
    }
}
