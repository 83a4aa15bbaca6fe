//! What a process counted while it published, for its metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Words that failures are counted by: those of the server's troubles, of events that this release cannot read, and the database's.
pub const WORDS: [&str; 10] =
    ["away", "denied", "credential", "tls", "unfit", "full", "refused", "overtaken", "unreadable", "database"];

/// Counters since the start of the process.
#[derive(Debug)]
pub struct Stats {
    published: AtomicU64,
    found: AtomicU64,
    missing: AtomicU64,
    errors: [AtomicU64; WORDS.len()],
    holds: AtomicBool,
    is_connected: AtomicBool,
}

/// The counters at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// Events that the server took.
    pub published: u64,
    /// Events that were in the stream already when it was their turn: their publisher died before it could write that down.
    pub found: u64,
    /// Events that the server had taken and that are not in the stream any more, as looks at it noticed.
    pub missing: u64,
    /// Failures, by [`WORDS`].
    pub errors: [u64; WORDS.len()],
    /// Whether it is this process that publishes.
    pub holds: bool,
    /// Whether it is connected, and the stream will do.
    pub is_connected: bool,
}

impl Stats {
    pub(crate) const fn new() -> Self {
        Self {
            published: AtomicU64::new(0),
            found: AtomicU64::new(0),
            missing: AtomicU64::new(0),
            errors: [const { AtomicU64::new(0) }; WORDS.len()],
            holds: AtomicBool::new(false),
            is_connected: AtomicBool::new(false),
        }
    }

    pub(super) fn published(&self) {
        self.published.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn found(&self, count: i64) {
        self.found.fetch_add(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
    }

    pub(super) fn missing(&self, count: i64) {
        self.missing.fetch_add(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
    }

    pub(super) fn failed(&self, word: &str) {
        if let Some(place) = WORDS.iter().position(|known| *known == word)
            && let Some(counter) = self.errors.get(place)
        {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn hold(&self, holds: bool) {
        self.holds.store(holds, Ordering::Relaxed);
    }

    pub(super) fn connect(&self, is_connected: bool) {
        self.is_connected.store(is_connected, Ordering::Relaxed);
    }

    /// The counters now.
    #[must_use]
    pub fn counted(&self) -> Counted {
        Counted {
            published: self.published.load(Ordering::Relaxed),
            found: self.found.load(Ordering::Relaxed),
            missing: self.missing.load(Ordering::Relaxed),
            errors: self.errors.each_ref().map(|counter| counter.load(Ordering::Relaxed)),
            holds: self.holds.load(Ordering::Relaxed),
            is_connected: self.is_connected.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::WORDS;

    #[test]
    fn every_trouble_has_its_counter() {
        for word in tenantry_streams::trouble::WORDS {
            assert!(WORDS.contains(&word), "{word}");
        }
    }
}
