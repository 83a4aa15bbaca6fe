//! The server's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, 7677, 5929), without input and output.
//!
//! As PostgreSQL does it: the name in the first message is ignored, since the start has it. INVARIANT: a proof that cannot
//! be right takes the same way as one that could, up to the last comparison, which takes the same time.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

use super::Why;
use super::verifier::{Candidates, Verifier};

/// The longest message of a client, in bytes.
pub(super) const LONGEST: usize = 2048;

const PLAIN: &str = "SCRAM-SHA-256";
const PLUS: &str = "SCRAM-SHA-256-PLUS";
const END_POINT: &str = "tls-server-end-point";

/// Why it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ScramError {
    /// A message is not what it must be.
    #[error("malformed SCRAM message: {0}")]
    Malformed(&'static str),
    /// The client wants more than SCRAM has here.
    #[error("not supported: {0}")]
    Unsupported(&'static str),
    /// The channel binding does not fit.
    #[error("channel binding: {0}")]
    Binding(&'static str),
    /// The proof is wrong.
    #[error("the proof is wrong: {0}")]
    Proof(Why),
}

use ScramError::{Binding, Malformed, Unsupported};

/// What can be offered on this connection: with binding to its TLS, or without.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer<'a> {
    /// The hash of our certificate.
    pub end_point: Option<&'a [u8]>,
}

impl Offer<'_> {
    /// The mechanisms, the best first.
    pub(super) const fn mechanisms(self) -> &'static [&'static str] {
        match self.end_point {
            Some(_) => &[PLUS, PLAIN],
            None => &[PLAIN],
        }
    }
}

/// Between our challenge and the client's proof.
pub(super) struct Exchange {
    candidates: Candidates,
    /// The client's first message without its head.
    bare: String,
    challenge: String,
    nonce: String,
    /// What the client must repeat, in base 64.
    binding: String,
    is_bound: bool,
}

/// Takes the client's first message. `nonce` is ours: printable, without a comma, and never used before.
pub(super) fn begin(
    candidates: Candidates,
    offer: Offer<'_>,
    mechanism: &[u8],
    message: &[u8],
    nonce: &str,
) -> Result<Exchange, ScramError> {
    let bound = match (mechanism, offer.end_point) {
        (mechanism, Some(end_point)) if mechanism == PLUS.as_bytes() => Some(end_point),
        (mechanism, _) if mechanism == PLAIN.as_bytes() => None,
        _ => return Err(Malformed("the mechanism was not offered")),
    };
    let message = text(message)?;
    let mut parts = message.splitn(3, ',');
    let (Some(flag), Some(identity), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Malformed("the first message is too short"));
    };
    let binding: &[u8] = match (flag, bound) {
        ("n" | "y", Some(_)) => return Err(Malformed("the mechanism binds to a channel and the message does not")),
        // The client could bind, and was made to believe that we cannot.
        ("y", None) if offer.end_point.is_some() => {
            return Err(Binding("the client takes us for a server without it, and it was offered"));
        }
        ("n" | "y", None) => &[],
        (flag, bound) => match (flag.strip_prefix("p="), bound) {
            (Some(_), None) => return Err(Malformed("the message binds to a channel and the mechanism does not")),
            (Some(END_POINT), Some(end_point)) => end_point,
            (Some(_), Some(_)) => return Err(Malformed("the kind of channel binding is not known")),
            (None, _) => return Err(Malformed("the flag of channel binding is not known")),
        },
    };
    if !identity.is_empty() {
        return Err(match identity.strip_prefix("a=") {
            Some(_) => Unsupported("the client gives another identity to act for"),
            None => Malformed("the head of the first message"),
        });
    }
    if bare.starts_with("m=") {
        return Err(Unsupported("the client needs an extension of SCRAM"));
    }
    let mut attributes = bare.split(',');
    attribute(attributes.next(), 'n')?;
    let theirs = attribute(attributes.next(), 'r')?;
    if theirs.is_empty() || !theirs.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Malformed("the nonce"));
    }
    extensions(attributes)?;
    let binding = STANDARD.encode([flag.as_bytes(), b",,", binding].concat());
    let Some(Verifier { iterations, salt, .. }) = candidates.verifiers.first() else {
        return Err(ScramError::Proof(Why::NoVerifier));
    };
    let nonce = format!("{theirs}{nonce}");
    let challenge = format!("r={nonce},s={salt},i={iterations}");
    Ok(Exchange { bare: bare.to_owned(), challenge, nonce, binding, is_bound: bound.is_some(), candidates })
}

impl Exchange {
    /// What the client is sent.
    pub(super) fn challenge(&self) -> &str {
        &self.challenge
    }

    /// Takes the client's last message, and gives what proves us to the client.
    pub(super) fn finish(self, message: &[u8]) -> Result<String, ScramError> {
        let message = text(message)?;
        let (unproven, proof) = message.rsplit_once(",p=").ok_or(Malformed("the last message has no proof"))?;
        let mut attributes = unproven.split(',');
        if attribute(attributes.next(), 'c')? != self.binding {
            return Err(if self.is_bound {
                Binding("the client is bound to another channel")
            } else {
                Malformed("the head of the first message is not repeated")
            });
        }
        if attribute(attributes.next(), 'r')? != self.nonce {
            return Err(Malformed("the nonce is not the one of this login"));
        }
        extensions(attributes)?;
        let proof = Zeroizing::new(STANDARD.decode(proof).map_err(|_| Malformed("the proof"))?);
        if proof.len() != digest::SHA256_OUTPUT_LEN {
            return Err(Malformed("the proof"));
        }
        let said = format!("{},{},{unproven}", self.bare, self.challenge);
        // All of them are tried, so that the time does not tell which one it was.
        let mut signed = String::new();
        for verifier in &self.candidates.verifiers {
            if bool::from(is_proven(verifier, &said, &proof)) {
                signed = format!("v={}", STANDARD.encode(sign(verifier.server.as_slice(), &said)));
            }
        }
        match self.candidates.doomed {
            None if !signed.is_empty() => Ok(signed),
            doomed => Err(ScramError::Proof(doomed.unwrap_or(Why::Wrong))),
        }
    }
}

/// The client's key is what makes its signature the proof; its hash is what we keep.
fn is_proven(verifier: &Verifier, said: &str, proof: &[u8]) -> Choice {
    let signature = sign(verifier.stored.as_slice(), said);
    let key: Zeroizing<Vec<u8>> = Zeroizing::new(signature.as_ref().iter().zip(proof).map(|(a, b)| a ^ b).collect());
    digest::digest(&digest::SHA256, &key).as_ref().ct_eq(verifier.stored.as_slice())
}

fn sign(key: &[u8], said: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), said.as_bytes())
}

fn text(message: &[u8]) -> Result<&str, ScramError> {
    match std::str::from_utf8(message) {
        Ok("") => Err(Malformed("it is empty")),
        Ok(text) if text.len() <= LONGEST && !text.contains('\0') => Ok(text),
        Ok(_) => Err(Malformed("it is too long, or holds a zero")),
        Err(_) => Err(Malformed("it is not UTF-8")),
    }
}

/// The value of the attribute that must be here.
fn attribute(part: Option<&str>, letter: char) -> Result<&str, ScramError> {
    let value = part.and_then(|part| part.strip_prefix(letter)).and_then(|part| part.strip_prefix('='));
    value.ok_or(Malformed("an attribute is missing"))
}

/// Attributes that nobody knows yet are skipped, as long as they look like some. A proof is none of them.
fn extensions<'a>(parts: impl Iterator<Item = &'a str>) -> Result<(), ScramError> {
    for part in parts {
        match part.as_bytes() {
            [letter, b'=', ..] if letter.is_ascii_alphabetic() && *letter != b'p' => {}
            _ => return Err(Malformed("an attribute is not one")),
        }
    }
    Ok(())
}
