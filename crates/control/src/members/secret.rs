//! The secret of an invitation's link.
//!
//! It is made of a random nonce and a key of the installation, so that a mail can be written again after a crash although
//! the secret is stored nowhere: the database has the nonce and a keyed hash, and neither leads to the secret.
//! INVARIANT: 256 bits; another environment, invitation or nonce gives another secret.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::{constant_time, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use tenantry_domain::id::InvitationId;
use tenantry_domain::name::EnvironmentName;
use zeroize::Zeroizing;

use crate::deps::Deps;
use crate::refusal::Refusal;

/// Bytes of a secret.
const LENGTH: usize = 32;
/// Characters of an invitation's id.
const ID: usize = 30;

/// The text is no token of an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not the token of an invitation")]
pub struct TokenError;

/// What a link carries: `inv_<id>_<secret>`.
#[derive(Clone)]
pub struct Token {
    pub(super) id: InvitationId,
    secret: Zeroizing<[u8; LENGTH]>,
}

impl FromStr for Token {
    type Err = TokenError;
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let (id, secret) = text.split_at_checked(ID).ok_or(TokenError)?;
        let secret = secret.strip_prefix('_').ok_or(TokenError)?;
        let id = id.parse().map_err(|_| TokenError)?;
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(secret).map_err(|_| TokenError)?);
        let secret = <[u8; LENGTH]>::try_from(bytes.as_slice()).map_err(|_| TokenError)?;
        Ok(Self { id, secret: Zeroizing::new(secret) })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, …)", self.id)
    }
}

impl Token {
    /// That of an invitation.
    pub(super) fn of(deps: &Deps, environment: &EnvironmentName, id: InvitationId, nonce: &[u8; 32]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, deps.token_key());
        let mut context = hmac::Context::with_key(&key);
        context.update(b"invitation\0");
        context.update(environment.as_str().as_bytes());
        context.update(b"\0");
        context.update(id.uuid().as_bytes());
        context.update(nonce);
        let mut secret = Zeroizing::new([0; LENGTH]);
        secret.copy_from_slice(context.sign().as_ref());
        Self { id, secret }
    }

    /// What the database keeps of it.
    pub(super) fn hash(&self, deps: &Deps) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, deps.token_key());
        let mut context = hmac::Context::with_key(&key);
        context.update(b"invitation hash\0");
        context.update(self.secret.as_slice());
        let mut hash = [0; 32];
        hash.copy_from_slice(context.sign().as_ref());
        hash
    }

    /// Whether it is the one that a hash was made of; in a time that does not depend on where they differ.
    pub(super) fn fits(&self, deps: &Deps, hash: &[u8; 32]) -> bool {
        constant_time::verify_slices_are_equal(&self.hash(deps), hash).is_ok()
    }

    /// As the link carries it.
    pub(super) fn text(&self) -> SecretString {
        SecretString::from(format!("{}_{}", self.id, URL_SAFE_NO_PAD.encode(self.secret.as_slice())))
    }
}

/// A fresh nonce.
///
/// # Errors
/// The operating system gives no randomness.
pub(super) fn nonce() -> Result<[u8; 32], Refusal> {
    let mut nonce = [0; 32];
    rand::fill(&mut nonce).map_err(|_| Refusal::NoRandomness)?;
    Ok(nonce)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use super::*;

    #[test]
    fn only_the_whole_form_is_a_token() {
        let id = "inv_01jd8x3v9mfk2t5h7q0w4z6y8c";
        let good = format!("{id}_{}", URL_SAFE_NO_PAD.encode([255; 32]));
        let token: Token = good.parse().unwrap();
        assert_eq!(secrecy::ExposeSecret::expose_secret(&token.text()), good);
        assert!(!format!("{token:?}").contains("____"), "{token:?}");
        let short = format!("{id}_{}", URL_SAFE_NO_PAD.encode([1; 31]));
        let foreign = good.replace("inv_", "usr_");
        for wrong in ["", id, &short, &foreign, &format!("{good}="), &format!("{good}x"), &good.to_uppercase(), "é"] {
            assert!(wrong.parse::<Token>().is_err(), "{wrong}");
        }
    }
}
