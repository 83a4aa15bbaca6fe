//! The keys of a JSON Web Key Set (RFC 7517) that signatures may be verified with.
//!
//! INVARIANT: a key verifies one algorithm, which is settled when the key is read; a token cannot choose another.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm as Method, DecodingKey, crypto};
use serde_json::{Map, Value};
use tenantry_domain::access::token::{Algorithm, object};

/// The largest set that is read, in bytes.
pub(super) const MAX_BYTES: usize = 1024 * 1024;
/// The most keys of a set.
const MAX_KEYS: usize = 100;

/// Why a set is not taken; the one before stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum SetError {
    /// No JSON, a key of an object twice, or no list `keys`.
    #[error("the text is no key set")]
    Form,
    /// More keys than are read.
    #[error("the set has more than 100 keys")]
    Many,
    /// None that could verify a token of the issuer.
    #[error("the set has no key for the issuer's algorithms")]
    Useless,
}

/// A key, and the one algorithm that it verifies.
#[derive(Debug)]
pub(super) struct Key {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Key {
    /// Whether the signature is this key's.
    pub(super) fn verifies(&self, algorithm: Algorithm, signed: &str, signature: &str) -> bool {
        algorithm == self.algorithm
            && crypto::verify(signature, signed.as_bytes(), &self.key, method(self.algorithm)).unwrap_or(false)
    }
}

const fn method(algorithm: Algorithm) -> Method {
    match algorithm {
        Algorithm::RS256 => Method::RS256,
        Algorithm::RS384 => Method::RS384,
        Algorithm::RS512 => Method::RS512,
        Algorithm::PS256 => Method::PS256,
        Algorithm::PS384 => Method::PS384,
        Algorithm::PS512 => Method::PS512,
        Algorithm::ES256 => Method::ES256,
        Algorithm::ES384 => Method::ES384,
        Algorithm::EdDSA => Method::EdDSA,
    }
}

/// Keys by their ids.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    keys: BTreeMap<String, std::sync::Arc<Key>>,
    /// Of a set with one key; a token that names no key means it.
    only: Option<std::sync::Arc<Key>>,
}

impl KeySet {
    /// Reads a set. Keys that are for something else, that say too little, or that share their id with another are left
    /// out.
    ///
    /// # Errors
    /// See [`SetError`].
    pub(super) fn parse(bytes: &[u8], allowed: &[Algorithm]) -> Result<Self, SetError> {
        if bytes.len() > MAX_BYTES {
            return Err(SetError::Form);
        }
        let set = object(bytes).ok_or(SetError::Form)?;
        let list = set.get("keys").and_then(Value::as_array).ok_or(SetError::Form)?;
        if list.len() > MAX_KEYS {
            return Err(SetError::Many);
        }
        let (mut keys, mut nameless, mut doubled) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (kid, key) in list.iter().filter_map(Value::as_object).filter_map(|jwk| read(jwk, allowed)) {
            let key = std::sync::Arc::new(key);
            match kid {
                Some(kid) if keys.contains_key(&kid) => doubled.push(kid),
                Some(kid) => drop(keys.insert(kid, key)),
                None => nameless.push(key),
            }
        }
        for kid in doubled {
            keys.remove(&kid);
        }
        let only = match (list.len(), keys.values().chain(&nameless).next()) {
            (1, Some(key)) => Some(std::sync::Arc::clone(key)),
            _ => None,
        };
        if keys.is_empty() && only.is_none() { Err(SetError::Useless) } else { Ok(Self { keys, only }) }
    }

    /// The key with an id; without an id the only key of the set.
    pub(super) fn find(&self, kid: Option<&str>) -> Option<&std::sync::Arc<Key>> {
        match kid {
            Some(kid) => self.keys.get(kid),
            None => self.only.as_ref(),
        }
    }
}

/// A public key for signatures, in one of the issuer's algorithms.
fn read(jwk: &Map<String, Value>, allowed: &[Algorithm]) -> Option<(Option<String>, Key)> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let is_for_signatures = match (jwk.get("use"), jwk.get("key_ops")) {
        (Some(value), _) if value != "sig" => false,
        (_, Some(Value::Array(list))) => list.iter().any(|value| value == "verify"),
        (_, Some(_)) => false,
        _ => true,
    };
    if !is_for_signatures {
        return None;
    }
    let (fitting, key): (Vec<Algorithm>, DecodingKey) = match (text("kty")?, text("crv")) {
        ("RSA", _) => {
            (allowed.iter().copied().filter(|algorithm| algorithm.is_rsa()).collect(), rsa(text("n")?, text("e")?)?)
        }
        ("EC", Some("P-256")) => (vec![Algorithm::ES256], curve(text("x")?, text("y")?)?),
        ("EC", Some("P-384")) => (vec![Algorithm::ES384], curve(text("x")?, text("y")?)?),
        ("OKP", Some("Ed25519")) => (vec![Algorithm::EdDSA], DecodingKey::from_ed_components(text("x")?).ok()?),
        _ => return None,
    };
    let algorithm = match jwk.get("alg") {
        Some(name) => Algorithm::parse(name.as_str()?).filter(|algorithm| fitting.contains(algorithm))?,
        // An RSA key that does not say it would verify several.
        None => match fitting.as_slice() {
            [one] => *one,
            _ => return None,
        },
    };
    let kid = match jwk.get("kid") {
        Some(kid) => Some(kid.as_str()?.to_owned()),
        None => None,
    };
    allowed.contains(&algorithm).then_some((kid, Key { algorithm, key }))
}

/// A key of 2048 to 8192 bits; shorter ones can be broken, longer ones cost too much.
fn rsa(n: &str, e: &str) -> Option<DecodingKey> {
    let (n, e) = (URL_SAFE_NO_PAD.decode(n).ok()?, URL_SAFE_NO_PAD.decode(e).ok()?);
    let zeros = n.iter().take_while(|byte| **byte == 0).count();
    let is_sized = (256..=1024).contains(&(n.len() - zeros)) && (1..=8).contains(&e.len());
    is_sized.then(|| DecodingKey::from_rsa_raw_components(&n[zeros..], &e))
}

fn curve(x: &str, y: &str) -> Option<DecodingKey> {
    DecodingKey::from_ec_components(x, y).ok()
}
