//! How fast an endpoint is sent to: its own bound on the rate, and as much at a time as it shows that it can take. Pure.

use std::time::{Duration, Instant};

use tenantry_webhooks::Schedule;

/// Failures in a row from which on an endpoint counts as failing.
pub(super) const FAILING: u32 = 3;

/// Failures in a row from which on an endpoint is left alone for a while.
const RESTING: u32 = 5;

/// Requests at a time that an endpoint begins with.
const FIRST: usize = 4;

/// How many requests at a time an endpoint gets. Halved by a failure, doubled by as many successes as it allows: one that hangs
/// soon occupies one place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    now: usize,
    most: usize,
    good: usize,
}

impl Window {
    pub(super) fn new(most: u16, failures: u32) -> Self {
        let most = usize::from(most).max(1);
        // A few answers show more.
        Self { now: if failures == 0 { most.min(FIRST) } else { 1 }, most, good: 0 }
    }

    /// Another bound.
    pub(super) fn bound(&mut self, most: u16) {
        self.most = usize::from(most).max(1);
        self.now = self.now.min(self.most);
    }

    pub(super) const fn size(&self) -> usize {
        self.now
    }

    pub(super) fn succeeded(&mut self) {
        self.good += 1;
        if self.good >= self.now {
            self.good = 0;
            self.now = (self.now * 2).min(self.most);
        }
    }

    pub(super) fn failed(&mut self) {
        self.good = 0;
        self.now = (self.now / 2).max(1);
    }
}

/// How long an endpoint is left alone after its failures in a row; nothing before the fifth.
pub(super) fn rest((first, longest): (Duration, Duration), failures: u32, luck: f64) -> Option<Duration> {
    let doublings = failures.checked_sub(RESTING)?.min(16);
    let rest = first.saturating_mul(2_u32.pow(doublings)).min(longest);
    // The same jitter as that of attempts.
    Schedule::new(vec![rest]).pause(1, luck, None)
}

/// What a silence leaves in reserve: a loop that is woken late catches up, and no second has more than a fiftieth too many.
const RESERVE: Duration = Duration::from_millis(20);

/// At most so many attempts a second, evenly, with a little in reserve after a silence.
#[derive(Debug)]
pub(super) struct Pace {
    between: Duration,
    next: Instant,
}

impl Pace {
    pub(super) fn new(rate: Option<u32>, now: Instant) -> Self {
        let between = rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate.max(1));
        Self { between, next: now }
    }

    /// Whether the next attempt may begin now; if so it is counted. Otherwise how long to wait.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        if self.between.is_zero() {
            return Ok(());
        }
        if let Some(early) = self.next.checked_duration_since(now).filter(|early| !early.is_zero()) {
            return Err(early);
        }
        let start = now.checked_sub(RESERVE).map_or(self.next, |earliest| self.next.max(earliest));
        self.next = start + self.between;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use super::*;

    #[test]
    fn one_that_hangs_soon_occupies_one_place_and_one_that_works_gets_all_back() {
        let mut window = Window::new(16, 0);
        assert_eq!(window.size(), 4);
        for expected in [2, 1, 1] {
            window.failed();
            assert_eq!(window.size(), expected);
        }
        let successes = (1..100).find(|_| {
            window.succeeded();
            window.size() == 16
        });
        assert_eq!(successes, Some(15));
        window.bound(4);
        assert_eq!((window.size(), Window::new(16, 1).size(), Window::new(0, 0).size()), (4, 1, 1));
    }

    #[test]
    fn rests_grow_to_a_bound() {
        let bounds = (Duration::from_secs(1), Duration::from_secs(60));
        let seconds: Vec<Option<u64>> = [0, 4, 5, 6, 7, 10, 11, 500]
            .map(|failures| rest(bounds, failures, 0.5).map(|rest| rest.as_secs()))
            .to_vec();
        assert_eq!(seconds, [None, None, Some(1), Some(2), Some(4), Some(32), Some(60), Some(60)]);
    }

    #[test]
    fn a_rate_is_kept_to_the_percent() {
        let start = Instant::now();
        for rate in [1_u32, 10, 333, 1000, 10_000] {
            let mut pace = Pace::new(Some(rate), start);
            let (mut now, mut taken) = (start, 0_u32);
            let end = start + Duration::from_secs(20);
            while now < end {
                match pace.take(now) {
                    Ok(()) => taken += 1,
                    // Woken a little late, as timers are.
                    Err(wait) => now += wait + Duration::from_micros(700),
                }
            }
            let most = f64::from(rate) * 20.0;
            assert!(f64::from(taken) <= most * 1.01 + 1.0, "{rate}: {taken}");
            assert!(f64::from(taken) >= most * 0.97 - 1.0, "{rate}: {taken}");
        }
        let mut unbound = Pace::new(None, start);
        assert!((0..1_000_000).all(|_| unbound.take(start).is_ok()));
    }
}
