//! Amounts in plans: quotas (`100`, `50Gi`, `1000000/month`, `unlimited`) and rate limits (`1000/min`).

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Neither a whole number nor `unlimited`.
    #[error("`{0}` is not an amount; expected a whole number, a size such as `50Gi`, or `unlimited`")]
    Number(String),
    /// The part after the slash.
    #[error("`{0}` is not a period; expected one of s, min, h, day, month")]
    Period(String),
    /// A rate without `/period`.
    #[error("a rate needs a period, such as `1000/min`")]
    NoPeriod,
    /// More than 64 bits.
    #[error("the amount does not fit 64 bits")]
    Overflow,
}

/// The span that an amount renews in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// A second.
    Second,
    /// Sixty seconds.
    Minute,
    /// Sixty minutes.
    Hour,
    /// A calendar day in UTC.
    Day,
    /// A calendar month in UTC.
    Month,
}

impl Period {
    const NAMES: [(Self, &'static str); 5] =
        [(Self::Second, "s"), (Self::Minute, "min"), (Self::Hour, "h"), (Self::Day, "day"), (Self::Month, "month")];

    fn parse(text: &str) -> Result<Self, QuantityError> {
        Self::NAMES
            .into_iter()
            .find_map(|(period, name)| (name == text).then_some(period))
            .ok_or_else(|| QuantityError::Period(text.to_owned()))
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "min",
            Self::Hour => "h",
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

/// An amount, perhaps per period. Sizes are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Quantity {
    /// Absent means unlimited.
    pub amount: Option<u64>,
    /// Absent means a standing amount, such as users or bytes stored.
    pub per: Option<Period>,
}

impl Quantity {
    /// No bound at all.
    pub const UNLIMITED: Self = Self { amount: None, per: None };

    /// Parses a rate, which must name its period.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse_rate(text: &str) -> Result<Self, QuantityError> {
        let quantity: Self = text.parse()?;
        if quantity.amount.is_some() && quantity.per.is_none() {
            return Err(QuantityError::NoPeriod);
        }
        Ok(quantity)
    }
}

/// So many of something in a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rate {
    /// At least one.
    pub amount: NonZeroU32,
    /// The stretch of time, in seconds.
    pub seconds: NonZeroU32,
}

impl Quantity {
    /// As a rate; absent if it is unlimited or no rate. None at all is one in its period: a bound cannot lock a tenant out,
    /// suspending it does. A month has thirty days.
    #[must_use]
    pub fn rate(self) -> Option<Rate> {
        let seconds = match self.per? {
            Period::Second => 1,
            Period::Minute => 60,
            Period::Hour => 3_600,
            Period::Day => 86_400,
            Period::Month => 30 * 86_400,
        };
        let amount = u32::try_from(self.amount?).unwrap_or(u32::MAX);
        Some(Rate { amount: NonZeroU32::new(amount).unwrap_or(NonZeroU32::MIN), seconds: NonZeroU32::new(seconds)? })
    }
}

const UNITS: [(&str, u64); 8] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
];

impl FromStr for Quantity {
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (number, per) = match text.split_once('/') {
            Some((number, period)) => (number, Some(Period::parse(period)?)),
            None => (text, None),
        };
        if number == "unlimited" {
            return Ok(Self { amount: None, per });
        }
        let (digits, factor) = UNITS
            .into_iter()
            .find_map(|(unit, factor)| number.strip_suffix(unit).map(|digits| (digits, factor)))
            .unwrap_or((number, 1));
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(QuantityError::Number(text.to_owned()));
        }
        let whole: u64 = digits.parse().map_err(|_| QuantityError::Overflow)?;
        let amount = whole.checked_mul(factor).ok_or(QuantityError::Overflow)?;
        Ok(Self { amount: Some(amount), per })
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.amount {
            None => f.write_str("unlimited")?,
            Some(amount) => {
                let unit = UNITS[..4].iter().rev().find(|(_, factor)| amount != 0 && amount % factor == 0);
                match unit {
                    Some((unit, factor)) => write!(f, "{}{unit}", amount / factor)?,
                    None => write!(f, "{amount}")?,
                }
            }
        }
        match self.per {
            Some(period) => write!(f, "/{}", period.as_str()),
            None => Ok(()),
        }
    }
}

impl TryFrom<String> for Quantity {
    type Error = QuantityError;
    fn try_from(text: String) -> Result<Self, QuantityError> {
        text.parse()
    }
}

impl From<Quantity> for String {
    fn from(quantity: Quantity) -> Self {
        quantity.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_round_trips(amount: Option<u64>, per in prop::option::of(prop::sample::select(vec![Period::Second, Period::Minute, Period::Hour, Period::Day, Period::Month]))) {
            let quantity = Quantity { amount, per };
            prop_assert_eq!(quantity.to_string().parse::<Quantity>(), Ok(quantity));
        }
    }

    #[test]
    fn seeds_figures_parse() {
        assert_eq!("50Gi".parse::<Quantity>().unwrap().amount, Some(50 << 30));
        assert_eq!("1000/min".parse::<Quantity>().unwrap().per, Some(Period::Minute));
        assert_eq!("unlimited".parse::<Quantity>().unwrap(), Quantity::UNLIMITED);
        assert_eq!(Quantity::parse_rate("1000"), Err(QuantityError::NoPeriod));
        for bad in ["", "-1", "1.5", "Gi", "1e9", "99999999999999999999", "20Ti/fortnight", "18446744073709551615Ti"] {
            assert!(bad.parse::<Quantity>().is_err(), "{bad}");
        }
    }
}
