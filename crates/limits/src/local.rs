//! Rates in memory: a map in parts, so that who asks for one tenant seldom waits for who asks for another.
//!
//! INVARIANT: at most so many rates are remembered. Those that are as good as new go first, which changes nothing; when
//! all are in use, the one that will be as good as new soonest is forgotten, which lets through the least.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tenantry_domain::limit::{Limit, Verdict};

/// Parts of the map: more than there are processors, so that two seldom meet.
const PARTS: usize = 64;

/// How many are looked at for one to forget.
const SAMPLE: usize = 16;

type Part = HashMap<Box<str>, u64>;

/// The rates of one process.
#[derive(Debug)]
pub struct Local {
    parts: Vec<Mutex<Part>>,
    hasher: RandomState,
    began: Instant,
    /// The most rates of one part.
    most: usize,
    forgotten: AtomicU64,
}

impl Local {
    /// Remembers at most about `most` rates, each about a hundred bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            began: Instant::now(),
            most: most.div_ceil(PARTS).max(SAMPLE),
            forgotten: AtomicU64::new(0),
        }
    }

    /// Nanoseconds since this map was made; enough for five hundred years.
    #[must_use]
    pub fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Asks for `count` of one rate at a moment of [`Self::now`]. Nothing is charged when it is refused.
    pub fn take(&self, key: &str, limit: &Limit, count: u32, now: u64) -> Verdict {
        let mut part = self.part(key);
        let (next, verdict) = limit.take(part.get(key).copied(), now, count);
        match (next, count) {
            // A look changes nothing, and what changes nothing needs no place.
            (None, _) | (_, 0) => {}
            (Some(next), _) => match part.get_mut(key) {
                Some(kept) => *kept = next,
                None => {
                    self.make_room(&mut part, now);
                    part.insert(key.into(), next);
                }
            },
        }
        verdict
    }

    /// Gives back what another rate of the same request did not allow.
    pub fn give_back(&self, key: &str, limit: &Limit, count: u32) {
        if let Some(next) = self.part(key).get_mut(key) {
            *next = limit.give_back(*next, count);
        }
    }

    /// How many rates are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many were forgotten while they were in use.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    fn part(&self, key: &str) -> MutexGuard<'_, Part> {
        let index = usize::try_from(self.hasher.hash_one(key) % (PARTS as u64)).unwrap_or(0);
        self.parts[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make_room(&self, part: &mut Part, now: u64) {
        if part.len() < self.most {
            return;
        }
        // The whole part is swept, though only when it is full, and then most of it goes as a rule. Where all are in
        // use, sweeping each time would cost more than it brings, so a sample is looked at first.
        let soonest = part.iter().take(SAMPLE).min_by_key(|(_, next)| **next).map(|(key, next)| (key.clone(), *next));
        match soonest {
            Some((key, next)) if next > now => {
                part.remove(&key);
                self.forgotten.fetch_add(1, Ordering::Relaxed);
            }
            _ => part.retain(|_, next| *next > now),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use std::num::NonZeroU32;
    use std::sync::atomic::AtomicU32;

    use tenantry_domain::quantity::Rate;

    use super::*;

    fn limit(amount: u32, seconds: u32) -> Limit {
        Limit::of(Rate { amount: NonZeroU32::new(amount).unwrap(), seconds: NonZeroU32::new(seconds).unwrap() })
    }

    #[test]
    fn many_who_ask_at_once_get_no_more_than_the_burst() {
        let (local, allowed) = (Local::new(1_000), AtomicU32::new(0));
        let hourly = limit(500, 3_600);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        let got = local.take("t", &hourly, 1, 0).allowed;
                        allowed.fetch_add(u32::from(got), Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(allowed.into_inner(), 500);
        // A look neither takes nor is kept.
        assert!(!local.take("t", &hourly, 1, 0).allowed && local.take("u", &hourly, 0, 0).allowed);
        assert_eq!(local.len(), 1);
        local.give_back("t", &hourly, 2);
        assert!(local.take("t", &hourly, 2, 0).allowed);
    }

    #[test]
    fn memory_is_bounded_and_a_busy_rate_is_the_last_to_be_forgotten() {
        let local = Local::new(4_096);
        let (hourly, quick) = (limit(10, 3_600), limit(100, 1));
        for _ in 0..10 {
            assert!(local.take("busy", &hourly, 1, 0).allowed);
        }
        // A flood of others, each used a little.
        for index in 0..200_000_u64 {
            local.take(&format!("other-{index}"), &quick, 1, 0);
        }
        assert!(local.len() <= 4_096 + PARTS, "{}", local.len());
        assert!(local.forgotten() > 100_000);
        assert!(!local.take("busy", &hourly, 1, 0).allowed, "a used-up rate was forgotten");
        // Later all of those are as good as new and go at once, uncounted.
        let (before, later) = (local.forgotten(), 60 * 1_000_000_000);
        for index in 0..64_000 {
            local.take(&format!("late-{index}"), &quick, 1, later + index * 1_000_000_000);
        }
        assert!(local.forgotten() - before < 4_096, "{}", local.forgotten() - before);
    }
}
