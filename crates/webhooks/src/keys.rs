//! Secrets and signatures of Standard Webhooks 1.0 (<https://www.standardwebhooks.com>).
//!
//! What is signed is `{id}.{timestamp}.{body}`, byte for byte. `v1` is HMAC-SHA256 under a secret that both sides have
//! (`whsec_` and base64), `v1a` is ed25519: `whsk_` is the private seed, `whpk_` the public key. The header has one signature
//! per live key, separated by spaces, so that a receiver may change over at any moment of an overlap.
//! INVARIANT: an id has no `.`, for that would let one message pass for another.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use zeroize::Zeroizing;

/// In front of a secret of HMAC.
pub const HMAC_PREFIX: &str = "whsec_";
/// In front of a private key of ed25519.
pub const PRIVATE_PREFIX: &str = "whsk_";
/// In front of a public key of ed25519.
pub const PUBLIC_PREFIX: &str = "whpk_";

/// Bytes of an HMAC secret, the fewest and the most.
pub const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Bytes of an ed25519 seed, and of a public key.
pub const SEED_BYTES: usize = 32;

/// Why a key is none, or a message cannot be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The prefix is not known.
    #[error("a secret begins with `whsec_`, a private key with `whsk_`, a public key with `whpk_`")]
    Prefix,
    /// What follows is not base64.
    #[error("what follows the prefix is not base64")]
    Encoding,
    /// There are too few or too many bytes.
    #[error("a secret has 24 to 64 bytes, a key of ed25519 32")]
    Length,
    /// An id that could be taken for the beginning of another message.
    #[error("the id is empty, longer than 256 bytes, or has something other than a-z, A-Z, 0-9, `_` and `-`")]
    Id,
}

enum Inner {
    Hmac { key: hmac::Key, bytes: Zeroizing<Vec<u8>> },
    Ed25519 { pair: Box<Ed25519KeyPair>, seed: Zeroizing<[u8; SEED_BYTES]> },
}

/// A key that signs.
pub struct Key(Inner);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Inner::Hmac { .. } => "Key(hmac, …)",
            Inner::Ed25519 { .. } => "Key(ed25519, …)",
        })
    }
}

impl Key {
    /// An HMAC key of 24 to 64 bytes.
    ///
    /// # Errors
    /// [`KeyError::Length`].
    pub fn hmac(bytes: &[u8]) -> Result<Self, KeyError> {
        if !SECRET_BYTES.contains(&bytes.len()) {
            return Err(KeyError::Length);
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        Ok(Self(Inner::Hmac { key, bytes: Zeroizing::new(bytes.to_vec()) }))
    }

    /// An ed25519 key of its seed (RFC 8032, the private key).
    ///
    /// # Errors
    /// [`KeyError::Length`].
    pub fn ed25519(seed: &[u8; SEED_BYTES]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Length)?;
        Ok(Self(Inner::Ed25519 { pair: Box::new(pair), seed: Zeroizing::new(*seed) }))
    }

    /// Reads `whsec_…` or `whsk_…`.
    ///
    /// # Errors
    /// It is neither, or not of the right length.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let decode = |text: &str| STANDARD.decode(text).map(Zeroizing::new).map_err(|_| KeyError::Encoding);
        if let Some(rest) = text.strip_prefix(HMAC_PREFIX) {
            return Self::hmac(&decode(rest)?);
        }
        let rest = text.strip_prefix(PRIVATE_PREFIX).ok_or(KeyError::Prefix)?;
        let bytes = decode(rest)?;
        let seed: Zeroizing<[u8; SEED_BYTES]> =
            Zeroizing::new(bytes.as_slice().try_into().map_err(|_| KeyError::Length)?);
        Self::ed25519(&seed)
    }

    /// Its text, for the one answer that shows it: `whsec_…` or `whsk_…`.
    #[must_use]
    pub fn text(&self) -> SecretString {
        let (prefix, bytes) = match &self.0 {
            Inner::Hmac { bytes, .. } => (HMAC_PREFIX, bytes.as_slice()),
            Inner::Ed25519 { seed, .. } => (PRIVATE_PREFIX, seed.as_slice()),
        };
        SecretString::from(format!("{prefix}{}", STANDARD.encode(bytes)))
    }

    /// What a receiver verifies with and may be shown again: `whpk_…`; nothing for HMAC, whose secret is the verifier.
    #[must_use]
    pub fn public_text(&self) -> Option<String> {
        match &self.0 {
            Inner::Hmac { .. } => None,
            Inner::Ed25519 { pair, .. } => {
                Some(format!("{PUBLIC_PREFIX}{}", STANDARD.encode(pair.public_key().as_ref())))
            }
        }
    }

    /// One signature, `v1,…` or `v1a,…`.
    fn sign(&self, head: &[u8], body: &[u8]) -> String {
        match &self.0 {
            Inner::Hmac { key, .. } => {
                let mut context = hmac::Context::with_key(key);
                context.update(head);
                context.update(body);
                format!("v1,{}", STANDARD.encode(context.sign()))
            }
            Inner::Ed25519 { pair, .. } => {
                let mut whole = Vec::with_capacity(head.len() + body.len());
                whole.extend_from_slice(head);
                whole.extend_from_slice(body);
                format!("v1a,{}", STANDARD.encode(pair.sign(&whole)))
            }
        }
    }
}

/// What is in front of the body in the signed text.
pub(crate) fn head(id: &str, timestamp: i64) -> Result<Vec<u8>, KeyError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if id.is_empty() || id.len() > 256 || !id.bytes().all(is_plain) {
        return Err(KeyError::Id);
    }
    Ok(format!("{id}.{timestamp}.").into_bytes())
}

/// The live keys of an endpoint, the newest first.
#[derive(Debug)]
pub struct Signer(Vec<Key>);

impl Signer {
    /// Signs with all of these.
    #[must_use]
    pub const fn new(keys: Vec<Key>) -> Self {
        Self(keys)
    }

    /// The value of `webhook-signature` for a message; `timestamp` in seconds since 1970.
    ///
    /// # Errors
    /// [`KeyError::Id`].
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> Result<String, KeyError> {
        let head = head(id, timestamp)?;
        let signatures: Vec<String> = self.0.iter().map(|key| key.sign(&head, body)).collect();
        Ok(signatures.join(" "))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn the_example_of_the_specification_is_signed_alike() {
        // Key, message and signature of the specification's own libraries.
        let key = Key::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signer = Signer::new(vec![key]);
        let signed = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body).unwrap();
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn keys_are_read_as_they_are_written_and_never_printed() {
        let hmac = Key::hmac(&[7; 32]).unwrap();
        let text = hmac.text();
        assert!(text.expose_secret().starts_with("whsec_") && hmac.public_text().is_none());
        assert_eq!(Key::parse(text.expose_secret()).unwrap().text().expose_secret(), text.expose_secret());
        let pair = Key::ed25519(&[9; 32]).unwrap();
        let again = Key::parse(pair.text().expose_secret()).unwrap();
        assert_eq!(again.public_text(), pair.public_text());
        assert!(pair.public_text().unwrap().starts_with("whpk_"));
        assert_eq!(format!("{hmac:?} {pair:?}"), "Key(hmac, …) Key(ed25519, …)");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![1; bytes]));
        assert!(Key::parse(&of(24)).is_ok() && Key::parse(&of(64)).is_ok());
        assert_eq!(Key::parse(&of(23)).unwrap_err(), KeyError::Length);
        assert_eq!(Key::parse(&of(65)).unwrap_err(), KeyError::Length);
        assert_eq!(Key::parse("whsec_!").unwrap_err(), KeyError::Encoding);
        assert_eq!(Key::parse("sec_AAAA").unwrap_err(), KeyError::Prefix);
        assert_eq!(Key::parse(&format!("whsk_{}", STANDARD.encode([1; 31]))).unwrap_err(), KeyError::Length);
        assert_eq!(Key::parse(&format!("whpk_{}", STANDARD.encode([1; 32]))).unwrap_err(), KeyError::Prefix);
    }

    #[test]
    fn an_id_cannot_reach_into_the_rest() {
        let signer = Signer::new(vec![Key::hmac(&[7; 32]).unwrap()]);
        for id in ["", "a.1", "a b", "evt_1\n", "é", &"x".repeat(257)] {
            assert_eq!(signer.sign(id, 1, b"x"), Err(KeyError::Id), "{id}");
        }
        // Without that rule these two would be signed alike.
        assert_ne!(signer.sign("a", 1, b"2.x"), signer.sign("a", 12, b"x"));
    }

    #[test]
    fn every_live_key_signs() {
        let signer = Signer::new(vec![Key::ed25519(&[1; 32]).unwrap(), Key::hmac(&[2; 32]).unwrap()]);
        let signed = signer.sign("evt_1", 5, b"{}").unwrap();
        let words: Vec<&str> = signed.split(' ').collect();
        assert!(words.len() == 2 && words[0].starts_with("v1a,") && words[1].starts_with("v1,"), "{signed}");
    }
}
