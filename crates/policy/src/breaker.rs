//! Stops asking a service that does not answer, and asks again with one call at a time. Pure: the time comes in.
//!
//! Closed, every call passes. After [`FAILURES`] failures in a row it is open for [`PAUSE`]: no call passes, and callers
//! are told at once. Then one call passes as a trial; its success closes the breaker, its failure opens it again.

use std::time::{Duration, Instant};

/// Failures in a row that open it.
pub const FAILURES: u32 = 5;

/// How long it stays open.
pub const PAUSE: Duration = Duration::from_secs(5);

/// Whether a service is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Breaker {
    failures: u32,
    open_until: Option<Instant>,
}

impl Breaker {
    /// Whether a call may pass. One that may is followed by [`Breaker::succeeded`] or [`Breaker::failed`].
    pub fn may_pass(&mut self, now: Instant) -> bool {
        match self.open_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                // The trial: others wait until its time is over, or it has ended.
                self.open_until = Some(now + PAUSE);
                true
            }
        }
    }

    /// A call was answered.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// A call was not answered.
    pub fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES {
            self.open_until = Some(now + PAUSE);
        }
    }

    /// Whether calls are kept back.
    #[must_use]
    pub fn is_open(&self, now: Instant) -> bool {
        self.open_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_tries_one_call() {
        let begin = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 1..FAILURES {
            assert!(breaker.may_pass(begin));
            breaker.failed(begin);
        }
        breaker.succeeded();
        for _ in 0..FAILURES {
            assert!(breaker.may_pass(begin));
            breaker.failed(begin);
        }
        assert!(!breaker.may_pass(begin + PAUSE / 2));
        // One trial, and nobody beside it.
        assert!(breaker.may_pass(begin + PAUSE));
        assert!(!breaker.may_pass(begin + PAUSE));
        breaker.failed(begin + PAUSE);
        assert!(breaker.is_open(begin + PAUSE + PAUSE / 2));
        assert!(breaker.may_pass(begin + PAUSE * 2));
        breaker.succeeded();
        assert!(breaker.may_pass(begin + PAUSE * 2) && breaker.may_pass(begin + PAUSE * 2));
    }
}
