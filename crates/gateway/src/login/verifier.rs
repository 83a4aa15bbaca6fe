//! What a password is compared with, and what stands in for it where there is none.

use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret as _;
use tenantry_domain::Timestamp;
use zeroize::Zeroizing;

use super::Why;
use crate::table;

/// What PostgreSQL uses, and so do all verifiers that are made for logins.
const ITERATIONS: u32 = 4096;
const SALT: usize = 16;

/// `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`, read (RFC 5803).
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Verifier {
    pub iterations: u32,
    /// In base 64, as it is sent.
    pub salt: String,
    pub stored: Zeroizing<[u8; 32]>,
    pub server: Zeroizing<[u8; 32]>,
}

impl Verifier {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (parameters, keys) = text.strip_prefix("SCRAM-SHA-256$")?.split_once('$')?;
        let (iterations, salt) = parameters.split_once(':')?;
        let (stored, server) = keys.split_once(':')?;
        let iterations = iterations.parse().ok().filter(|count| *count > 0)?;
        STANDARD.decode(salt).ok().filter(|salt| (1..=64).contains(&salt.len()))?;
        Some(Self { iterations, salt: salt.to_owned(), stored: key(stored)?, server: key(server)? })
    }
}

fn key(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
    let mut key = Zeroizing::new([0; 32]);
    if bytes.len() != key.len() {
        return None;
    }
    key.copy_from_slice(&bytes);
    Some(key)
}

/// The verifiers that one conversation can be held about. They differ in nothing that the client is told.
pub(super) struct Candidates {
    /// Never empty.
    pub verifiers: Vec<Verifier>,
    /// Why no proof is good enough, if so.
    pub doomed: Option<Why>,
}

impl Candidates {
    /// The login's, the newest first. SCRAM tells the salt before it knows the password, so that of two passwords only
    /// those with the same salt can both be valid; the newest decides.
    pub(super) fn of(known: Option<&[table::Verifier]>, name: &str, now: Timestamp, mock: &Mock) -> Self {
        let Some(known) = known else { return mock.candidates(name, Why::Unknown) };
        let valid = known.iter().filter(|verifier| verifier.until.is_none_or(|until| now < until));
        let mut verifiers: Vec<_> = valid.filter_map(|known| Verifier::parse(known.text.expose_secret())).collect();
        let Some(newest) = verifiers.first().cloned() else { return mock.candidates(name, Why::NoVerifier) };
        verifiers.retain(|other| other.salt == newest.salt && other.iterations == newest.iterations);
        Self { verifiers, doomed: None }
    }
}

/// Makes up verifiers for names that nobody has, always the same for a name.
pub struct Mock(hmac::Key);

impl Mock {
    /// With a secret that all gateways of an installation share, so that a name has the same salt on each of them and
    /// after a restart.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// With a secret of this process.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn random() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut secret = Zeroizing::new([0; 32]);
        rand::fill(secret.as_mut_slice())?;
        Ok(Self::new(&secret))
    }

    fn candidates(&self, name: &str, why: Why) -> Candidates {
        let salt = self.bytes(b"salt", name);
        let salt = STANDARD.encode(salt.get(..SALT).unwrap_or_default());
        let (stored, server) = (self.bytes(b"stored", name), self.bytes(b"server", name));
        Candidates { verifiers: vec![Verifier { iterations: ITERATIONS, salt, stored, server }], doomed: Some(why) }
    }

    fn bytes(&self, purpose: &[u8], name: &str) -> Zeroizing<[u8; 32]> {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"tenantry gateway mock 1");
        context.update(purpose);
        context.update(&[0]);
        context.update(name.as_bytes());
        let mut bytes = Zeroizing::new([0; 32]);
        bytes.copy_from_slice(context.sign().as_ref());
        bytes
    }
}
