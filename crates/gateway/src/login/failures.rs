//! Failed logins per address, and when an address has had enough of them.
//!
//! INVARIANT: at most twice as many addresses are remembered as was asked for, however many there are.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A bucket per address that every failure fills a little and time empties.
///
/// Kept is the moment at which the bucket is empty again, one number for both level and time.
#[derive(Debug)]
pub(super) struct Failures {
    per: Duration,
    most: usize,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// What one failure takes to be forgotten.
    step: Duration,
    /// How far ahead the moment may be.
    bound: Duration,
    young: HashMap<IpAddr, Instant>,
    old: HashMap<IpAddr, Instant>,
}

impl Failures {
    /// `count` failures are forgotten in `per`; at least one.
    pub(super) fn new(count: u32, per: Duration, most: usize) -> Self {
        let failures = Self { per, most: most.max(1), seen: Mutex::default() };
        failures.bound(count);
        failures
    }

    /// From now on `count` failures are forgotten in the same time. How full an address's bucket is stays.
    pub(super) fn bound(&self, count: u32) {
        let count = count.max(1);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.step = self.per / count;
        seen.bound = seen.step * (count - 1);
    }

    /// How long an address has to wait until it is heard again, if it has to.
    pub(super) fn wait(&self, peer: IpAddr, now: Instant) -> Option<Duration> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead = seen.until(key(peer))?.saturating_duration_since(now);
        ahead.checked_sub(seen.bound).filter(|wait| !wait.is_zero())
    }

    /// One more failure.
    pub(super) fn count(&self, peer: IpAddr, now: Instant) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let peer = key(peer);
        let empty = seen.until(peer).map_or(now, |until| until.max(now));
        if seen.young.len() >= self.most && !seen.young.contains_key(&peer) {
            seen.old = std::mem::take(&mut seen.young);
        }
        // Those who are turned away add nothing, so this is bounded by what is under way at one time.
        let until = empty + seen.step;
        seen.young.insert(peer, until);
    }
}

impl Seen {
    fn until(&self, peer: IpAddr) -> Option<Instant> {
        self.young.get(&peer).or_else(|| self.old.get(&peer)).copied()
    }
}

/// Who has one address of version 6 has the 64 bits behind the network's as well.
pub(super) fn key(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_heard_again_after_a_while() {
        let (failures, begin, peer) = (Failures::new(3, Duration::from_secs(60), 10), Instant::now(), at("192.0.2.1"));
        let later = |secs| begin + Duration::from_secs(secs);
        for _ in 0..3 {
            assert_eq!(failures.wait(peer, begin), None);
            failures.count(peer, begin);
        }
        assert_eq!(failures.wait(peer, begin), Some(Duration::from_secs(20)));
        assert_eq!(failures.wait(peer, later(19)), Some(Duration::from_secs(1)));
        assert_eq!(failures.wait(peer, later(20)), None);
        failures.count(peer, later(20));
        assert_eq!(failures.wait(peer, later(20)), Some(Duration::from_secs(20)));
        // Nobody else is concerned, and in the end everything is forgotten.
        assert_eq!(failures.wait(at("192.0.2.2"), begin), None);
        for _ in 0..3 {
            assert_eq!(failures.wait(peer, later(200)), None);
            failures.count(peer, later(200));
        }
        assert!(failures.wait(peer, later(200)).is_some());
    }

    #[test]
    fn another_bound_holds_for_those_who_have_failed_already() {
        let (failures, now, peer) = (Failures::new(10, Duration::from_secs(60), 10), Instant::now(), at("192.0.2.1"));
        for _ in 0..6 {
            failures.count(peer, now);
        }
        assert_eq!(failures.wait(peer, now), None);
        failures.bound(2);
        assert!(failures.wait(peer, now).is_some(), "more than half of what it may have");
        assert_eq!(failures.wait(at("192.0.2.2"), now), None);
        failures.bound(10);
        assert_eq!(failures.wait(peer, now), None);
    }

    #[test]
    fn a_network_of_version_6_is_one_address() {
        let (failures, now) = (Failures::new(1, Duration::from_secs(60), 10), Instant::now());
        failures.count(at("2001:db8:1:2::1"), now);
        assert!(failures.wait(at("2001:db8:1:2:ffff::9"), now).is_some());
        assert_eq!(failures.wait(at("2001:db8:1:3::1"), now), None);
        failures.count(at("::ffff:192.0.2.1"), now);
        assert!(failures.wait(at("192.0.2.1"), now).is_some());
        assert_eq!(failures.wait(at("192.0.2.2"), now), None);
    }

    #[test]
    fn memory_is_bounded() {
        let (failures, now) = (Failures::new(1, Duration::from_secs(60), 100), Instant::now());
        for number in 0..10_000_u32 {
            failures.count(IpAddr::V4(number.into()), now);
        }
        let seen = failures.seen.lock().unwrap();
        assert!(seen.young.len() <= 100 && seen.old.len() <= 100);
        drop(seen);
        // The newest are still known.
        assert!(failures.wait(IpAddr::V4(9_999.into()), now).is_some());
        assert!(failures.wait(IpAddr::V4(9_900.into()), now).is_some());
    }
}
