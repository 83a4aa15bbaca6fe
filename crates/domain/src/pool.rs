//! A tenant's own pool of users at an identity provider: what should be there, and the next thing to do about it.
//!
//! INVARIANT: accounts are taken away for a deleted tenant only. A plan that no longer promises a pool, a suspension and an
//! archive all leave it in place.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plan::terms::{SecondFactor, SignIn, Terms};
use crate::tenant::lifecycle::Phase;

/// How people may sign in to a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Setup {
    /// By address and password.
    pub password: bool,
    /// By a link that is mailed to them.
    pub email_link: bool,
    /// What they show besides.
    pub second_factor: SecondFactor,
}

impl Setup {
    /// What a plan's terms say. Without any word of theirs it is address and password.
    #[must_use]
    pub fn of(terms: &Terms) -> Self {
        let has = |way| terms.sign_in.as_ref().is_some_and(|ways| ways.contains(&way));
        Self {
            password: terms.sign_in.is_none() || has(SignIn::Password),
            email_link: has(SignIn::EmailLink),
            second_factor: terms.second_factor.unwrap_or(SecondFactor::Off),
        }
    }
}

/// How a pool stands, as far as we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// It should exist, and is not known to.
    Wanted,
    /// People sign in.
    Enabled,
    /// It exists, and nobody signs in.
    Disabled,
    /// It is gone, with its accounts.
    Deleted,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Wanted, Self::Enabled, Self::Disabled, Self::Deleted];

    /// The word in columns and documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wanted => "wanted",
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Deleted => "deleted",
        }
    }
}

/// The text is none of the standings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not how a pool stands")]
pub struct UnknownStanding(pub String);

impl std::str::FromStr for Standing {
    type Err = UnknownStanding;
    fn from_str(text: &str) -> Result<Self, UnknownStanding> {
        Self::ALL.into_iter().find(|one| one.as_str() == text).ok_or_else(|| UnknownStanding(text.to_owned()))
    }
}

/// What a tenant's phase asks of its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// People sign in.
    Enabled,
    /// Nobody signs in; accounts are kept.
    Disabled,
    /// No pool, no accounts.
    Gone,
}

impl Wish {
    /// What a phase asks for.
    #[must_use]
    pub const fn of(phase: Phase) -> Self {
        match phase {
            Phase::Active => Self::Enabled,
            Phase::Draft | Phase::Suspended | Phase::Archived => Self::Disabled,
            Phase::Deleted => Self::Gone,
        }
    }
}

/// What the provider says of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Whether people sign in.
    pub is_enabled: bool,
    /// Whether it bears the name that we gave it.
    pub is_named: bool,
    /// How they do.
    pub setup: Setup,
}

/// The next thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// It is as it should be.
    Nothing,
    /// Make it.
    Create,
    /// Bring it to the wish and the setup.
    Change,
    /// Take it away.
    Delete,
}

/// Compares. A tenant that is not served gets no new pool: nobody could sign in to it.
#[must_use]
pub fn next(wish: Wish, setup: &Setup, found: Option<&Found>) -> Act {
    match (wish, found) {
        (Wish::Gone, Some(_)) => Act::Delete,
        (Wish::Enabled, None) => Act::Create,
        (Wish::Gone | Wish::Disabled, None) => Act::Nothing,
        (Wish::Enabled | Wish::Disabled, Some(found)) => {
            let is_right = found.is_named && found.setup == *setup && found.is_enabled == (wish == Wish::Enabled);
            if is_right { Act::Nothing } else { Act::Change }
        }
    }
}

/// How long until the next look, after so many failures in a row: 1 s, doubling, at most a quarter of an hour.
#[must_use]
pub fn pause(failures: u32) -> Duration {
    Duration::from_secs(1_u64 << failures.saturating_sub(1).min(10)).min(Duration::from_secs(15 * 60))
}

/// The name that a pool bears at the provider: a letter and nineteen of `a` to `z` and `2` to `7` (RFC 4648, section 6, in
/// small letters), out of a hash of the tenant's id. A provider that chooses ids by itself lets us find by it what we made
/// and did not write down. 95 bits: among a million pools the odds of two equal names are below 1 in 10^16.
#[must_use]
pub fn label(hash: &[u8; 32]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bits = |place: usize| {
        (0..5).fold(0_usize, |sum, offset| {
            let bit = place * 5 + offset;
            (sum << 1) | usize::from((hash[bit / 8] >> (7 - bit % 8)) & 1)
        })
    };
    std::iter::once('t').chain((0..19).map(|place| char::from(ALPHABET[bits(place)]))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const PASSWORD: Setup = Setup { password: true, email_link: false, second_factor: SecondFactor::Off };

    fn found(is_enabled: bool) -> Found {
        Found { is_enabled, is_named: true, setup: PASSWORD }
    }

    #[test]
    fn the_world_is_brought_to_the_wish_and_stays() {
        for phase in Phase::ALL {
            let wish = Wish::of(phase);
            for seen in [None, Some(found(true)), Some(found(false))] {
                let after = match next(wish, &PASSWORD, seen.as_ref()) {
                    Act::Nothing => seen,
                    Act::Create | Act::Change => Some(found(wish == Wish::Enabled)),
                    Act::Delete => None,
                };
                assert_eq!(next(wish, &PASSWORD, after.as_ref()), Act::Nothing, "{phase} {seen:?}");
                // Accounts are lost in one phase only.
                assert_eq!(seen.is_some() && after.is_none(), phase == Phase::Deleted && seen.is_some(), "{phase}");
            }
        }
    }

    #[test]
    fn setup_and_name_are_put_right() {
        let renamed = Found { is_named: false, ..found(true) };
        assert_eq!(next(Wish::Enabled, &PASSWORD, Some(&renamed)), Act::Change);
        let strict = Setup { second_factor: SecondFactor::Required, ..PASSWORD };
        assert_eq!(next(Wish::Disabled, &strict, Some(&found(false))), Act::Change);
        assert_eq!(next(Wish::Disabled, &PASSWORD, None), Act::Nothing);
    }

    #[test]
    fn terms_say_how_people_sign_in() {
        assert_eq!(Setup::of(&Terms::default()), PASSWORD);
        let terms = Terms {
            sign_in: Some(BTreeSet::from([SignIn::EmailLink])),
            second_factor: Some(SecondFactor::Optional),
            ..Terms::default()
        };
        let setup = Setup::of(&terms);
        assert!(!setup.password && setup.email_link && setup.second_factor == SecondFactor::Optional);
    }

    #[test]
    fn names_fit_the_provider_and_differ_by_any_of_their_bits() {
        let plain = label(&[0; 32]);
        assert_eq!(plain, "taaaaaaaaaaaaaaaaaaa");
        assert_eq!(label(&[0xff; 32]), "t7777777777777777777");
        let mut names = BTreeSet::from([plain]);
        for bit in 0..95 {
            let mut hash = [0; 32];
            hash[bit / 8] |= 0x80 >> (bit % 8);
            assert!(names.insert(label(&hash)), "{bit}");
        }
        assert!(names.iter().all(|name| name.len() == 20));
    }

    #[test]
    fn pauses_grow_and_end() {
        assert_eq!([1, 2, 5, 10, 11, 1_000].map(|failures| pause(failures).as_secs()), [1, 2, 16, 512, 900, 900]);
    }
}
