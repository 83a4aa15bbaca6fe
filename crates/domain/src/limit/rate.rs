//! The generic cell rate algorithm (ITU-T I.371, virtual scheduling), which refuses what comes too early.
//!
//! All that is kept of a rate is one moment: when the next one would come if they came evenly. A rate whose moment has
//! passed is as good as new, so it may be forgotten. Moments are nanoseconds since any fixed epoch.
//! INVARIANT: in any stretch of time no more is allowed than the burst and what comes evenly in that time.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::quantity::{Quantity, Rate};

/// How often, and how many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limit {
    rate: Rate,
    burst: NonZeroU32,
}

/// What becomes of one who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it may go on.
    pub allowed: bool,
    /// How many more may come at once now.
    pub remaining: u32,
    /// How long until the whole burst may come again.
    pub reset: Duration,
    /// How long to wait; zero for who is allowed, absent when it asks for more than ever comes at once.
    pub retry: Option<Duration>,
}

impl Limit {
    /// A rate with a burst of its own.
    #[must_use]
    pub const fn new(rate: Rate, burst: NonZeroU32) -> Self {
        Self { rate, burst }
    }

    /// A rate whose whole amount may come at once, which is how plans mean theirs.
    #[must_use]
    pub const fn of(rate: Rate) -> Self {
        Self { rate, burst: rate.amount }
    }

    /// A plan's rate; absent for one without bound.
    #[must_use]
    pub fn of_quantity(quantity: Quantity) -> Option<Self> {
        quantity.rate().map(Self::of)
    }

    /// What comes evenly.
    #[must_use]
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// What comes at once.
    #[must_use]
    pub const fn burst(&self) -> u32 {
        self.burst.get()
    }

    /// The same for one of several that share it evenly. At least one at a time; seldom ones come more seldom still.
    #[must_use]
    pub fn share(&self, of: NonZeroU32) -> Self {
        let seconds = self.rate.seconds.saturating_mul(of);
        let burst = NonZeroU32::new(self.burst.get() / of.get()).unwrap_or(NonZeroU32::MIN);
        Self { rate: Rate { amount: self.rate.amount, seconds }, burst }
    }

    /// Between two that come evenly, in nanoseconds. Faster than one in a nanosecond is not told apart.
    #[must_use]
    pub fn interval(&self) -> u64 {
        (u64::from(self.rate.seconds.get()) * 1_000_000_000 / u64::from(self.rate.amount.get())).max(1)
    }

    /// The stretch in which the burst comes evenly, in whole seconds, at least one.
    #[must_use]
    pub fn window(&self) -> u64 {
        self.interval().saturating_mul(u64::from(self.burst())).div_ceil(1_000_000_000).max(1)
    }

    /// Asks for `count` at `now`. Gives the moment to keep, when it is allowed, and the verdict. `next` is the moment
    /// that was kept; absent for one that was not heard of before. A clock that went back does no harm.
    ///
    /// A moment further ahead than two bursts is of another limit that had this name before, or of another clock, and counts for
    /// nothing: nobody waits for much longer than this limit makes anybody wait.
    #[must_use]
    pub fn take(&self, next: Option<u64>, now: u64, count: u32) -> (Option<u64>, Verdict) {
        let interval = self.interval();
        let most = interval.saturating_mul(u64::from(self.burst()));
        let far = now.saturating_add(most.saturating_mul(2));
        let next = next.filter(|next| *next <= far).unwrap_or(now).max(now);
        let then = next.saturating_add(interval.saturating_mul(u64::from(count)));
        let allowed = then - now <= most;
        let kept = if allowed { then } else { next };
        let ahead = kept - now;
        let remaining = u32::try_from(most.saturating_sub(ahead) / interval).unwrap_or(u32::MAX);
        let retry = match (allowed, count <= self.burst()) {
            (true, _) => Some(Duration::ZERO),
            (false, true) => Some(Duration::from_nanos(then - now - most)),
            (false, false) => None,
        };
        let verdict = Verdict { allowed, remaining, reset: Duration::from_nanos(ahead), retry };
        (allowed.then_some(kept), verdict)
    }

    /// Gives back what was taken and not used: somebody else refused it.
    #[must_use]
    pub fn give_back(&self, next: u64, count: u32) -> u64 {
        next.saturating_sub(self.interval().saturating_mul(u64::from(count)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limit(amount: u32, seconds: u32, burst: u32) -> Limit {
        let rate = Rate { amount: NonZeroU32::new(amount).unwrap(), seconds: NonZeroU32::new(seconds).unwrap() };
        Limit::new(rate, NonZeroU32::new(burst).unwrap())
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn nobody_waits_for_the_limit_before_this_one() {
        let (slow, quick, now) = (limit(6, 3_600, 6), limit(1_000, 60, 1_000), 7 * SECOND);
        let mut next = None;
        for _ in 0..6 {
            next = slow.take(next, now, 1).0;
        }
        assert!(!slow.take(next, now, 1).1.allowed);
        assert_eq!(quick.take(next, now, 1), quick.take(None, now, 1));
        // A clock that goes back by a day is the same thing; one that goes back a little gives nothing away.
        assert!(quick.take(Some(86_400 * SECOND), now, 1).1.allowed);
        let (_, verdict) = quick.take(Some(now + 61 * SECOND), now, 1);
        assert_eq!((verdict.allowed, verdict.retry), (false, Some(Duration::from_millis(1_060))));
    }

    #[test]
    fn a_burst_then_evenly() {
        let (limit, now) = (limit(10, 1, 20), 7 * SECOND);
        let mut next = None;
        for left in (0..20).rev() {
            let (kept, verdict) = limit.take(next, now, 1);
            assert_eq!((verdict.allowed, verdict.remaining), (true, left));
            next = kept;
        }
        let (kept, refused) = limit.take(next, now, 1);
        assert_eq!((kept, refused.allowed, refused.remaining), (None, false, 0));
        assert_eq!((refused.retry, refused.reset), (Some(Duration::from_millis(100)), Duration::from_secs(2)));
        // One who waits for as long as it was told is let in, and a nanosecond before it is not.
        assert!(limit.take(next, now + SECOND / 10, 1).1.allowed);
        assert!(!limit.take(next, now + SECOND / 10 - 1, 1).1.allowed);
        // More than ever comes at once is not told to wait.
        assert_eq!(limit.take(None, now, 21).1.retry, None);
        // What is given back can be taken again.
        let back = limit.give_back(next.unwrap(), 3);
        assert_eq!(limit.take(Some(back), now, 3).1.remaining, 0);
        // A moment that has passed is as good as none.
        assert_eq!(limit.take(Some(5), now, 1), limit.take(None, now, 1));
    }

    #[test]
    fn windows_and_shares() {
        assert_eq!(limit(100, 60, 100).window(), 60);
        assert_eq!(limit(100, 1, 200).window(), 2);
        assert_eq!(limit(1_000_000, 1, 1).window(), 1);
        let third = limit(100, 1, 200).share(NonZeroU32::new(3).unwrap());
        assert_eq!((third.burst(), third.interval()), (66, 30_000_000));
        assert_eq!(limit(1, 3600, 1).share(NonZeroU32::new(4).unwrap()).interval(), 4 * 3600 * SECOND);
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_what_comes_evenly(
            amount in 1_u32..10_000, seconds in 1_u32..100, burst in 1_u32..1_000,
            steps in prop::collection::vec((0_u64..200_000_000, 1_u32..5), 1..300)
        ) {
            let limit = limit(amount, seconds, burst);
            let (mut now, mut next, mut allowed) = (SECOND, None, 0_u64);
            for (pause, count) in steps {
                now += pause;
                let (kept, verdict) = limit.take(next, now, count);
                prop_assert!(verdict.remaining <= burst);
                if verdict.allowed {
                    allowed += u64::from(count);
                    next = kept;
                } else if let Some(wait) = verdict.retry {
                    let then = now + u64::try_from(wait.as_nanos()).unwrap();
                    prop_assert!(limit.take(next, then, count).1.allowed);
                }
            }
            let evenly = (now - SECOND) / limit.interval();
            prop_assert!(allowed <= u64::from(burst) + evenly + 1);
        }
    }
}
