//! How far a standby is behind its primary, from positions in the write-ahead log. Pure.
//!
//! Positions of the primary are noted with the moment at which they were asked for: whatever was committed before that moment
//! lies before the position. Once the standby has replayed up to one of them, it shows everything that was committed by then.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many positions are kept. Of a standby that is further behind, only that is known.
const MOST: usize = 2048;

/// See the module.
#[derive(Debug, Default)]
pub struct Trail {
    positions: VecDeque<(Instant, u64)>,
    replayed: u64,
    shown: Option<Instant>,
}

impl Trail {
    /// The primary was at this position when it was asked at this moment.
    pub fn primary(&mut self, at: Instant, position: u64) {
        if self.positions.back().is_some_and(|(_, last)| *last > position) {
            // Another primary, or one that was restored: nothing that was known of it holds.
            *self = Self::default();
        }
        if self.positions.len() == MOST {
            // Every second one: the trail reaches as far back as before, in longer steps.
            let mut is_kept = false;
            self.positions.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
        }
        self.positions.push_back((at, position));
        self.settle();
    }

    /// The standby has replayed up to this position.
    pub fn standby(&mut self, position: u64) {
        self.replayed = position;
        self.settle();
    }

    /// The standby is not one any more, or cannot be asked.
    pub fn lost(&mut self) {
        self.replayed = 0;
        self.shown = None;
    }

    /// Everything that was committed so long ago is shown by the standby; absent while that is not known.
    #[must_use]
    pub fn staleness(&self, now: Instant) -> Option<Duration> {
        self.shown.map(|shown| now.saturating_duration_since(shown))
    }

    fn settle(&mut self) {
        while let Some((at, position)) = self.positions.front().copied()
            && position <= self.replayed
        {
            self.shown = Some(at);
            if self.positions.len() == 1 {
                // The last one stays, to see whether the next lies behind it.
                break;
            }
            self.positions.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_is_as_stale_as_the_newest_position_that_was_replayed() {
        let start = Instant::now();
        let at = |second: u32| start + SECOND * second;
        let mut trail = Trail::default();
        assert_eq!(trail.staleness(at(0)), None);
        trail.primary(at(0), 100);
        trail.standby(99);
        assert_eq!(trail.staleness(at(1)), None, "nothing is known to be shown");
        trail.primary(at(1), 200);
        trail.primary(at(2), 300);
        trail.standby(200);
        assert_eq!(trail.staleness(at(3)), Some(SECOND * 2));
        trail.standby(300);
        assert_eq!(trail.staleness(at(3)), Some(SECOND));
        // An idle primary stays where it is, and the standby is not behind for that.
        trail.primary(at(9), 300);
        assert_eq!(trail.staleness(at(9)), Some(Duration::ZERO));
        // The primary is gone: nobody knows what was committed since.
        assert_eq!(trail.staleness(at(20)), Some(SECOND * 11));
        trail.lost();
        assert_eq!(trail.staleness(at(20)), None);
    }

    #[test]
    fn another_primary_makes_a_new_beginning() {
        let start = Instant::now();
        let mut trail = Trail::default();
        trail.primary(start, 500);
        trail.standby(500);
        trail.primary(start + SECOND, 100);
        assert_eq!(trail.staleness(start + SECOND), None);
        trail.standby(100);
        assert_eq!(trail.staleness(start + SECOND), Some(Duration::ZERO));
    }

    #[test]
    fn a_long_trail_is_thinned_and_reaches_as_far_back() {
        let start = Instant::now();
        let mut trail = Trail::default();
        for step in 0..10_000_u32 {
            trail.primary(start + SECOND * step, u64::from(step));
            assert!(trail.positions.len() <= MOST);
        }
        trail.standby(5_000);
        let stale = trail.staleness(start + SECOND * 10_000).unwrap();
        assert!(stale >= SECOND * 5_000 && stale < SECOND * 5_100, "{stale:?}");
    }
}
