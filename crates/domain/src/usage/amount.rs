//! Amounts of usage: exact decimals with six places, so that sums do not depend on their order.

use std::fmt;

/// So many parts make one.
const PARTS: i64 = 1_000_000;

/// Digits behind the point.
const PLACES: usize = 6;

/// What one event counts, never negative. A correction is an event of another meter, or told by a higher revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i64);

/// Why a number is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a decimal number.
    #[error("must be a number, or a text such as \"12.5\"")]
    Form,
    /// Below zero.
    #[error("must not be negative")]
    Negative,
    /// More digits behind the point than are kept.
    #[error("must have at most six digits behind the point")]
    Places,
    /// Beyond [`Amount::MAX`].
    #[error("must be at most 1000000000000")]
    Size,
}

impl Amount {
    /// One.
    pub const ONE: Self = Self(PARTS);

    /// The largest amount of one event, in whole units: a terabyte in bytes.
    pub const MAX: i64 = 1_000_000_000_000;

    /// Reads a decimal number without exponent.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, AmountError> {
        let (digits, is_negative) = text.strip_prefix('-').map_or((text, false), |rest| (rest, true));
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(part) {
            return Err(AmountError::Form);
        }
        let part = part.trim_end_matches('0');
        if part.len() > PLACES {
            return Err(AmountError::Places);
        }
        let whole = whole.trim_start_matches('0');
        if whole.len() > 13 {
            return Err(AmountError::Size);
        }
        // Both are short and all digits by now.
        let read = |text: &str| text.bytes().fold(0_i64, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        let scale = (part.len()..PLACES).fold(1, |scale, _| scale * 10);
        let parts = read(whole) * PARTS + read(part) * scale;
        if parts > Self::MAX * PARTS {
            return Err(AmountError::Size);
        }
        if is_negative && parts > 0 { Err(AmountError::Negative) } else { Ok(Self(parts)) }
    }

    /// In millionths.
    #[must_use]
    pub const fn millionths(self) -> i64 {
        self.0
    }
}

/// What many events come to. Shown as a decimal number without needless zeros.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Total(i128);

impl Total {
    /// From millionths.
    #[must_use]
    pub const fn of(millionths: i128) -> Self {
        Self(millionths)
    }

    /// Whole units, rounded down; the largest number where there are more.
    #[must_use]
    pub fn whole(self) -> u64 {
        u64::try_from(self.0.max(0) / i128::from(PARTS)).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / i128::from(PARTS), (self.0 % i128::from(PARTS)).abs());
        if part == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{part:06}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        for (text, shown) in [
            ("0", "0"),
            ("7", "7"),
            ("0.1", "0.1"),
            ("12.500000", "12.5"),
            ("0.000001", "0.000001"),
            ("007.10", "7.1"),
            ("1000000000000", "1000000000000"),
            ("-0", "0"),
        ] {
            let amount = Amount::parse(text).unwrap();
            assert_eq!(Total::of(i128::from(amount.millionths())).to_string(), shown, "{text}");
        }
        for (text, error) in [
            ("", AmountError::Form),
            ("1e3", AmountError::Form),
            ("1.", AmountError::Form),
            (".5", AmountError::Form),
            ("+1", AmountError::Form),
            ("NaN", AmountError::Form),
            ("0.0000001", AmountError::Places),
            ("1000000000000.000001", AmountError::Size),
            ("99999999999999999999999", AmountError::Size),
            ("-1", AmountError::Negative),
        ] {
            assert_eq!(Amount::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn ten_times_a_tenth_is_one() {
        let tenth = i128::from(Amount::parse("0.1").unwrap().millionths());
        assert_eq!(Total::of(tenth * 10).to_string(), "1");
        assert_eq!(Total::of(-1_500_000).to_string(), "-1.5");
        assert_eq!(Total::of(2_999_999).whole(), 2);
    }
}
