//! Usage of tenants: what a meter measures, what an event counts, and which hour it counts in.
//!
//! INVARIANT: what a set of events comes to does not depend on their order, their repetition or how they were sent in parts.
//! Amounts are exact decimals for that reason, never floats, and the latest of two events is decided by their own time and key.

mod amount;
mod meter;

pub use amount::{Amount, AmountError, Total};
pub use meter::{Aggregation, Field, FieldError, MeasureError, Measured, MeterSpec};

use jiff::tz::TimeZone;
use jiff::{RoundMode, SignedDuration, TimestampRound, ToSpan as _, Unit};

use crate::Timestamp;

/// How long after its own time an event is still counted, and a repetition of it recognised.
pub const WINDOW: SignedDuration = SignedDuration::from_hours(24 * 35);

/// How far ahead of our clock an event may be: clocks of senders differ.
pub const AHEAD: SignedDuration = SignedDuration::from_mins(10);

/// So long after its end an hour is closed and told: what arrives later makes another revision.
pub const GRACE: SignedDuration = SignedDuration::from_mins(5);

/// Why an event's time does not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Older than [`WINDOW`].
    #[error("is more than 35 days ago; such an event could not be told from a repetition any more")]
    Late,
    /// Later than [`AHEAD`].
    #[error("is more than ten minutes ahead of the server's clock")]
    Early,
}

/// Checks that an event's time is one that is counted.
///
/// # Errors
/// It is too old, or ahead.
pub fn check_time(at: Timestamp, now: Timestamp) -> Result<(), TimeError> {
    let age = now.duration_since(at);
    if age > WINDOW {
        return Err(TimeError::Late);
    }
    if age < -AHEAD { Err(TimeError::Early) } else { Ok(()) }
}

/// The moment before which every hour has closed.
#[must_use]
pub fn closed_before(now: Timestamp) -> Timestamp {
    let late = now.saturating_sub(GRACE).unwrap_or(now);
    hour(late)
}

/// The beginning of the hour that a moment is in.
#[must_use]
pub fn hour(at: Timestamp) -> Timestamp {
    at.round(TimestampRound::new().smallest(Unit::Hour).mode(RoundMode::Floor)).unwrap_or(at)
}

/// What a report is cut into; all in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Window {
    /// Hours.
    Hour,
    /// Days.
    #[default]
    Day,
    /// Months.
    Month,
}

impl Window {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// The beginning of the window that a moment is in.
    #[must_use]
    pub fn begin(self, at: Timestamp) -> Timestamp {
        let at = hour(at);
        let zoned = at.to_zoned(TimeZone::UTC);
        let begun = match self {
            Self::Hour => return at,
            Self::Day => zoned.start_of_day(),
            Self::Month => zoned.first_of_month().and_then(|first| first.start_of_day()),
        };
        begun.map_or(at, |begun| begun.timestamp())
    }

    /// The end of the window that a moment is in, where the next one begins.
    #[must_use]
    pub fn end(self, at: Timestamp) -> Timestamp {
        let begin = self.begin(at);
        let zoned = begin.to_zoned(TimeZone::UTC);
        let next = match self {
            Self::Hour => zoned.checked_add(1.hour()),
            Self::Day => zoned.checked_add(1.day()),
            Self::Month => zoned.checked_add(1.month()),
        };
        next.map_or(begin, |next| next.timestamp())
    }

    /// The longest span of one report: as many rows of one meter as a reader can still look through.
    #[must_use]
    pub const fn most(self) -> SignedDuration {
        match self {
            Self::Hour => SignedDuration::from_hours(24 * 62),
            Self::Day => SignedDuration::from_hours(24 * 400),
            Self::Month => SignedDuration::from_hours(24 * 366 * 5),
        }
    }
}

impl std::str::FromStr for Window {
    type Err = UnknownWindow;
    fn from_str(text: &str) -> Result<Self, UnknownWindow> {
        Self::ALL.into_iter().find(|window| window.as_str() == text).ok_or(UnknownWindow)
    }
}

/// The text is none of the windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be `hour`, `day` or `month`")]
pub struct UnknownWindow;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn windows_are_of_the_calendar_in_utc() {
        let moment = at("2028-02-29T23:59:59.999Z");
        assert_eq!(hour(moment), at("2028-02-29T23:00:00Z"));
        assert_eq!(Window::Hour.end(moment), at("2028-03-01T00:00:00Z"));
        assert_eq!(Window::Day.begin(moment), at("2028-02-29T00:00:00Z"));
        assert_eq!(Window::Month.begin(moment), at("2028-02-01T00:00:00Z"));
        assert_eq!(Window::Month.end(moment), at("2028-03-01T00:00:00Z"));
        assert_eq!(hour(at("1969-12-31T23:30:00Z")), at("1969-12-31T23:00:00Z"));
    }

    #[test]
    fn an_event_counts_for_thirty_five_days_and_ten_minutes_ahead() {
        let now = at("2027-03-31T12:00:00Z");
        assert_eq!(check_time(at("2027-02-24T12:00:00Z"), now), Ok(()));
        assert_eq!(check_time(at("2027-02-24T11:59:59Z"), now), Err(TimeError::Late));
        assert_eq!(check_time(at("2027-03-31T12:10:00Z"), now), Ok(()));
        assert_eq!(check_time(at("2027-03-31T12:10:01Z"), now), Err(TimeError::Early));
    }

    #[test]
    fn an_hour_closes_five_minutes_after_its_end() {
        assert_eq!(closed_before(at("2027-03-31T12:04:59Z")), at("2027-03-31T11:00:00Z"));
        assert_eq!(closed_before(at("2027-03-31T12:05:00Z")), at("2027-03-31T12:00:00Z"));
    }
}
