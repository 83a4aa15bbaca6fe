//! Times as tables show them.

use jiff::{Timestamp, Unit};

/// How long ago: `12s`, `5m`, `3h`, `2d`. Times to come read as `0s`.
pub fn age(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(at.as_second()).max(0);
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A moment to the second, in UTC.
pub fn moment(at: Timestamp) -> String {
    at.round(Unit::Second).unwrap_or(at).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        for (at, expected) in [
            ("2026-11-20T11:59:48Z", "12s"),
            ("2026-11-20T11:55:00Z", "5m"),
            ("2026-11-20T09:00:00Z", "3h"),
            ("2026-11-18T11:00:00Z", "2d"),
            ("2026-11-21T11:00:00Z", "0s"),
        ] {
            assert_eq!(age(at.parse().unwrap(), now), expected);
        }
    }

    #[test]
    fn moments_have_no_fraction() {
        assert_eq!(moment("2026-11-20T12:00:00.4Z".parse().unwrap()), "2026-11-20T12:00:00Z");
    }
}
