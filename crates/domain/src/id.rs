//! Typed, prefixed, time-ordered identifiers.
//!
//! Text form: `<prefix>_<26 characters>`, the characters being the 128 bits of a UUID in Crockford base 32,
//! lower case, most significant bits first (the TypeID notation, <https://github.com/jetify-com/typeid>).
//! In tables and on the data plane the same id is a plain `uuid`. Minting needs a clock and randomness and
//! therefore happens in `control`; here an id can only be read, written and compared.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Why a text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The part before `_` names another kind of thing (or nothing).
    #[error("expected an id that starts with `{expected}_`")]
    Prefix {
        /// The prefix of the wanted kind.
        expected: &'static str,
    },
    /// The part after `_` is not 26 characters of the lower-case alphabet, or overflows 128 bits.
    #[error("the part after `{expected}_` must be 26 characters of 0-9 a-z without i, l, o, u")]
    Suffix {
        /// The prefix of the wanted kind.
        expected: &'static str,
    },
}

pub(crate) fn encode(prefix: &str, id: Uuid) -> String {
    let bits = id.as_u128();
    let mut text = String::with_capacity(prefix.len() + 27);
    text.push_str(prefix);
    text.push('_');
    for place in (0..26).rev() {
        let digit = (bits >> (place * 5)) & 31;
        text.push(char::from(ALPHABET[digit as usize]));
    }
    text
}

pub(crate) fn decode(prefix: &'static str, text: &str) -> Result<Uuid, IdError> {
    let suffix = text
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'))
        .ok_or(IdError::Prefix { expected: prefix })?;
    let bad = IdError::Suffix { expected: prefix };
    let bytes = suffix.as_bytes();
    // 26 digits carry 130 bits: the first may only hold three.
    if bytes.len() != 26 || bytes[0] > b'7' {
        return Err(bad);
    }
    let mut bits: u128 = 0;
    for byte in bytes {
        let digit = ALPHABET.iter().position(|known| known == byte).ok_or(bad.clone())?;
        bits = (bits << 5) | digit as u128;
    }
    Ok(Uuid::from_u128(bits))
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// The kind's prefix, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Takes a UUID that is already known to name such a thing (a table's column, a freshly minted one).
            #[must_use]
            pub const fn from_uuid(id: Uuid) -> Self {
                Self(id)
            }

            /// The id as tables store it.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&encode($prefix, self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&encode($prefix, self.0))
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                decode($prefix, text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// A tenant. Immutable through rename, move, archive and restore.
    TenantId = "ten";
    /// A request for long work, as its caller follows it.
    OperationId = "op";
    /// One run of a workflow definition.
    WorkflowId = "wf";
    /// One version of an app on its way to its targets.
    RolloutId = "rol";
    /// A fact in the outbox.
    EventId = "evt";
    /// An endpoint of webhooks.
    WebhookId = "whe";
    /// A bearer token (its public part).
    TokenId = "tok";
    /// A person, as one issuer knows them.
    UserId = "usr";
    /// An invitation to a tenant.
    InvitationId = "inv";
    /// Emergency access to one tenant.
    GrantId = "bg";
    /// Somebody's word that somebody else may do something.
    ApprovalId = "apv";
    /// A part of a quota that is set aside.
    ReservationId = "rsv";
    /// Something that is wrong with the service.
    IncidentId = "inc";
    /// Something that somebody is told, by one way.
    NotificationId = "ntf";
    /// One HTTP request or command.
    RequestId = "req";
    /// One running process of the control plane.
    ReplicaId = "rep";
    /// One installation of Tenantry; names on shared servers are derived from it.
    InstallationId = "ins";
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_form_round_trips(bits: u128) {
            let id = TenantId::from_uuid(Uuid::from_u128(bits));
            prop_assert_eq!(id.to_string().parse::<TenantId>(), Ok(id));
            prop_assert_eq!(id.to_string().len(), 30);
        }

        #[test]
        fn text_order_is_bit_order(a: u128, b: u128) {
            let (x, y) = (TenantId::from_uuid(Uuid::from_u128(a)), TenantId::from_uuid(Uuid::from_u128(b)));
            prop_assert_eq!(x.to_string().cmp(&y.to_string()), a.cmp(&b));
        }

        #[test]
        fn any_text_is_refused_or_round_trips(text in "\\PC{0,40}") {
            if let Ok(id) = text.parse::<TenantId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn another_kinds_id_is_refused() {
        let id = OperationId::from_uuid(Uuid::from_u128(7));
        assert_eq!(id.to_string().parse::<TenantId>(), Err(IdError::Prefix { expected: "ten" }));
        for text in [
            "ten_",
            "ten_8zzzzzzzzzzzzzzzzzzzzzzzzz",
            "ten_0000000000000000000000000U",
            "TEN_00000000000000000000000000",
        ] {
            assert!(text.parse::<TenantId>().is_err(), "{text}");
        }
    }
}
