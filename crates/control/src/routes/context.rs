//! The context of a request as a signed token: what a proxy hands to the services behind it, and what they hand on.
//!
//! A compact JWS (RFC 7515) signed with Ed25519 (RFC 8037). It lives a minute: long enough for a request and its calls,
//! too short to be worth stealing. The algorithm is fixed; who verifies takes no other.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tenantry_domain::Timestamp;
use tenantry_domain::name::EnvironmentName;

use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::routes::resolve::Resolution;

/// How long a token holds, in seconds.
pub const LIFE: i64 = 60;

/// The type in the token's head, so that no other token of ours or of others can stand in for it.
pub const TYPE: &str = "tenantry-context+jwt";

/// A public key that tokens are verified with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// The key's id: the beginning of its digest, in Base64url.
    pub kid: String,
    /// The key, in Base64url.
    pub x: String,
}

/// The installation's key for context tokens; derived from the root key, stored nowhere.
pub struct Signer {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.public.kid)
    }
}

impl Signer {
    /// Makes the key pair of a seed; nothing for a seed that is none, which a derived one never is.
    #[must_use]
    pub fn new(seed: &[u8; 32]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let bytes = pair.public_key().as_ref();
        let digest = digest::digest(&digest::SHA256, bytes);
        let kid = URL_SAFE_NO_PAD.encode(digest.as_ref().get(..9)?);
        let public = PublicKey { kid, x: URL_SAFE_NO_PAD.encode(bytes) };
        Some(Self { pair, public })
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// A token for a tenant, good from now for [`LIFE`] seconds.
    #[must_use]
    pub fn token(&self, environment: &EnvironmentName, tenant: &Resolution, now: Timestamp) -> String {
        let head = json!({ "alg": "EdDSA", "typ": TYPE, "kid": self.public.kid });
        let issued = now.as_second();
        let claims = json!({
            "iss": "tenantry",
            "aud": environment.as_str(),
            "tid": tenant.id.to_string(),
            "slug": tenant.slug.as_str(),
            "gen": tenant.generation,
            "plan": tenant.plan.as_str(),
            "iat": issued,
            "exp": issued + LIFE,
        });
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(head), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(signed.as_bytes()).as_ref());
        format!("{signed}.{signature}")
    }
}

/// A context token for a tenant of the environment.
///
/// # Errors
/// The process has no key, which is a defect.
pub fn token(deps: &Deps, environment: &EnvironmentName, tenant: &Resolution) -> Result<String, Refusal> {
    let signer = deps.signer().ok_or(Refusal::NoRandomness)?;
    Ok(signer.token(environment, tenant, deps.now()))
}

/// The keys that verify context tokens.
#[must_use]
pub fn keys(deps: &Deps) -> Vec<PublicKey> {
    deps.signer().map(|signer| signer.public().clone()).into_iter().collect()
}
