//! What a process counted while it sent, for its metrics.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// Upper ends of the buckets of the delay, in milliseconds.
pub const BUCKETS: [u64; 10] = [10, 25, 50, 100, 250, 500, 1_000, 5_000, 60_000, 3_600_000];

/// Words that attempts are counted by.
pub const WORDS: [&str; 5] = ["delivered", "failed", "throttled", "gone", "refused"];

/// Counters since the start of the process.
#[derive(Debug)]
pub struct Stats {
    attempts: [AtomicU64; WORDS.len()],
    dead: AtomicU64,
    disabled: AtomicU64,
    delays: [AtomicU64; BUCKETS.len()],
    delayed: AtomicU64,
    delay_micros: AtomicU64,
    lanes: AtomicI64,
    in_hand: AtomicI64,
}

/// The counters at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// Attempts, by [`WORDS`].
    pub attempts: [u64; WORDS.len()],
    /// Deliveries that were given up.
    pub dead: u64,
    /// Endpoints that were disabled because they failed or are gone.
    pub disabled: u64,
    /// First attempts that began within [`BUCKETS`] of their event.
    pub delays: [u64; BUCKETS.len()],
    /// First attempts.
    pub delayed: u64,
    /// The sum of their delays.
    pub delay: Duration,
    /// Lanes that the process holds.
    pub lanes: i64,
    /// Requests in hand.
    pub in_hand: i64,
}

impl Stats {
    pub(crate) const fn new() -> Self {
        Self {
            attempts: [const { AtomicU64::new(0) }; WORDS.len()],
            dead: AtomicU64::new(0),
            disabled: AtomicU64::new(0),
            delays: [const { AtomicU64::new(0) }; BUCKETS.len()],
            delayed: AtomicU64::new(0),
            delay_micros: AtomicU64::new(0),
            lanes: AtomicI64::new(0),
            in_hand: AtomicI64::new(0),
        }
    }

    pub(super) fn attempted(&self, word: &str) {
        if let Some(place) = WORDS.iter().position(|known| *known == word)
            && let Some(counter) = self.attempts.get(place)
        {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn began(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        for (counter, end) in self.delays.iter().zip(BUCKETS) {
            if millis < end {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.delayed.fetch_add(1, Ordering::Relaxed);
        self.delay_micros.fetch_add(u64::try_from(delay.as_micros()).unwrap_or(0), Ordering::Relaxed);
    }

    pub(super) fn died(&self) {
        self.dead.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn gave_up(&self) {
        self.disabled.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn hold(&self, by: i64) {
        self.lanes.fetch_add(by, Ordering::Relaxed);
    }

    pub(super) fn hand(&self, by: i64) {
        self.in_hand.fetch_add(by, Ordering::Relaxed);
    }

    /// The counters now.
    #[must_use]
    pub fn counted(&self) -> Counted {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counted {
            attempts: self.attempts.each_ref().map(read),
            dead: read(&self.dead),
            disabled: read(&self.disabled),
            delays: self.delays.each_ref().map(read),
            delayed: read(&self.delayed),
            delay: Duration::from_micros(read(&self.delay_micros)),
            lanes: self.lanes.load(Ordering::Relaxed),
            in_hand: self.in_hand.load(Ordering::Relaxed),
        }
    }
}
