//! What limiters have done since the start of the process, in the text form that Prometheus reads.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// Who made a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// This process, which limits alone.
    Memory,
    /// The shared server.
    Shared,
    /// This process, because the shared server is away.
    Share,
}

impl By {
    const ALL: [Self; 3] = [Self::Memory, Self::Shared, Self::Share];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Shared => "shared",
            Self::Share => "share",
        }
    }
}

/// Counters of a limiter.
#[derive(Debug, Default)]
pub struct Counts {
    allowed: [AtomicU64; 3],
    refused: [AtomicU64; 3],
    failures: AtomicU64,
}

impl Counts {
    pub(crate) fn decided(&self, by: By, allowed: bool) {
        let counters = if allowed { &self.allowed } else { &self.refused };
        counters[by as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Decisions that the shared server should have made and did not.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(crate) fn write(&self, out: &mut String) {
        let name = "tenantry_rate_decisions_total";
        // Writing to a text cannot fail.
        let _ = write!(out, "# HELP {name} Requests judged by their rates.\n# TYPE {name} counter\n");
        for by in By::ALL {
            for (word, counters) in [("allowed", &self.allowed), ("refused", &self.refused)] {
                let count = counters[by as usize].load(Ordering::Relaxed);
                let _ = writeln!(out, "{name}{{by=\"{}\",verdict=\"{word}\"}} {count}", by.as_str());
            }
        }
        let name = "tenantry_rate_shared_failures_total";
        let help = "Decisions that the shared server should have made and did not.";
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {}", self.failures());
    }
}
