//! What a receiver does with a delivery before it believes it. For receivers in Rust, and for our own tests.
//!
//! INVARIANT: a message is believed only if a key of the receiver signed exactly these bytes under exactly this id, not long
//! ago; a signature of one kind never passes for one of the other kind.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::keys::{HMAC_PREFIX, KeyError, PUBLIC_PREFIX, SECRET_BYTES, SEED_BYTES, head};

/// How far the clocks of sender and receiver may be apart, in seconds, unless the receiver says otherwise.
pub const TOLERANCE: i64 = 300;

/// Signatures of a header that are looked at; a sender has two.
const MOST_SIGNATURES: usize = 16;

/// Why a message is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The id could be taken for the beginning of another message.
    #[error("the id of the message is not well formed")]
    Id,
    /// The time is no number of seconds.
    #[error("the timestamp of the message is no number of seconds")]
    Timestamp,
    /// It was signed too long ago: perhaps somebody sends it again.
    #[error("the message is too old")]
    TooOld,
    /// It was signed in the future.
    #[error("the message is from the future")]
    TooNew,
    /// No signature of it is one of the receiver's keys.
    #[error("no signature of the message is valid")]
    Signature,
}

enum Inner {
    Hmac(hmac::Key),
    Ed25519([u8; SEED_BYTES]),
}

/// A receiver's key.
pub struct Verifier(Vec<Inner>);

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({} keys)", self.0.len())
    }
}

impl Verifier {
    /// Takes `whsec_…` and `whpk_…`, several of them for a receiver that changes over.
    ///
    /// # Errors
    /// One of them is no key.
    pub fn parse<'a>(keys: impl IntoIterator<Item = &'a str>) -> Result<Self, KeyError> {
        keys.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Believes a message or does not. `now` in seconds since 1970, `tolerance` in seconds.
    ///
    /// # Errors
    /// See [`VerifyError`]; the message must be thrown away.
    pub fn verify(
        &self,
        (id, timestamp, signatures): (&str, &str, &str),
        body: &[u8],
        now: i64,
        tolerance: i64,
    ) -> Result<(), VerifyError> {
        let is_plain = !timestamp.is_empty() && timestamp.len() <= 15 && timestamp.bytes().all(|b| b.is_ascii_digit());
        let at: i64 = if is_plain { timestamp.parse().unwrap_or(-1) } else { -1 };
        if at < 0 {
            return Err(VerifyError::Timestamp);
        }
        let age = now.saturating_sub(at);
        if age > tolerance {
            return Err(VerifyError::TooOld);
        }
        if age < -tolerance {
            return Err(VerifyError::TooNew);
        }
        let mut signed = head(id, at).map_err(|_| VerifyError::Id)?;
        signed.extend_from_slice(body);
        let is_signed = signatures.split(' ').take(MOST_SIGNATURES).any(|signature| self.knows(signature, &signed));
        if is_signed { Ok(()) } else { Err(VerifyError::Signature) }
    }

    fn knows(&self, signature: &str, signed: &[u8]) -> bool {
        let Some((version, text)) = signature.split_once(',') else { return false };
        let Ok(bytes) = STANDARD.decode(text) else { return false };
        self.0.iter().any(|key| match (key, version) {
            (Inner::Hmac(key), "v1") => hmac::verify(key, signed, &bytes).is_ok(),
            (Inner::Ed25519(key), "v1a") => UnparsedPublicKey::new(&ED25519, key).verify(signed, &bytes).is_ok(),
            _ => false,
        })
    }
}

fn read(text: &str) -> Result<Inner, KeyError> {
    let decode = |text: &str| STANDARD.decode(text).map(Zeroizing::new).map_err(|_| KeyError::Encoding);
    if let Some(rest) = text.strip_prefix(HMAC_PREFIX) {
        let bytes = decode(rest)?;
        if !SECRET_BYTES.contains(&bytes.len()) {
            return Err(KeyError::Length);
        }
        return Ok(Inner::Hmac(hmac::Key::new(hmac::HMAC_SHA256, &bytes)));
    }
    let rest = text.strip_prefix(PUBLIC_PREFIX).ok_or(KeyError::Prefix)?;
    let bytes = decode(rest)?;
    bytes.as_slice().try_into().map(Inner::Ed25519).map_err(|_| KeyError::Length)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::keys::{Key, Signer};

    const NOW: i64 = 1_800_000_000;

    fn sign(key: &Key, id: &str, at: i64, body: &[u8]) -> String {
        let again = Key::parse(key.text().expose_secret()).unwrap();
        Signer::new(vec![again]).sign(id, at, body).unwrap()
    }

    fn check(keys: &[&str], id: &str, at: &str, signature: &str, body: &[u8]) -> Result<(), VerifyError> {
        Verifier::parse(keys.iter().copied()).unwrap().verify((id, at, signature), body, NOW, TOLERANCE)
    }

    #[test]
    fn forged_and_repeated_messages_are_not_believed() {
        let key = Key::hmac(&[3; 32]).unwrap();
        let text = key.text();
        let mine = [text.expose_secret()];
        let at = NOW.to_string();
        let good = sign(&key, "evt_1", NOW, b"{}");
        assert_eq!(check(&mine, "evt_1", &at, &good, b"{}"), Ok(()));
        // The body, the id or the time is another one.
        assert_eq!(check(&mine, "evt_1", &at, &good, b"{} "), Err(VerifyError::Signature));
        assert_eq!(check(&mine, "evt_2", &at, &good, b"{}"), Err(VerifyError::Signature));
        assert_eq!(check(&mine, "evt_1", &(NOW + 1).to_string(), &good, b"{}"), Err(VerifyError::Signature));
        // Old, from the future, at the edge of both.
        for (shift, verdict) in
            [(-301, Err(VerifyError::TooOld)), (-300, Ok(())), (300, Ok(())), (301, Err(VerifyError::TooNew))]
        {
            let signature = sign(&key, "evt_1", NOW + shift, b"{}");
            assert_eq!(check(&mine, "evt_1", &(NOW + shift).to_string(), &signature, b"{}"), verdict, "{shift}");
        }
        for wrong in ["", "-5", "+5", "1e9", " 1800000000", "18000000000000000000", "now"] {
            assert_eq!(check(&mine, "evt_1", wrong, &good, b"{}"), Err(VerifyError::Timestamp), "{wrong}");
        }
        assert_eq!(check(&mine, "evt.1", &at, &good, b"{}"), Err(VerifyError::Id));
        // Somebody else's secret.
        let other = Key::hmac(&[4; 32]).unwrap();
        assert_eq!(check(&mine, "evt_1", &at, &sign(&other, "evt_1", NOW, b"{}"), b"{}"), Err(VerifyError::Signature));
    }

    #[test]
    fn one_kind_of_signature_does_not_pass_for_the_other() {
        let pair = Key::ed25519(&[5; 32]).unwrap();
        let public = pair.public_text().unwrap();
        let at = NOW.to_string();
        let good = sign(&pair, "evt_1", NOW, b"{}");
        assert_eq!(check(&[&public], "evt_1", &at, &good, b"{}"), Ok(()));
        assert_eq!(check(&[&public], "evt_1", &at, &good, b"[]"), Err(VerifyError::Signature));
        assert_eq!(check(&[&public], "evt_1", &at, &good.replace("v1a,", "v1,"), b"{}"), Err(VerifyError::Signature));
        // Whoever signs by HMAC with the public key, which everybody knows, is not believed.
        let forged = Key::parse(&public.replace("whpk_", "whsec_")).unwrap();
        let forged = sign(&forged, "evt_1", NOW, b"{}");
        assert_eq!(check(&[&public], "evt_1", &at, &forged, b"{}"), Err(VerifyError::Signature));
        assert_eq!(check(&[&public], "evt_1", &at, &forged.replace("v1,", "v1a,"), b"{}"), Err(VerifyError::Signature));
    }

    #[test]
    fn a_receiver_may_change_over_at_any_moment_of_an_overlap() {
        let keys = || vec![Key::hmac(&[1; 32]).unwrap(), Key::hmac(&[2; 32]).unwrap()];
        let both = Signer::new(keys()).sign("evt_1", NOW, b"{}").unwrap();
        let at = NOW.to_string();
        for key in keys() {
            assert_eq!(check(&[key.text().expose_secret()], "evt_1", &at, &both, b"{}"), Ok(()));
        }
        // The retired one is not used any more.
        let new_only = Signer::new(keys().into_iter().take(1).collect()).sign("evt_1", NOW, b"{}").unwrap();
        let old = keys().remove(1).text();
        assert_eq!(check(&[old.expose_secret()], "evt_1", &at, &new_only, b"{}"), Err(VerifyError::Signature));
        let flood = format!("{}{both}", "v1,AAAA ".repeat(16));
        assert_eq!(check(&[old.expose_secret()], "evt_1", &at, &flood, b"{}"), Err(VerifyError::Signature));
    }
}
