//! The tenant that an access token names, once the token is verified.
//!
//! INVARIANT: nothing in a token leads anywhere. Its issuer and its key's id are names that are looked up in maps; its
//! issuer's address comes from the installation's configuration alone.

mod fetch;
mod jwks;
mod keys;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tenantry_domain::Timestamp;
use tenantry_domain::access::token::Unverified;
use tenantry_domain::access::{Issuer, TokenFault};
use tenantry_domain::name::EnvironmentName;

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use fetch::Door;
use keys::{Keys, Pace};

/// Why a token names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is not believed.
    #[error("the access token is not valid: {0}")]
    Refused(#[from] TokenFault),
    /// The keys of its issuer cannot be had, so nothing can be said of it.
    #[error("the keys of issuer `{0}` cannot be read")]
    Away(String),
}

/// What a token says that is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The tenant, by id or slug.
    pub tenant: String,
    /// For whom it was made, if it says so.
    pub subject: Option<String>,
    /// From when on it is no longer valid.
    pub expires: Timestamp,
}

/// An issuer and what is known of its keys.
struct Known {
    issuer: Issuer,
    keys: Arc<Keys>,
}

/// The issuers of the installation.
pub struct Tokens(BTreeMap<EnvironmentName, Vec<Known>>);

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({} issuers)", self.0.values().map(Vec::len).sum::<usize>())
    }
}

impl Tokens {
    /// With the issuers of the configuration. Nothing is read yet.
    #[must_use]
    pub fn new(issuers: &[Issuer]) -> Self {
        Self::with(issuers, Door::default(), Pace::default())
    }

    fn with(issuers: &[Issuer], door: Door, pace: Pace) -> Self {
        let mut known: BTreeMap<_, Vec<Known>> = BTreeMap::new();
        for issuer in issuers {
            let keys = Arc::new(Keys::new(issuer, door, pace));
            known.entry(issuer.environment().clone()).or_default().push(Known { issuer: issuer.clone(), keys });
        }
        Self(known)
    }

    /// What a token of an issuer of this environment says.
    ///
    /// # Errors
    /// The token is not believed, or nothing can be said of it.
    pub async fn verify(
        &self,
        environment: &EnvironmentName,
        text: &str,
        now: Timestamp,
    ) -> Result<Verified, TokenError> {
        let token = Unverified::parse(text, |part| URL_SAFE_NO_PAD.decode(part).ok())?;
        let issuers = self.0.get(environment).map_or(&[][..], Vec::as_slice);
        let name = token.issuer().ok_or(TokenFault::Untrusted)?;
        let known = issuers.iter().find(|known| known.issuer.name() == name).ok_or(TokenFault::Untrusted)?;
        // Cheap, and before anything is fetched: most of what is wrong is found without a key.
        if !known.issuer.algorithms().contains(&token.head.algorithm) {
            return Err(TokenFault::Untrusted.into());
        }
        let key = known.keys.find(token.head.kid.as_deref()).await?.ok_or(TokenFault::Untrusted)?;
        if !key.verifies(token.head.algorithm, token.signed, token.signature) {
            return Err(TokenFault::Untrusted.into());
        }
        let tenant = known.issuer.judge(&token.head, &token.payload, now)?.to_owned();
        let expires = token.payload.expires().ok_or(TokenFault::Expired)?;
        Ok(Verified { tenant, subject: token.payload.subject().map(ToOwned::to_owned), expires })
    }
}

/// What an access token says of a request's tenant; for [`Claims::token`](tenantry_domain::access::Claims).
///
/// # Errors
/// The token is not believed, whatever else names the tenant; or its issuer's keys cannot be had.
pub async fn claim(cx: &Ctx, deps: &Deps, token: &str) -> Result<String, Refusal> {
    cx.permit_environment("tenant.resolve")?;
    Ok(deps.tokens().verify(&cx.environment, token, deps.now()).await?.tenant)
}
