//! Endpoints of webhooks: whose they are, what they want to hear, and how they stand.
//!
//! Where an endpoint is, and how it is reached, is decided beside the socket (crate `tenantry-webhooks`). Field names in
//! complaints are those of the public contract.
//! INVARIANT: an endpoint of a tenant hears of that tenant alone.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Timestamp;
use crate::code::FieldError;
use crate::event::Type;
use crate::id::TenantId;
use crate::name::RegionName;

/// Endpoints that a tenant may have.
pub const MOST_OF_TENANT: i64 = 50;
/// Endpoints of its own that an environment may have. Each is compared with every event of the environment.
pub const MOST_OF_ENVIRONMENT: i64 = 200;
/// Version of the payloads that a new endpoint gets.
pub const PAYLOAD: i16 = 1;
/// Live secrets of an endpoint: the newest and the one before.
pub const LIVE_KEYS: usize = 2;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$each])* #[serde(rename = $text)] $variant),* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word in documents and tables.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;
            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().copied().find(|word| word.as_str() == text).ok_or(UnknownWord)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

/// The text is none of the words that are known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a known word")]
pub struct UnknownWord;

words! {
    /// How deliveries are signed.
    Scheme {
        /// HMAC-SHA256 with a secret that both sides have; every library of Standard Webhooks verifies it.
        Hmac = "hmac",
        /// Ed25519: the receiver has the public key only, and could not sign itself.
        Ed25519 = "ed25519",
    }
}

words! {
    /// How an endpoint stands.
    Standing {
        /// Events are sent to it.
        Active = "active",
        /// Nothing is sent to it and nothing is kept for it.
        Disabled = "disabled",
    }
}

words! {
    /// Why an endpoint is disabled.
    Why {
        /// Somebody wanted it.
        Asked = "asked",
        /// It answered 410: it is gone and wants nothing more.
        Gone = "gone",
        /// Nothing but failures, for days.
        Failing = "failing",
    }
}

words! {
    /// Why a delivery was given up.
    Cause {
        /// All attempts failed.
        Attempts = "attempts",
        /// The endpoint was disabled before it was delivered.
        Disabled = "disabled",
        /// The endpoint's address is not allowed any more.
        Refused = "refused",
    }
}

/// Which types of events: one (`tenant.created`), all of a noun (`tenant.*`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(String);

/// The text names no type of events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no type of events; write one such as `tenant.created`, or `tenant.*` for all of a noun")]
pub struct PatternError(String);

impl Pattern {
    /// Reads a pattern. One that no event of this release could have is refused, for it is a slip of the pen.
    ///
    /// # Errors
    /// It is not of the form, or meets no type.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let pattern = Self(text.to_owned());
        if Type::ALL.iter().any(|kind| pattern.meets(*kind)) { Ok(pattern) } else { Err(PatternError(clipped(text))) }
    }

    /// A pattern as it was stored; types may have been renamed since.
    #[must_use]
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it means a type.
    #[must_use]
    pub fn meets(&self, kind: Type) -> bool {
        let name = kind.as_str();
        match self.0.strip_suffix(".*") {
            Some(noun) => name.split('.').next() == Some(noun),
            None => name == self.0,
        }
    }
}

fn clipped(text: &str) -> String {
    text.chars().take(60).collect()
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// What an endpoint wants, apart from its address and its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Terms {
    /// For people; absent for nothing to say.
    pub description: Option<String>,
    /// Types of events; empty for all, those of later releases included.
    pub types: Vec<Pattern>,
    /// Only events of these tenants, and none of the environment itself; absent for all. Not for a tenant's endpoint.
    pub only: Option<Vec<TenantId>>,
    /// Whether the events of one tenant are sent strictly in their order, each once the one before is through.
    pub fifo: bool,
    /// The most attempts a second; absent for no bound.
    pub rate: Option<u32>,
    /// The most requests at a time.
    pub concurrency: u16,
    /// The region in which the receiver is, as its owner says; absent when nobody says. The operator's rules about residency
    /// ask for it.
    pub region: Option<RegionName>,
}

impl Terms {
    /// Requests at a time unless somebody says otherwise.
    pub const CONCURRENCY: u16 = 16;
    /// The most requests at a time that can be asked for.
    pub const MOST_CONCURRENCY: u16 = 64;
    /// The highest bound on attempts a second.
    pub const MOST_RATE: u32 = 10_000;
    /// Types that can be listed.
    pub const MOST_TYPES: usize = 100;
    /// Tenants that can be listed.
    pub const MOST_TENANTS: usize = 1000;
    /// The longest description, in characters.
    pub const LONGEST_DESCRIPTION: usize = 200;

    /// What is wrong with them.
    #[must_use]
    pub fn check(&self, is_of_tenant: bool) -> Vec<FieldError> {
        let mut wrong = Vec::new();
        let mut add = |field: &str, message: String| wrong.push(FieldError::new(field, message));
        if self.description.as_ref().is_some_and(|text| text.chars().count() > Self::LONGEST_DESCRIPTION) {
            add("description", format!("must have at most {} characters", Self::LONGEST_DESCRIPTION));
        }
        if self.types.len() > Self::MOST_TYPES {
            add("types", format!("must name at most {}; `noun.*` means all of a noun", Self::MOST_TYPES));
        }
        if let Some(only) = &self.only {
            if is_of_tenant {
                add("only", "cannot stand beside `tenant`: the endpoint hears of that tenant alone".to_owned());
            } else if !(1..=Self::MOST_TENANTS).contains(&only.len()) {
                add("only", format!("must name 1 to {} tenants", Self::MOST_TENANTS));
            }
        }
        if self.rate.is_some_and(|rate| !(1..=Self::MOST_RATE).contains(&rate)) {
            add("rate", format!("must be between 1 and {} a second", Self::MOST_RATE));
        }
        if !(1..=Self::MOST_CONCURRENCY).contains(&self.concurrency) {
            add("concurrency", format!("must be between 1 and {}", Self::MOST_CONCURRENCY));
        }
        wrong
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            description: None,
            types: Vec::new(),
            only: None,
            fifo: false,
            rate: None,
            concurrency: Self::CONCURRENCY,
            region: None,
        }
    }
}

/// For how long the old secret signs beside the new one unless somebody says otherwise.
pub const OVERLAP: SignedDuration = SignedDuration::from_hours(24);
/// The longest such time.
pub const LONGEST_OVERLAP: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Until when the old secret signs after a rotation at `now`.
///
/// # Errors
/// The overlap is negative or longer than [`LONGEST_OVERLAP`].
pub fn old_until(now: Timestamp, overlap: Option<SignedDuration>) -> Result<Timestamp, FieldError> {
    let overlap = overlap.unwrap_or(OVERLAP);
    let wrong = || FieldError::new("overlap", "must be between `0s` and `7d`");
    if overlap.is_negative() || overlap > LONGEST_OVERLAP {
        return Err(wrong());
    }
    now.checked_add(overlap).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_one_type_or_all_of_a_noun() {
        let noun = Pattern::parse("tenant.*").unwrap();
        assert!(noun.meets(Type::TenantCreated) && !noun.meets(Type::OperationStarted));
        let login = Pattern::parse("gateway.*").unwrap();
        assert!(login.meets(Type::GatewayLoginCreated));
        let one = Pattern::parse("tenant.created").unwrap();
        assert!(one.meets(Type::TenantCreated) && !one.meets(Type::TenantDeleted));
        for wrong in ["", "*", "tenant", "tenant.", "ten.*", "tenant.create", "gateway.login.*", ".*", "tenant.**"] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn terms_are_bounded() {
        let fields = |terms: &Terms, is_of_tenant| -> Vec<String> {
            terms.check(is_of_tenant).into_iter().map(|error| error.field).collect()
        };
        assert_eq!(fields(&Terms::default(), false), [] as [&str; 0]);
        let wrong = Terms {
            description: Some("x".repeat(201)),
            types: vec![Pattern::stored("tenant.*".into()); 101],
            only: Some(Vec::new()),
            fifo: true,
            rate: Some(0),
            concurrency: 0,
            region: None,
        };
        assert_eq!(fields(&wrong, false), ["description", "types", "only", "rate", "concurrency"]);
        let own = Terms { only: Some(vec![TenantId::from_uuid(uuid::Uuid::nil())]), ..Terms::default() };
        assert_eq!(fields(&own, true), ["only"]);
        assert_eq!(fields(&own, false), [] as [&str; 0]);
    }

    #[test]
    fn two_secrets_live_side_by_side_for_a_week_at_most() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(old_until(now, None).unwrap().as_second(), 24 * 3600);
        assert_eq!(old_until(now, Some(SignedDuration::ZERO)).unwrap(), now);
        assert!(old_until(now, Some(LONGEST_OVERLAP)).is_ok());
        assert!(old_until(now, Some(LONGEST_OVERLAP + SignedDuration::from_secs(1))).is_err());
        assert!(old_until(now, Some(SignedDuration::from_secs(-1))).is_err());
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for scheme in Scheme::ALL {
            assert_eq!(scheme.as_str().parse(), Ok(*scheme));
            assert_eq!(serde_json::to_value(scheme).unwrap(), scheme.as_str());
        }
        assert_eq!("rsa".parse::<Scheme>(), Err(UnknownWord));
    }
}
