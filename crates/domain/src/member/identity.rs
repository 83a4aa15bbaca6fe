//! Who a person is: what one issuer calls them, inside one of its pools.
//!
//! INVARIANT: the same subject of two issuers, or of two pools of one issuer, is two people; an e-mail address identifies
//! nobody.

use serde::{Deserialize, Serialize};

/// Why a part of an identity is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must have 1 to {most} visible characters without white space")]
pub struct IdentityError {
    /// The part's bound in bytes.
    pub most: usize,
}

/// A person as an issuer knows them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// The issuer, as its tokens name it in `iss`.
    pub issuer: String,
    /// The pool inside the issuer, such as the tenant of an identity platform; empty where the issuer has one pool only.
    pub pool: String,
    /// What the issuer calls the person, `sub`.
    pub subject: String,
}

impl Identity {
    /// Most bytes of an issuer.
    pub const ISSUER: usize = 512;
    /// Most bytes of a pool.
    pub const POOL: usize = 128;
    /// Most bytes of a subject. OpenID Connect Core, section 2, sets 255.
    pub const SUBJECT: usize = 255;
}

/// Checks a part of an identity.
///
/// # Errors
/// It is empty, too long, or holds something that is not visible ASCII.
pub fn check(text: &str, most: usize) -> Result<String, IdentityError> {
    let is_plain = !text.is_empty() && text.len() <= most && text.bytes().all(|b| b.is_ascii_graphic());
    if is_plain { Ok(text.to_owned()) } else { Err(IdentityError { most }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_visible_and_bounded() {
        assert_eq!(
            check("auth0|5f7c8ec7c33c6c004bbafe82", Identity::SUBJECT).unwrap(),
            "auth0|5f7c8ec7c33c6c004bbafe82"
        );
        for wrong in ["", "a b", "a\n", "\u{430}", &"x".repeat(256)] {
            assert_eq!(check(wrong, 255), Err(IdentityError { most: 255 }), "{wrong:?}");
        }
    }
}
