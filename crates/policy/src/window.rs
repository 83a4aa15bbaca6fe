//! Weekly windows of time, as a bundle names them: `"sat,sun 02:00-06:00"`, in UTC.
//!
//! A window that ends before it begins goes on into the next day: `"fri 22:00-04:00"` is open on Saturday at 03:59. The
//! end does not belong to it. `24:00` is the end of a day.

use std::fmt;

use tenantry_domain::Timestamp;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// One weekly window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// By day of the week, Monday first: whether it begins on that day.
    days: [bool; 7],
    /// First minute of the day.
    from: u16,
    /// First minute that does not belong to it.
    until: u16,
}

/// A text that is no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no window; one looks like `mon-fri 22:00-04:00`, in UTC")]
pub struct WindowError(String);

impl Window {
    /// Reads one.
    ///
    /// # Errors
    /// It does not have the form.
    pub fn parse(text: &str) -> Result<Self, WindowError> {
        Self::read(text).ok_or_else(|| WindowError(text.chars().take(80).collect()))
    }

    fn read(text: &str) -> Option<Self> {
        let (days, hours) = text.trim().split_once(' ')?;
        let (from, until) = hours.trim().split_once('-')?;
        let window = Self { days: days_of(days)?, from: minute_of(from)?, until: minute_of(until)? };
        (window.from < DAY && window.from != window.until).then_some(window)
    }

    /// Whether it is open.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        let minutes = now.as_second().div_euclid(60);
        let minute = u16::try_from(minutes.rem_euclid(i64::from(DAY))).unwrap_or_default();
        // The epoch was a Thursday.
        let day = usize::try_from((minutes.div_euclid(i64::from(DAY)) + 3).rem_euclid(7)).unwrap_or_default();
        if self.from < self.until {
            return self.days[day] && (self.from..self.until).contains(&minute);
        }
        (self.days[day] && minute >= self.from) || (self.days[(day + 6) % 7] && minute < self.until)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days: Vec<_> = DAYS.iter().zip(self.days).filter(|(_, on)| *on).map(|(name, _)| *name).collect();
        let (from, until) = (self.from, self.until);
        write!(f, "{} {:02}:{:02}-{:02}:{:02}", days.join(","), from / 60, from % 60, until / 60, until % 60)
    }
}

fn days_of(text: &str) -> Option<[bool; 7]> {
    let number = |name: &str| DAYS.iter().position(|day| *day == name);
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None if part == "daily" => (0, 6),
            None => (number(part)?, number(part)?),
        };
        let mut day = first;
        loop {
            days[day] = true;
            if day == last {
                break;
            }
            day = (day + 1) % 7;
        }
    }
    Some(days)
}

fn minute_of(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| -> Option<u16> {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { text.parse().ok() } else { None }
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let whole = hour * 60 + minute;
    (minute < 60 && whole <= DAY).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(window: &str, at: &str) -> bool {
        Window::parse(window).unwrap().is_open(at.parse().unwrap())
    }

    #[test]
    fn windows_know_days_and_midnight() {
        // 22 November 2026 is a Sunday.
        assert!(open("sun 02:00-06:00", "2026-11-22T02:00:00Z"));
        assert!(open("sun 02:00-06:00", "2026-11-22T05:59:59Z"));
        assert!(!open("sun 02:00-06:00", "2026-11-22T06:00:00Z"));
        assert!(!open("sat 02:00-06:00", "2026-11-22T03:00:00Z"));
        assert!(open("sat 22:00-04:00", "2026-11-22T03:59:00Z"));
        assert!(!open("sun 22:00-04:00", "2026-11-22T03:59:00Z"));
        assert!(open("sun 22:00-24:00", "2026-11-22T23:59:59Z"));
        assert!(open("fri-mon 00:00-24:00", "2026-11-22T12:00:00Z"));
        assert!(!open("mon-fri 00:00-24:00", "2026-11-22T12:00:00Z"));
        assert!(open("daily 12:00-13:00", "1969-12-31T12:30:00Z"));
    }

    #[test]
    fn what_is_no_window_is_refused() {
        for text in ["", "mon", "mon 1:00-2:00", "mon 01:00", "xyz 01:00-02:00", "mon 25:00-26:00", "mon 24:00-01:00"] {
            assert!(Window::parse(text).is_err(), "{text}");
        }
        assert!(Window::parse("mon 01:00-01:00").is_err());
        assert_eq!(Window::parse("sun,mon 01:05-02:00").unwrap().to_string(), "mon,sun 01:05-02:00");
    }
}
