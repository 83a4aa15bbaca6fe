//! Domains of a tenant's own: which ones can be had, how ownership is proven, and when a proof is lost. Pure.
//!
//! INVARIANT: a domain names its tenant only while its standing is [`Standing::Verified`]. Only a record with the
//! tenant's own challenge leads there, and an answer that says nothing never leads away.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;

use crate::Timestamp;
use crate::access::host::{BaseDomain, Host, HostError};

/// The label under which a domain's challenge is looked for.
pub const LABEL: &str = "_tenantry-challenge";

/// Longest domain, in characters: a name has 253 (RFC 1035, section 2.3.4), and the challenge's label and its dot must fit
/// before it.
pub const MAX: usize = Host::MAX - LABEL.len() - 1;

/// How many looks in a row must miss a record before its proof is lost.
pub const MISSES: u32 = 3;
/// For how long a record must be missing before its proof is lost.
pub const PATIENCE: SignedDuration = SignedDuration::from_hours(24);

/// A new domain is looked at this often at first.
const EAGER: SignedDuration = SignedDuration::from_secs(10);
/// For how long that lasts.
const EAGER_FOR: SignedDuration = SignedDuration::from_hours(1);
/// The longest time between two looks at a domain that is not verified.
const SELDOM: SignedDuration = SignedDuration::from_hours(6);
/// A verified domain is looked at this often.
const DAILY: SignedDuration = SignedDuration::from_hours(24);
/// While its record is missing, this often: the third miss comes when [`PATIENCE`] is over.
const MISSING: SignedDuration = SignedDuration::from_hours(12);
/// A verified domain whose server did not answer is looked at again after this.
const SILENT: SignedDuration = SignedDuration::from_hours(1);

/// The name of the TXT record that proves a domain.
#[must_use]
pub fn record_name(domain: &str) -> String {
    format!("{LABEL}.{domain}")
}

/// Why a text is no domain that a tenant can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DomainError {
    /// Too long for its challenge to have a name.
    #[error("must have at most {MAX} characters, so that `{LABEL}.` fits before it")]
    Long,
    /// Not in the one form in which domains are compared.
    #[error("must be written in lower case")]
    Case,
    /// Ends in a dot.
    #[error("must be written without the final dot")]
    Dot,
    /// Letters beyond ASCII.
    #[error("must be written in its ASCII form, each international label as `xn--…`")]
    International,
    /// An address.
    #[error("is an address; expected a host name such as `chat.acme.example`")]
    Address,
    /// `localhost`, or a name below it, which every machine takes for itself (RFC 6761, section 6.3).
    #[error("is the machine itself; expected a host name such as `chat.acme.example`")]
    Local,
    /// One label.
    #[error("has one label; expected a host name such as `chat.acme.example`")]
    Single,
    /// Anything else: a scheme, a port, a wildcard, a character that hosts have not.
    #[error("is not a host name such as `chat.acme.example`, without scheme, port or wildcard")]
    Form,
}

/// Checks that a text is a domain in its one form: lower case, ASCII, at least two labels, no final dot, no address.
///
/// # Errors
/// See [`DomainError`].
pub fn check(text: &str) -> Result<(), DomainError> {
    if text.len() > MAX {
        return Err(DomainError::Long);
    }
    if !text.is_ascii() {
        return Err(DomainError::International);
    }
    // Hosts know at most one colon, before a port.
    if text.starts_with('[') || text.matches(':').nth(1).is_some() && !text.contains('/') {
        return Err(DomainError::Address);
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(DomainError::Case);
    }
    if text.len() > 1 && text.ends_with('.') && !text.ends_with("..") {
        return Err(DomainError::Dot);
    }
    if text == "localhost" || text.ends_with(".localhost") {
        return Err(DomainError::Local);
    }
    // A port is part of a host in a request, and never of a domain.
    let host = Host::parse(text).map_err(|error| match error {
        HostError::Address => DomainError::Address,
        _ => DomainError::Form,
    })?;
    if host.as_str() != text {
        return Err(DomainError::Form);
    }
    let mut labels = text.split('.');
    let is_numeric = labels.next_back().is_some_and(|last| !last.bytes().any(|byte| byte.is_ascii_lowercase()));
    match labels.next() {
        None => Err(DomainError::Single),
        Some(_) if is_numeric => Err(DomainError::Form),
        Some(_) => Ok(()),
    }
}

/// The base domain of the installation that a domain is, or is below of; such a name is given by slug and never proven.
#[must_use]
pub fn reserved<'b>(domain: &str, bases: &'b [BaseDomain]) -> Option<&'b BaseDomain> {
    let host = Host::parse(domain).ok()?;
    bases.iter().find(|base| base.below(&host).is_some())
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word in columns and documents.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().copied().find(|word| word.as_str() == text).ok_or(UnknownWord)
            }
        }
    };
}

/// A word that this release does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the word is not known")]
pub struct UnknownWord;

words! {
    /// Whether a domain names its tenant.
    Standing {
        /// Not yet.
        Pending = "pending",
        /// Yes.
        Verified = "verified",
        /// No more: the record went away.
        Lost = "lost",
    }
}

words! {
    /// Why a domain is not proven, or may lose its proof.
    Problem {
        /// There is no such TXT record.
        NoRecord = "noRecord",
        /// There is one, with another value.
        OtherValue = "otherValue",
        /// The name is an alias: what it leads to may be somebody else's.
        Alias = "alias",
        /// No server gave a usable answer.
        NoAnswer = "noAnswer",
        /// The record is right, and the domain cannot be had.
        NotAvailable = "notAvailable",
        /// The domain belongs to the installation.
        Reserved = "reserved",
    }
}

impl Problem {
    /// What it means, for people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::NoRecord => "there is no TXT record of this name",
            Self::OtherValue => "no TXT record of this name has this value",
            Self::Alias => "the name is an alias (CNAME); set the TXT record at the name itself",
            Self::NoAnswer => "no DNS server gave a usable answer; this is tried again",
            Self::NotAvailable => "the domain is not available",
            Self::Reserved => "the domain is a base domain of this installation, or below one",
        }
    }
}

/// What a look at the record gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The record is there, with the tenant's own value.
    Proven,
    /// It is not, for sure.
    Missing(Problem),
    /// That cannot be told.
    Silent,
}

/// How a domain stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// Whether it names its tenant.
    pub standing: Standing,
    /// Since when it stands so.
    pub since: Timestamp,
    /// Looks in a row that missed the record of a verified domain.
    pub missed: u32,
    /// When the first of them was.
    pub missing_since: Option<Timestamp>,
    /// Why it is not proven, or may lose its proof.
    pub problem: Option<Problem>,
}

/// How a domain stands after a look. `is_free` says that no other tenant has proven it; whoever has it keeps it.
#[must_use]
pub fn judge(before: &Proof, answer: Answer, is_free: bool, now: Timestamp) -> Proof {
    let is_verified = before.standing == Standing::Verified;
    let unmissed = Proof { missed: 0, missing_since: None, problem: None, ..*before };
    match answer {
        Answer::Proven if is_verified => unmissed,
        Answer::Proven if is_free => Proof { standing: Standing::Verified, since: now, ..unmissed },
        Answer::Proven => Proof { problem: Some(Problem::NotAvailable), ..unmissed },
        Answer::Silent => Proof { problem: Some(Problem::NoAnswer), ..*before },
        Answer::Missing(problem) if !is_verified => Proof { problem: Some(problem), ..unmissed },
        Answer::Missing(problem) => {
            let missed = before.missed.saturating_add(1);
            let missing_since = before.missing_since.unwrap_or(now);
            if missed >= MISSES && now.duration_since(missing_since) >= PATIENCE {
                return Proof { standing: Standing::Lost, since: now, problem: Some(problem), ..unmissed };
            }
            Proof { missed, missing_since: Some(missing_since), problem: Some(problem), ..*before }
        }
    }
}

/// The time until the next look at a domain that stands so.
#[must_use]
pub fn pause(proof: &Proof, now: Timestamp) -> Duration {
    let pause = match proof.standing {
        Standing::Verified if proof.problem == Some(Problem::NoAnswer) => SILENT,
        Standing::Verified if proof.missing_since.is_some() => MISSING,
        Standing::Verified => DAILY,
        Standing::Pending | Standing::Lost => {
            let age = now.duration_since(proof.since);
            if age < EAGER_FOR { EAGER } else { (age / 8).min(SELDOM) }
        }
    };
    pause.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hours * 3600).unwrap()
    }

    fn proof(standing: Standing) -> Proof {
        Proof { standing, since: at(0), missed: 0, missing_since: None, problem: None }
    }

    const GONE: Answer = Answer::Missing(Problem::NoRecord);

    #[test]
    fn a_domain_has_one_form() {
        for good in ["chat.acme.example", "xn--bcher-kva.example", "a.b", "4.acme.example", "acme.xn--p1ai"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let cases = [
            ("Chat.acme.example", DomainError::Case),
            ("chat.acme.example.", DomainError::Dot),
            ("bücher.example", DomainError::International),
            ("10.0.0.1", DomainError::Address),
            ("::1", DomainError::Address),
            ("[::1]", DomainError::Address),
            ("localhost", DomainError::Local),
            ("acme.localhost", DomainError::Local),
            ("intranet", DomainError::Single),
            ("", DomainError::Form),
            (".", DomainError::Form),
            ("acme.example..", DomainError::Form),
            ("acme..example", DomainError::Form),
            ("acme.example:80", DomainError::Form),
            ("https://acme.example", DomainError::Form),
            ("*.acme.example", DomainError::Form),
            ("_x.acme.example", DomainError::Form),
            ("acme.1", DomainError::Address),
            ("acme.1-2", DomainError::Form),
        ];
        for (bad, why) in cases {
            assert_eq!(check(bad), Err(why), "{bad}");
        }
        let labels = |length: usize| format!("{}b.c", "a.".repeat((length - 3) / 2));
        assert_eq!((labels(MAX).len(), check(&labels(MAX))), (MAX, Ok(())));
        assert_eq!(record_name(&labels(MAX)).len(), Host::MAX);
        assert_eq!(check(&labels(MAX + 2)), Err(DomainError::Long));
    }

    #[test]
    fn what_belongs_to_the_installation_is_reserved() {
        let bases = [BaseDomain::parse("app.example.com").unwrap(), BaseDomain::parse("localhost").unwrap()];
        for taken in ["app.example.com", "acme.app.example.com", "a.b.app.example.com"] {
            assert!(reserved(taken, &bases).is_some(), "{taken}");
        }
        for free in ["example.com", "evil-app.example.com", "app.example.com.evil.net"] {
            assert!(reserved(free, &bases).is_none(), "{free}");
        }
    }

    #[test]
    fn only_the_record_verifies_and_only_a_free_domain() {
        for standing in [Standing::Pending, Standing::Lost] {
            assert_eq!(judge(&proof(standing), Answer::Proven, true, at(1)).standing, Standing::Verified);
            let other = judge(&proof(standing), Answer::Proven, false, at(1));
            assert_eq!((other.standing, other.problem), (standing, Some(Problem::NotAvailable)));
            for answer in [GONE, Answer::Missing(Problem::OtherValue), Answer::Silent] {
                assert_eq!(judge(&proof(standing), answer, true, at(1)).standing, standing, "{answer:?}");
            }
        }
        assert_eq!(judge(&proof(Standing::Verified), Answer::Proven, false, at(1)).standing, Standing::Verified);
    }

    #[test]
    fn a_proof_is_lost_after_three_misses_and_a_day() {
        let first = judge(&proof(Standing::Verified), GONE, true, at(0));
        assert_eq!((first.standing, first.missed), (Standing::Verified, 1));
        // Many looks in one hour do not make a day.
        let eager = (0..10).fold(first, |proof, _| judge(&proof, GONE, true, at(1)));
        assert_eq!(eager.standing, Standing::Verified);
        assert_eq!(judge(&eager, GONE, true, at(24)).standing, Standing::Lost);
        // A day does not make three looks.
        let second = judge(&first, GONE, true, at(30));
        assert_eq!(second.standing, Standing::Verified);
        let third = judge(&second, GONE, true, at(31));
        assert_eq!((third.standing, third.since, third.missed), (Standing::Lost, at(31), 0));
        // Found once in between, and it begins again.
        let found = judge(&second, Answer::Proven, true, at(30));
        assert_eq!((found.missed, found.missing_since, found.problem), (0, None, None));
    }

    #[test]
    fn looks_get_rarer_with_time() {
        let pending = proof(Standing::Pending);
        let seconds: Vec<_> = [0, 1, 8, 24, 240].iter().map(|hours| pause(&pending, at(*hours)).as_secs()).collect();
        assert_eq!(seconds, [10, 450, 3600, 3 * 3600, 6 * 3600]);
        let verified = proof(Standing::Verified);
        assert_eq!(pause(&verified, at(9)).as_secs(), 24 * 3600);
        assert_eq!(pause(&judge(&verified, GONE, true, at(9)), at(9)).as_secs(), 12 * 3600);
        assert_eq!(pause(&judge(&verified, Answer::Silent, true, at(9)), at(9)).as_secs(), 3600);
    }

    proptest! {
        #[test]
        fn silence_never_takes_a_proof_away(hours in 0_i64..10_000, missed in 0_u32..10, since in 0_i64..10_000) {
            let missing_since = (missed > 0).then(|| at(since));
            let before = Proof { missed, missing_since, ..proof(Standing::Verified) };
            let after = judge(&before, Answer::Silent, true, at(hours));
            prop_assert_eq!((after.standing, after.missed), (Standing::Verified, missed));
        }

        #[test]
        fn no_text_panics_and_what_passes_is_a_host_of_the_same_form(text in ".{0,300}|[a-zA-Z0-9.:-]{0,40}") {
            if check(&text).is_ok() {
                let host = Host::parse(&text).unwrap();
                prop_assert_eq!(host.as_str(), text.as_str());
            }
        }
    }
}
