//! Emergency access: one person asks, another agrees, it is over by itself.
//!
//! INVARIANT: nobody agrees to its own request, nor by a token whose secret the one who asked was shown; a grant lasts an
//! hour at most and is never prolonged; one person has [`MOST_A_DAY`] minutes of them in any 24 hours, so that asking again
//! and again is no way round the hour.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The longest that a grant lasts, in minutes.
pub const LONGEST: u32 = 60;
/// The most that one person is granted within 24 hours, in minutes.
pub const MOST_A_DAY: u32 = 240;
/// How long a request waits for an answer.
pub const PATIENCE: SignedDuration = SignedDuration::from_hours(4);
/// When somebody else is to have looked at what was done.
pub const REVIEW_WITHIN: SignedDuration = SignedDuration::from_hours(72);

/// A grant, as far as decisions go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The person who asked.
    pub person: String,
    /// For how long, 1 to [`LONGEST`].
    pub minutes: u32,
    /// Nobody agrees from then on.
    pub lapses_at: Timestamp,
    /// When somebody refused.
    pub refused_at: Option<Timestamp>,
    /// Since when it is granted, and until when.
    pub span: Option<(Timestamp, Timestamp)>,
    /// When it was ended early.
    pub ended_at: Option<Timestamp>,
    /// When somebody else looked at what was done.
    pub reviewed_at: Option<Timestamp>,
}

/// Who answers a request.
#[derive(Debug, Clone, Copy)]
pub struct Hands<'a> {
    /// The person; absent where the token names none.
    pub person: Option<&'a str>,
    /// Whether this token was shown the secret of the one that asked, or the other way round, or somebody those of both: then
    /// one person may hold both.
    pub is_shown: bool,
    /// Whether one of the two signed in and the other has a token: nobody can tell then that they are two people.
    pub is_unlike: bool,
}

/// How a grant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GrantStanding {
    /// It waits for somebody's answer.
    Pending,
    /// Nobody answered in time.
    Lapsed,
    /// Somebody said no.
    Refused,
    /// It holds.
    Open,
    /// It held, and is over.
    Ended,
}

impl GrantStanding {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Lapsed, Self::Refused, Self::Open, Self::Ended];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Lapsed => "lapsed",
            Self::Refused => "refused",
            Self::Open => "open",
            Self::Ended => "ended",
        }
    }
}

/// Why something cannot be done with a grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// The caller's token does not say who uses it.
    #[error("the token names no person, and this takes two of them")]
    Nobody,
    /// The one who asked is the one who answers.
    #[error("whoever asks for access is not the one who grants or reviews it")]
    Own,
    /// One of the two was shown the other's secret, or one person those of both, and could be both.
    #[error("one of the two tokens was made or rotated with the other, or both by the same person")]
    SameHands,
    /// One signed in, the other has a token: the two could be one.
    #[error("one of the two signed in and the other has a token, so nobody can tell that they are two people")]
    Unlike,
    /// It is somebody else's.
    #[error("the access was granted to somebody else")]
    Foreign,
    /// One of the two is nobody any more.
    #[error("the token of one of the two was taken back, has ended or has lost the right")]
    Gone,
    /// It does not stand so.
    #[error("the request is {}", .0.as_str())]
    Standing(GrantStanding),
    /// The person had enough today.
    #[error("{used} of {MOST_A_DAY} minutes within 24 hours are used, and {asked} are asked for")]
    TooMuch {
        /// Minutes of the last 24 hours.
        used: u32,
        /// Minutes of the request.
        asked: u32,
    },
}

impl Grant {
    /// How it stands at a moment.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> GrantStanding {
        match (self.span, self.refused_at, self.ended_at) {
            (None, Some(_), _) => GrantStanding::Refused,
            (None, None, _) if self.lapses_at <= now => GrantStanding::Lapsed,
            (None, None, _) => GrantStanding::Pending,
            (Some(_), _, Some(_)) => GrantStanding::Ended,
            (Some((_, until)), _, None) if until <= now => GrantStanding::Ended,
            (Some(_), _, None) => GrantStanding::Open,
        }
    }

    /// Whether somebody should have looked at what was done, and did not.
    #[must_use]
    pub fn is_review_overdue(&self, now: Timestamp) -> bool {
        let due = self.span.and_then(|(_, until)| until.checked_add(REVIEW_WITHIN).ok());
        self.reviewed_at.is_none() && due.is_some_and(|due| due <= now)
    }

    fn must_be(&self, wanted: GrantStanding, now: Timestamp) -> Result<(), GrantError> {
        let standing = self.standing(now);
        if standing == wanted { Ok(()) } else { Err(GrantError::Standing(standing)) }
    }

    fn must_be_another(&self, by: &Hands<'_>) -> Result<(), GrantError> {
        match by.person {
            None => Err(GrantError::Nobody),
            Some(person) if is_same(person, &self.person) => Err(GrantError::Own),
            Some(_) if by.is_shown => Err(GrantError::SameHands),
            Some(_) if by.is_unlike => Err(GrantError::Unlike),
            Some(_) => Ok(()),
        }
    }

    /// Somebody agrees: until when it holds. `used` is how many minutes the asking person was granted within 24 hours.
    ///
    /// # Errors
    /// It is the same person, or nobody; it waits no more; the person had enough today.
    pub fn approve(&self, by: &Hands<'_>, used: u32, now: Timestamp) -> Result<Timestamp, GrantError> {
        self.must_be(GrantStanding::Pending, now)?;
        self.must_be_another(by)?;
        if used.saturating_add(self.minutes) > MOST_A_DAY {
            return Err(GrantError::TooMuch { used, asked: self.minutes });
        }
        let life = SignedDuration::from_mins(i64::from(self.minutes.min(LONGEST)));
        Ok(now.saturating_add(life).unwrap_or(now))
    }

    /// Somebody says no; whoever asked may do so, too.
    ///
    /// # Errors
    /// It waits no more.
    pub fn refuse(&self, now: Timestamp) -> Result<(), GrantError> {
        self.must_be(GrantStanding::Pending, now)
    }

    /// Whoever asked uses it: until when.
    ///
    /// # Errors
    /// It does not hold, or is another person's.
    pub fn open(&self, by: Option<&str>, now: Timestamp) -> Result<Timestamp, GrantError> {
        self.must_be(GrantStanding::Open, now)?;
        match by {
            None => Err(GrantError::Nobody),
            Some(person) if !is_same(person, &self.person) => Err(GrantError::Foreign),
            Some(_) => Ok(self.span.map_or(now, |(_, until)| until)),
        }
    }

    /// It is ended early.
    ///
    /// # Errors
    /// It does not hold.
    pub fn end(&self, now: Timestamp) -> Result<(), GrantError> {
        self.must_be(GrantStanding::Open, now)
    }

    /// Somebody else looked at what was done.
    ///
    /// # Errors
    /// It is not over, or the same person asks.
    pub fn review(&self, by: &Hands<'_>, now: Timestamp) -> Result<(), GrantError> {
        self.must_be(GrantStanding::Ended, now)?;
        self.must_be_another(by)
    }
}

/// Whether two names are one person: they are compared without case and space around, for a second spelling is not a
/// second person.
#[must_use]
pub fn is_same(one: &str, other: &str) -> bool {
    folded(one) == folded(other)
}

/// The one spelling of a person's name that is compared.
#[must_use]
pub fn folded(name: &str) -> String {
    name.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
    }

    fn asked() -> Grant {
        Grant {
            person: "Olga".into(),
            minutes: 30,
            lapses_at: at(240),
            refused_at: None,
            span: None,
            ended_at: None,
            reviewed_at: None,
        }
    }

    fn hands(person: &str) -> Hands<'_> {
        Hands { person: Some(person), is_shown: false, is_unlike: false }
    }

    #[test]
    fn two_people_are_needed_and_a_second_spelling_is_not_one() {
        let grant = asked();
        for own in ["Olga", "olga", " OLGA "] {
            assert_eq!(grant.approve(&hands(own), 0, at(1)), Err(GrantError::Own), "{own}");
        }
        assert_eq!(grant.approve(&Hands { person: None, ..hands("") }, 0, at(1)), Err(GrantError::Nobody));
        assert_eq!(grant.approve(&hands("Petra"), 0, at(1)), Ok(at(31)));
        let made = Hands { is_shown: true, ..hands("Petra") };
        assert_eq!(grant.approve(&made, 0, at(1)), Err(GrantError::SameHands));
        let unlike = Hands { is_unlike: true, ..hands("Petra") };
        assert_eq!(grant.approve(&unlike, 0, at(1)), Err(GrantError::Unlike));
    }

    #[test]
    fn it_ends_by_itself_and_is_not_prolonged() {
        let open = Grant { span: Some((at(1), at(31))), ..asked() };
        assert_eq!((open.standing(at(30)), open.standing(at(31))), (GrantStanding::Open, GrantStanding::Ended));
        assert_eq!(open.approve(&hands("Petra"), 0, at(2)), Err(GrantError::Standing(GrantStanding::Open)));
        assert_eq!(open.open(Some("olga"), at(30)), Ok(at(31)));
        assert_eq!(open.open(Some("Petra"), at(30)), Err(GrantError::Foreign));
        assert_eq!(open.open(Some("olga"), at(31)), Err(GrantError::Standing(GrantStanding::Ended)));
        assert!(!open.is_review_overdue(at(31)) && open.is_review_overdue(at(31 + 72 * 60)));
        assert_eq!(open.review(&hands("olga"), at(40)), Err(GrantError::Own));
        assert_eq!(open.review(&hands("Petra"), at(30)), Err(GrantError::Standing(GrantStanding::Open)));
        assert_eq!(open.review(&hands("Petra"), at(40)), Ok(()));
    }

    #[test]
    fn asking_again_and_again_is_no_way_round() {
        let grant = asked();
        assert!(grant.approve(&hands("Petra"), MOST_A_DAY - 30, at(1)).is_ok());
        assert_eq!(
            grant.approve(&hands("Petra"), MOST_A_DAY - 29, at(1)),
            Err(GrantError::TooMuch { used: 211, asked: 30 })
        );
        let greedy = Grant { minutes: 10_000, ..asked() };
        assert!(greedy.approve(&hands("Petra"), 0, at(1)).is_err());
    }

    #[test]
    fn who_is_not_answered_lapses() {
        let grant = asked();
        assert_eq!(grant.standing(at(240)), GrantStanding::Lapsed);
        assert_eq!(grant.approve(&hands("Petra"), 0, at(240)), Err(GrantError::Standing(GrantStanding::Lapsed)));
        assert_eq!(grant.refuse(at(240)), Err(GrantError::Standing(GrantStanding::Lapsed)));
        let refused = Grant { refused_at: Some(at(2)), ..asked() };
        assert_eq!(refused.approve(&hands("Petra"), 0, at(3)), Err(GrantError::Standing(GrantStanding::Refused)));
    }
}
