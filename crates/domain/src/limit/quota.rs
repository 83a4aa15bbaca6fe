//! How much a tenant may have of something, how strictly, and when somebody should know.
//!
//! A plan writes `users: 100` for a hard bound, or `{ limit: 100, mode: soft, warnAt: 80% }`. A periodic amount
//! (`1000000/month`) begins anew with each period in UTC.
//! INVARIANT: each crossing of the warning mark or the limit is told once, and not again before use has gone well below.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan as _};
use serde::{Deserialize, Serialize};

use super::counted::Counted;
use crate::Timestamp;
use crate::quantity::{Period, Quantity};

/// The name of a quota: `users`, `storage`, `events`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QuotaName(String);

/// Why a text is no name of a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must begin with a letter and hold at most {} of a-z, A-Z, 0-9, `_`, `.` and `-`", QuotaName::MAX)]
pub struct QuotaNameError;

impl QuotaName {
    /// Most characters.
    pub const MAX: usize = 63;

    /// Parses a name; the grammar is that of the keys in a plan.
    ///
    /// # Errors
    /// The text is none.
    pub fn parse(text: &str) -> Result<Self, QuotaNameError> {
        let is_led = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
        let is_word = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        if is_led && is_word && text.len() <= Self::MAX { Ok(Self(text.to_owned())) } else { Err(QuotaNameError) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What Tenantry itself counts under this name; nothing for a quota that applications count.
    #[must_use]
    pub fn counted(&self) -> Option<&'static str> {
        let at_the_gateway = || GATEWAY.iter().find(|(name, _)| *name == self.0).map(|(_, what)| *what);
        Counted::parse(&self.0).map(Counted::what).or_else(at_the_gateway)
    }

    /// A name that this release gives a meaning of its own.
    pub(super) fn known(text: &'static str) -> Self {
        Self(text.to_owned())
    }
}

/// What the gateway bounds by itself. Like what is [`Counted`], nobody else says what is used of it.
const GATEWAY: [(&str, &str); 2] =
    [("connections", "sessions at the gateway"), ("statementSeconds", "the time of statements at the gateway")];

impl FromStr for QuotaName {
    type Err = QuotaNameError;
    fn from_str(text: &str) -> Result<Self, QuotaNameError> {
        Self::parse(text)
    }
}

impl fmt::Display for QuotaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for QuotaName {
    type Error = QuotaNameError;
    fn try_from(text: String) -> Result<Self, QuotaNameError> {
        Self::parse(&text)
    }
}

impl From<QuotaName> for String {
    fn from(name: QuotaName) -> Self {
        name.0
    }
}

/// How strictly a quota holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Not counted at all.
    Off,
    /// Counted, and nothing else.
    Observed,
    /// Counted; warnings and excess are told, nothing is refused.
    Soft,
    /// What would exceed the limit is refused.
    #[default]
    Hard,
}

impl Mode {
    /// All of them, from none to strictest.
    pub const ALL: [Self; 4] = [Self::Off, Self::Observed, Self::Soft, Self::Hard];

    /// The word in plans.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Observed => "observed",
            Self::Soft => "soft",
            Self::Hard => "hard",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is no share or no mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BoundError {
    /// Not a whole number from 1 to 100 with `%`.
    #[error("is not a share such as `80%`, from 1% to 100%")]
    Percent,
    /// Not a mode.
    #[error("is not one of off, observed, soft, hard")]
    Mode,
}

impl FromStr for Mode {
    type Err = BoundError;
    fn from_str(text: &str) -> Result<Self, BoundError> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text).ok_or(BoundError::Mode)
    }
}

/// A share of a limit, 1 to 100 in a hundred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Percent(u8);

impl Percent {
    /// Where warnings begin unless a plan says otherwise: early enough to order more.
    pub const WARNING: Self = Self(80);

    /// The number before the sign.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// This share of an amount, rounded up, so that a share of something is at least one.
    #[must_use]
    pub fn of(self, amount: u64) -> u64 {
        let share = (u128::from(amount) * u128::from(self.0)).div_ceil(100);
        u64::try_from(share).unwrap_or(u64::MAX)
    }
}

impl FromStr for Percent {
    type Err = BoundError;
    fn from_str(text: &str) -> Result<Self, BoundError> {
        let digits = text.strip_suffix('%').ok_or(BoundError::Percent)?;
        let is_number = (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        let number: u8 = if is_number { digits.parse().unwrap_or(0) } else { 0 };
        if (1..=100).contains(&number) { Ok(Self(number)) } else { Err(BoundError::Percent) }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl TryFrom<String> for Percent {
    type Error = BoundError;
    fn try_from(text: String) -> Result<Self, BoundError> {
        text.parse()
    }
}

impl From<Percent> for String {
    fn from(percent: Percent) -> Self {
        percent.to_string()
    }
}

/// What a plan says of one quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Bound {
    /// How much, perhaps per period. Sizes are in bytes.
    pub limit: Quantity,
    /// How strictly.
    pub mode: Mode,
    /// At which share of the limit a warning is told.
    pub warn_at: Percent,
}

/// A quantity alone, as catalogs of earlier releases hold it, or all parts.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    Limit(Quantity),
    #[serde(rename_all = "camelCase")]
    Full {
        #[serde(default = "unlimited")]
        limit: Quantity,
        #[serde(default)]
        mode: Mode,
        #[serde(default = "warning")]
        warn_at: Percent,
    },
}

const fn unlimited() -> Quantity {
    Quantity::UNLIMITED
}

const fn warning() -> Percent {
    Percent::WARNING
}

impl From<Stored> for Bound {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Limit(limit) => Self::hard(limit),
            Stored::Full { limit, mode, warn_at } => Self { limit, mode, warn_at },
        }
    }
}

impl From<Bound> for Stored {
    fn from(bound: Bound) -> Self {
        if bound.is_plain() {
            return Self::Limit(bound.limit);
        }
        Self::Full { limit: bound.limit, mode: bound.mode, warn_at: bound.warn_at }
    }
}

impl Bound {
    /// Counted without a limit: what holds where a plan does not name the quota.
    pub const OBSERVED: Self = Self { limit: Quantity::UNLIMITED, mode: Mode::Observed, warn_at: Percent::WARNING };

    /// A limit that is not exceeded; what a quantity alone means.
    #[must_use]
    pub const fn hard(limit: Quantity) -> Self {
        Self { limit, mode: Mode::Hard, warn_at: Percent::WARNING }
    }

    /// Whether a quantity alone says it all.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::hard(self.limit)
    }

    /// The same with another limit, which is what an override changes.
    #[must_use]
    pub const fn with_limit(self, limit: Quantity) -> Self {
        Self { limit, ..self }
    }

    /// The most that there may be; absent when nothing is refused.
    #[must_use]
    pub fn most(&self) -> Option<u64> {
        self.limit.amount.filter(|_| self.mode == Mode::Hard)
    }

    /// When the period that holds at `now` began; absent for a standing amount.
    #[must_use]
    pub fn since(&self, now: Timestamp) -> Option<Timestamp> {
        self.limit.per.map(|period| began(period, now))
    }

    /// How long until the period that holds at `now` ends; absent for a standing amount.
    #[must_use]
    pub fn renews_in(&self, now: Timestamp) -> Option<SignedDuration> {
        let period = self.limit.per?;
        let start = began(period, now);
        let end = match fixed(period) {
            Some(seconds) => start.checked_add(SignedDuration::from_secs(seconds)).ok()?,
            None => start.to_zoned(TimeZone::UTC).checked_add(1.month()).ok()?.timestamp(),
        };
        Some(end.duration_since(now))
    }

    /// What is to be told when use has become `total`, and the marks to keep.
    #[must_use]
    pub fn judge(&self, marks: Marks, total: u64) -> (Marks, Option<Crossing>) {
        let (Some(limit), Mode::Soft | Mode::Hard) = (self.limit.amount, self.mode) else {
            return (Marks::default(), None);
        };
        let warning = self.warn_at.of(limit).max(1);
        let slack = (limit / 20).max(1);
        let keeps = |marked: bool, mark: u64| marked && total.saturating_add(slack) > mark;
        // A hard quota that is full has not been exceeded; one whose limit was lowered has.
        let now = Marks {
            warned: total >= warning || keeps(marks.warned, warning),
            exceeded: total > limit || keeps(marks.exceeded, limit),
        };
        let crossing = match () {
            () if total > limit && !marks.exceeded => Some(Crossing::Exceeded),
            () if total >= warning && !marks.warned => Some(Crossing::Warning),
            () => None,
        };
        (now, crossing)
    }
}

/// What has been told of a quota's use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    /// The warning was.
    pub warned: bool,
    /// The excess was, or that something was refused.
    pub exceeded: bool,
}

/// What is told when use crosses a mark upwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crossing {
    /// The warning mark.
    Warning,
    /// The limit.
    Exceeded,
}

const fn fixed(period: Period) -> Option<i64> {
    match period {
        Period::Second => Some(1),
        Period::Minute => Some(60),
        Period::Hour => Some(3_600),
        // UTC has no shorter or longer days.
        Period::Day => Some(86_400),
        Period::Month => None,
    }
}

/// When the period that holds at `now` began, in UTC.
fn began(period: Period, now: Timestamp) -> Timestamp {
    let started = match fixed(period) {
        Some(seconds) => Timestamp::from_second(now.as_second().div_euclid(seconds) * seconds),
        None => {
            let date = now.to_zoned(TimeZone::UTC).date().first_of_month();
            date.to_zoned(TimeZone::UTC).map(|start| start.timestamp())
        }
    };
    // Only the first moments that the calendar knows have no beginning of their period.
    started.unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(text: &str) -> Bound {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_quantity_alone_is_hard_and_stays_a_quantity() {
        let plain = bound("\"100\"");
        assert_eq!(plain, Bound::hard("100".parse().unwrap()));
        assert_eq!(serde_json::to_string(&plain).unwrap(), "\"100\"");
        let full = bound(r#"{"limit":"50Gi","mode":"soft","warnAt":"90%"}"#);
        assert_eq!((full.mode, full.warn_at.get(), full.most()), (Mode::Soft, 90, None));
        assert_eq!(bound(&serde_json::to_string(&full).unwrap()), full);
        assert_eq!(bound(r#"{"mode":"off"}"#).limit, Quantity::UNLIMITED);
        for bad in ["0%", "101%", "80", "8.5%", "", "%"] {
            assert!(bad.parse::<Percent>().is_err(), "{bad}");
        }
        for bad in ["", "9lives", "a b", "-x", &"a".repeat(64)] {
            assert!(QuotaName::parse(bad).is_err(), "{bad}");
        }
        assert!(QuotaName::parse("max_users").is_ok());
    }

    #[test]
    fn each_crossing_is_told_once() {
        let soft = bound(r#"{"limit":"100","mode":"soft"}"#);
        let mut marks = Marks::default();
        let mut told = Vec::new();
        // Up, a little to and fro at each mark, far down, and up again.
        for total in [79, 80, 81, 79, 80, 100, 101, 99, 102, 96, 101, 95, 101, 75, 80, 60, 100, 101] {
            let (kept, crossing) = soft.judge(marks, total);
            marks = kept;
            told.extend(crossing.map(|crossing| (total, crossing)));
        }
        use Crossing::{Exceeded, Warning};
        let expected =
            [(80, Warning), (101, Exceeded), (101, Exceeded), (80, Warning), (100, Warning), (101, Exceeded)];
        assert_eq!(told, expected);
        // A limit of one: full is a warning, and empty forgets it.
        let one = Bound::hard("1".parse().unwrap());
        let (marks, crossing) = one.judge(Marks::default(), 1);
        assert_eq!(crossing, Some(Warning));
        assert_eq!(one.judge(marks, 0).0, Marks::default());
        assert_eq!(Bound::OBSERVED.judge(Marks::default(), u64::MAX), (Marks::default(), None));
    }

    #[test]
    fn periods_begin_in_utc() {
        let now: Timestamp = "2028-02-29T13:14:15.5Z".parse().unwrap();
        for (limit, start, left) in [
            ("1/min", "2028-02-29T13:14:00Z", 44),
            ("1/h", "2028-02-29T13:00:00Z", 2744),
            ("1/day", "2028-02-29T00:00:00Z", 38744),
            ("1/month", "2028-02-01T00:00:00Z", 38744),
        ] {
            let bound = Bound::hard(limit.parse().unwrap());
            assert_eq!(bound.since(now).unwrap().to_string(), start);
            assert_eq!(bound.renews_in(now).unwrap().as_secs(), left, "{limit}");
        }
        assert_eq!(Bound::hard("1".parse().unwrap()).since(now), None);
    }
}
