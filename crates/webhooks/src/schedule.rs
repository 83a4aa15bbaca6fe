//! When a delivery that failed is tried again. Pure: the luck that jitter needs is an argument.

use std::time::Duration;

/// The pauses between attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    pauses: Vec<Duration>,
}

/// Longest pause that a receiver can ask for by `Retry-After`.
pub const LONGEST_WISH: Duration = Duration::from_secs(24 * 3600);

/// How far a pause is moved at most, in parts of itself.
const JITTER: f64 = 0.2;

const HOUR: u64 = 3600;

impl Default for Schedule {
    /// Ten attempts within 75 h 35 min: the example of Standard Webhooks 1.0. The first ones come quickly, for most failures
    /// are a restart; the last ones span a weekend.
    fn default() -> Self {
        let seconds = [5, 300, 1800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
        Self { pauses: seconds.map(Duration::from_secs).to_vec() }
    }
}

impl Schedule {
    /// A schedule of these pauses: one attempt more than there are pauses.
    #[must_use]
    pub const fn new(pauses: Vec<Duration>) -> Self {
        Self { pauses }
    }

    /// How many attempts there are.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        u32::try_from(self.pauses.len()).unwrap_or(u32::MAX - 1) + 1
    }

    /// From the first attempt to the last, without jitter.
    #[must_use]
    pub fn span(&self) -> Duration {
        self.pauses.iter().sum()
    }

    /// The pause behind attempt `made` (from 1); nothing when it was the last. `luck` in 0..=1 moves it by up to a fifth to
    /// either side, so that what failed together is not tried together; `wish` is the receiver's `Retry-After`, up to a day,
    /// and prolongs the pause only.
    #[must_use]
    pub fn pause(&self, made: u32, luck: f64, wish: Option<Duration>) -> Option<Duration> {
        let place = usize::try_from(made.checked_sub(1)?).ok()?;
        let pause = self.pauses.get(place)?;
        let luck = if luck.is_finite() { luck.clamp(0.0, 1.0) } else { 0.5 };
        let moved = pause.mul_f64(JITTER.mul_add(luck.mul_add(2.0, -1.0), 1.0));
        Some(wish.map_or(moved, |wish| moved.max(wish.min(LONGEST_WISH))))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use super::*;

    #[test]
    fn ten_attempts_span_a_little_more_than_three_days() {
        let schedule = Schedule::default();
        assert_eq!(schedule.attempts(), 10);
        assert_eq!(schedule.span(), Duration::from_secs(75 * 3600 + 35 * 60 + 5));
        assert_eq!(schedule.pause(10, 0.5, None), None);
        assert_eq!(schedule.pause(0, 0.5, None), None);
        assert_eq!(schedule.pause(1, 0.5, None), Some(Duration::from_secs(5)));
    }

    #[test]
    fn luck_moves_a_pause_by_a_fifth_at_most() {
        let schedule = Schedule::default();
        for made in 1..10 {
            let middle = schedule.pause(made, 0.5, None).unwrap();
            for step in 0..=100 {
                let pause = schedule.pause(made, f64::from(step) / 100.0, None).unwrap();
                assert!(pause >= middle.mul_f64(0.799_999) && pause <= middle.mul_f64(1.200_001), "{made} {step}");
            }
            assert_eq!(schedule.pause(made, f64::NAN, None), Some(middle));
            assert_eq!(schedule.pause(made, 7.0, None), schedule.pause(made, 1.0, None));
        }
    }

    #[test]
    fn a_receiver_can_ask_for_a_longer_pause_up_to_a_day() {
        let schedule = Schedule::default();
        let ask = |seconds| schedule.pause(1, 0.5, Some(Duration::from_secs(seconds))).unwrap().as_secs();
        assert_eq!((ask(1), ask(60), ask(24 * HOUR), ask(9_999_999)), (5, 60, 24 * HOUR, 24 * HOUR));
        // It is no way to be tried more often.
        assert_eq!(schedule.pause(10, 0.5, Some(Duration::from_secs(60))), None);
    }
}
