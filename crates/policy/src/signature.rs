//! Who made a bundle: a detached Ed25519 signature over its digest, and the keys that are believed.
//!
//! The file `bundle.sig` is JSON: `{"algorithm": "ed25519", "key": "<first 16 digits of the public key's SHA-256>",
//! "signature": "<base64>"}`. Signed is the text `tenantry-policy-bundle/v1 <digest>` with a line end, so that a
//! signature of something else can never be one of a bundle.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use tenantry_domain::code::Code;

use crate::bundle::{Bundle, Digest, SIGNATURE};

/// What stands before the 32 bytes of a public key in DER (RFC 8410).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Public keys that are believed; with none, a bundle needs no signature.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    keys: Vec<[u8; 32]>,
}

/// A key that signs.
pub struct SigningKey(Ed25519KeyPair);

/// Why a bundle is not trusted, or a key is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Keys are configured and the bundle has no signature.
    #[error("bundle {0} is not signed, and only signed ones are taken here")]
    Unsigned(Digest),
    /// `bundle.sig` is not what it has to be.
    #[error("`{SIGNATURE}` cannot be read")]
    Form,
    /// The key that it names is not configured.
    #[error("the bundle is signed by key `{0}`, which is not configured here")]
    Stranger(String),
    /// The signature is not one of this content.
    #[error("the signature of bundle {0} does not hold: its content is not what was signed")]
    Broken(Digest),
    /// A public key that is none.
    #[error("a public key is Ed25519: PEM, or base64 of its 32 bytes")]
    PublicKey,
    /// A private key that is none.
    #[error("a signing key is Ed25519 in PKCS#8: PEM, as `openssl genpkey -algorithm ed25519` makes it")]
    SigningKey,
}

impl TrustError {
    /// The code that callers see.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::PolicyBundleUntrusted
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    algorithm: String,
    key: String,
    signature: String,
}

impl Trust {
    /// Believes some keys, each PEM or base64.
    ///
    /// # Errors
    /// One is no key.
    pub fn new<'k>(keys: impl IntoIterator<Item = &'k str>) -> Result<Self, TrustError> {
        let keys = keys.into_iter().map(public_key).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { keys })
    }

    /// Whether signatures are asked for.
    #[must_use]
    pub const fn is_asked(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Whether a bundle may be used, as far as its maker goes.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, bundle: &Bundle) -> Result<(), TrustError> {
        if !self.is_asked() {
            return Ok(());
        }
        let bytes = bundle.file(SIGNATURE).ok_or(TrustError::Unsigned(bundle.digest()))?;
        let form = serde_json::from_slice::<Signature>(bytes).map_err(|_| TrustError::Form)?;
        if form.algorithm != "ed25519" {
            return Err(TrustError::Form);
        }
        let known = self.keys.iter().find(|key| key_id(*key) == form.key);
        let key = known.ok_or_else(|| TrustError::Stranger(form.key.chars().take(64).collect()))?;
        let signature = BASE64.decode(&form.signature).map_err(|_| TrustError::Form)?;
        UnparsedPublicKey::new(&ED25519, key)
            .verify(message(bundle.digest()).as_bytes(), &signature)
            .map_err(|_| TrustError::Broken(bundle.digest()))
    }
}

impl SigningKey {
    /// Reads one.
    ///
    /// # Errors
    /// It is none.
    pub fn read(text: &str) -> Result<Self, TrustError> {
        let der = pem(text, "PRIVATE KEY").ok_or(TrustError::SigningKey)?;
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map(Self).map_err(|_| TrustError::SigningKey)
    }

    /// Its public part, as [`Trust::new`] reads it.
    #[must_use]
    pub fn public(&self) -> String {
        BASE64.encode(self.0.public_key().as_ref())
    }

    /// The text of `bundle.sig` for a bundle.
    #[must_use]
    pub fn sign(&self, digest: Digest) -> String {
        let signature = BASE64.encode(self.0.sign(message(digest).as_bytes()).as_ref());
        let key = key_id(self.0.public_key().as_ref());
        format!("{{\"algorithm\": \"ed25519\", \"key\": \"{key}\", \"signature\": \"{signature}\"}}\n")
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SigningKey").field(&self.public()).finish()
    }
}

fn message(digest: Digest) -> String {
    format!("tenantry-policy-bundle/v1 {digest}\n")
}

fn key_id(key: &[u8]) -> String {
    Digest::of_bytes(key).hex()[..16].to_owned()
}

fn public_key(text: &str) -> Result<[u8; 32], TrustError> {
    let bytes = match pem(text, "PUBLIC KEY") {
        Some(der) => der.strip_prefix(&SPKI).map(<[u8]>::to_vec),
        None => BASE64.decode(text.trim()).ok(),
    };
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(TrustError::PublicKey)
}

/// What a PEM text of a sort holds.
fn pem(text: &str, sort: &str) -> Option<Vec<u8>> {
    let (begin, end) = (format!("-----BEGIN {sort}-----"), format!("-----END {sort}-----"));
    let (_, rest) = text.split_once(&begin)?;
    let (body, _) = rest.split_once(&end)?;
    BASE64.decode(body.split_whitespace().collect::<String>()).ok()
}
