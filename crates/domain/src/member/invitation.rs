//! Invitations and offers of ownership: how long they hold and who may take them.
//!
//! INVARIANT: an invitation is good once, for one mailbox, one tenant and one role, for at most three days.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::{Acting, Email, Refused, Role, Rules, decide};
use crate::Timestamp;
use crate::code::FieldError;

/// The longest time, and the usual one.
pub const LIFE: SignedDuration = SignedDuration::from_hours(72);
/// The shortest time: a mail takes a moment.
pub const SHORTEST: SignedDuration = SignedDuration::from_mins(5);
/// How often an invitation is sent at most, the first time counted.
pub const SENDS: i32 = 5;
/// How many mails one address gets for one tenant within [`LIFE`] at most, whatever became of the invitations.
pub const MAILS: i64 = 5;
/// The least time between two sendings.
pub const PAUSE: SignedDuration = SignedDuration::from_mins(1);

/// Until when an invitation or offer made at `now` holds.
///
/// # Errors
/// The wanted time is shorter than five minutes or longer than three days.
pub fn until(now: Timestamp, life: Option<SignedDuration>) -> Result<Timestamp, FieldError> {
    let life = life.unwrap_or(LIFE);
    let wrong = || FieldError::new("validFor", "must be between `5m` and `72h`");
    if life < SHORTEST || life > LIFE {
        return Err(wrong());
    }
    now.checked_add(life).map_err(|_| wrong())
}

/// What became of an invitation, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Invited {
    /// Nothing yet.
    Pending,
    /// The person is a member.
    Accepted,
    /// The person does not want to be one.
    Declined,
    /// Somebody took it back, or another one took its place.
    Withdrawn,
}

impl Invited {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Accepted, Self::Declined, Self::Withdrawn];

    /// The word in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Declined => "declined",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl std::str::FromStr for Invited {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|found| found.as_str() == text).ok_or(())
    }
}

/// How an invitation stands at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It can be accepted.
    Open,
    /// Its time is over.
    Expired,
    /// The person is a member.
    Accepted,
    /// The person does not want to be one.
    Declined,
    /// It was taken back.
    Withdrawn,
}

impl Standing {
    /// How one that ends at `expires` stands at `now`.
    #[must_use]
    pub fn at(now: Timestamp, expires: Timestamp, invited: Invited) -> Self {
        match invited {
            Invited::Pending if expires <= now => Self::Expired,
            Invited::Pending => Self::Open,
            Invited::Accepted => Self::Accepted,
            Invited::Declined => Self::Declined,
            Invited::Withdrawn => Self::Withdrawn,
        }
    }

    /// The word in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Expired => "expired",
            Self::Accepted => "accepted",
            Self::Declined => "declined",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Insists that it can be answered.
    ///
    /// # Errors
    /// It cannot.
    pub const fn must_be_open(self) -> Result<(), Refused> {
        match self {
            Self::Open => Ok(()),
            other => Err(Refused::Over(other.as_str())),
        }
    }
}

/// Who made an invitation, as they stand when it is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inviter {
    /// An operator, without a member.
    Operator,
    /// A member, with what they hold now.
    Member(Acting),
    /// A member who is none any more.
    Gone,
}

/// Whether an invitation may be accepted by a mailbox, for what its inviter could still give.
///
/// # Errors
/// It is over, for somebody else, or its inviter could not make it any more.
pub fn may_accept(
    standing: Standing,
    invited: &Email,
    by: &Email,
    role: &Role,
    inviter: &Inviter,
    rules: &Rules,
) -> Result<(), Refused> {
    standing.must_be_open()?;
    if invited.exact() != by.exact() {
        return Err(Refused::OtherAddress);
    }
    let lost = || Refused::InviterLost(role.name());
    match inviter {
        Inviter::Operator => decide::may_invite(None, role, rules),
        Inviter::Member(acting) => decide::may_invite(Some(acting), role, rules).map_err(|_| lost()),
        Inviter::Gone => Err(lost()),
    }
}

/// Whether an invitation may be sent once more.
///
/// # Errors
/// It is over, was sent a moment ago or too often.
pub fn may_send(standing: Standing, sends: i32, last: Timestamp, now: Timestamp) -> Result<(), Refused> {
    match standing {
        Standing::Open | Standing::Expired => {}
        other => return Err(Refused::Over(other.as_str())),
    }
    if sends >= SENDS {
        return Err(Refused::Sent("as often as one is"));
    }
    if now.duration_since(last) < PAUSE { Err(Refused::Sent("less than a minute ago")) } else { Ok(()) }
}

/// Whether an address may get one more mail of a tenant, after so many within [`LIFE`]. Taking an invitation back and
/// making it anew is no way round: strangers are not written to without end.
///
/// # Errors
/// It got too many.
pub const fn may_mail(mails: i64) -> Result<(), Refused> {
    if mails >= MAILS { Err(Refused::Sent("to this address as often as one may be within three days")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::Standard;
    use super::*;
    use crate::id::UserId;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + second).unwrap()
    }

    #[test]
    fn a_time_is_bounded() {
        assert_eq!(until(at(0), None), Ok(at(72 * 3600)));
        assert_eq!(until(at(0), Some(SHORTEST)), Ok(at(300)));
        for wrong in [LIFE + SignedDuration::from_secs(1), SignedDuration::from_secs(299), -LIFE] {
            assert_eq!(until(at(0), Some(wrong)).unwrap_err().field, "validFor");
        }
    }

    #[test]
    fn it_is_for_one_mailbox_and_for_what_its_inviter_can_give_now() {
        let rules = Rules { invite: true, roles: true, users: None };
        let email = |text: &str| Email::parse(text).unwrap();
        let (anna, member) = (email("anna@example.com"), Role::Standard(Standard::Member));
        let accept =
            |standing, by: &str, inviter: &Inviter| may_accept(standing, &anna, &email(by), &member, inviter, &rules);
        let as_role =
            |role| Inviter::Member(Acting { user: UserId::from_uuid(Uuid::from_u128(1)), role: Role::Standard(role) });
        assert_eq!(accept(Standing::Open, "ANNA@example.com", &Inviter::Operator), Ok(()));
        assert_eq!(accept(Standing::Open, "anna@example.com", &as_role(Standard::Admin)), Ok(()));
        for other in ["anna+x@example.com", "eve@example.com"] {
            assert_eq!(accept(Standing::Open, other, &Inviter::Operator), Err(Refused::OtherAddress));
        }
        for lost in [as_role(Standard::Member), as_role(Standard::Readonly), Inviter::Gone] {
            assert!(matches!(accept(Standing::Open, "anna@example.com", &lost), Err(Refused::InviterLost(_))));
        }
        for over in [Standing::Expired, Standing::Accepted, Standing::Declined, Standing::Withdrawn] {
            let refused = accept(over, "anna@example.com", &Inviter::Operator);
            assert_eq!(refused, Err(Refused::Over(over.as_str())));
        }
        let none = Rules { invite: false, ..rules };
        let refused = may_accept(Standing::Open, &anna, &anna, &member, &Inviter::Operator, &none);
        assert_eq!(refused, Err(Refused::Plan(Rules::INVITE)));
    }

    #[test]
    fn it_is_sent_a_few_times_and_not_at_once_again() {
        assert_eq!(may_send(Standing::Open, 1, at(0), at(60)), Ok(()));
        assert_eq!(may_send(Standing::Expired, 1, at(0), at(60)), Ok(()));
        assert!(may_send(Standing::Open, 1, at(0), at(59)).is_err());
        assert!(may_send(Standing::Open, SENDS, at(0), at(600)).is_err());
        assert!(may_send(Standing::Accepted, 1, at(0), at(600)).is_err());
        assert_eq!(Standing::at(at(0), at(1), Invited::Pending), Standing::Open);
        assert_eq!(Standing::at(at(1), at(1), Invited::Pending), Standing::Expired);
        assert_eq!(Standing::at(at(2), at(1), Invited::Accepted), Standing::Accepted);
    }
}
