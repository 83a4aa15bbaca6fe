//! The person of the operator that an access token names, once the token is verified.
//!
//! INVARIANT: issuers of people are in a map of their own. No issuer of tenants' users is found here, and none of people is
//! found by [`Tokens`](super::Tokens); so whatever a token says, it opens one of the two doors alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tenantry_domain::Timestamp;
use tenantry_domain::access::token::Unverified;
use tenantry_domain::access::{Operators, Person, TokenFault};

use super::TokenError;
use super::fetch::Door;
use super::keys::{Keys, Pace};

struct Known {
    issuer: Operators,
    keys: Arc<Keys>,
}

/// The issuers of people of this installation.
pub struct People(BTreeMap<String, Known>);

impl std::fmt::Debug for People {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "People({} issuers)", self.0.len())
    }
}

impl People {
    /// With the issuers of the configuration. Nothing is read yet.
    #[must_use]
    pub fn new(issuers: &[Operators]) -> Self {
        Self::with(issuers, Door::default(), Pace::default())
    }

    pub(super) fn with(issuers: &[Operators], door: Door, pace: Pace) -> Self {
        let known = |issuer: &Operators| {
            let keys = Arc::new(Keys::new(issuer.trust(), door, pace));
            (issuer.trust().name().to_owned(), Known { issuer: issuer.clone(), keys })
        };
        Self(issuers.iter().map(known).collect())
    }

    /// The issuers.
    pub fn issuers(&self) -> impl Iterator<Item = &Operators> {
        self.0.values().map(|known| &known.issuer)
    }

    /// Whether a text reads like the name of somebody who signs in.
    #[must_use]
    pub fn is_person(&self, text: &str) -> bool {
        self.issuers().any(|issuer| issuer.is_person(text))
    }

    /// Whom a token names.
    ///
    /// # Errors
    /// The token is not believed, or nothing can be said of it because the keys of its issuer cannot be had.
    pub async fn verify(&self, text: &str, now: Timestamp) -> Result<Person, TokenError> {
        let token = Unverified::parse(text, |part| URL_SAFE_NO_PAD.decode(part).ok())?;
        let known = token.issuer().and_then(|name| self.0.get(name)).ok_or(TokenFault::Untrusted)?;
        // Cheap, and before anything is fetched: who writes nonsense makes us ask nobody.
        if !known.issuer.trust().algorithms().contains(&token.head.algorithm) {
            return Err(TokenFault::Untrusted.into());
        }
        let key = known.keys.find(token.head.kid.as_deref()).await?.ok_or(TokenFault::Untrusted)?;
        if !key.verifies(token.head.algorithm, token.signed, token.signature) {
            return Err(TokenFault::Untrusted.into());
        }
        Ok(known.issuer.judge(&token.head, &token.payload, now)?)
    }
}
