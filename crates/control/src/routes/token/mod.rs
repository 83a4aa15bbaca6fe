//! The tenant that an access token names, once the token is verified.
//!
//! INVARIANT: nothing in a token leads anywhere. Its issuer and its key's id are names that are looked up in maps; its
//! issuer's address comes from the installation's configuration alone.

mod claim;
mod fetch;
mod jwks;
mod keys;
mod people;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tenantry_domain::Timestamp;
use tenantry_domain::access::token::{Names, Payload, Unverified};
use tenantry_domain::access::{Issuer, TokenFault};
use tenantry_domain::name::EnvironmentName;
use tenantry_identity::Provider;

use claim::Owners;
pub use claim::claim;
use fetch::Door;
use keys::{Keys, Pace};
pub use people::People;

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
    /// Who issued it.
    pub issuer: String,
    /// What names the tenant.
    pub tenant: String,
    /// How it does.
    pub names: Names,
    /// Whether it opens the tenant for members alone.
    pub members_only: bool,
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
pub struct Tokens {
    known: BTreeMap<EnvironmentName, Vec<Known>>,
    /// The one issuer whose tokens nobody signs, in an installation that speaks to an emulator.
    emulator: Option<String>,
    owners: Owners,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({} issuers)", self.known.values().map(Vec::len).sum::<usize>())
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
        Self { known, emulator: None, owners: Owners::default() }
    }

    /// The same, and believes what an emulator writes if it is the provider that the installation speaks to. Without this no
    /// token is believed that nobody signed, whatever the file of issuers says.
    #[must_use]
    pub fn beside(mut self, provider: Option<&Provider>) -> Self {
        self.emulator = provider.filter(|provider| provider.is_emulator()).map(Provider::issuer);
        self
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
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let issuers = self.known.get(environment).map_or(&[][..], Vec::as_slice);
        let find = |name: &str| issuers.iter().find(|known| known.issuer.name() == name);
        if let Some(emulator) = &self.emulator
            && let Ok(payload) = Unverified::parse_unsigned(text, decode)
        {
            let known = payload.issuer().filter(|name| name == emulator).and_then(find);
            let issuer = &known.ok_or(TokenFault::Untrusted)?.issuer;
            let tenant = issuer.judge_unsigned(&payload, now)?.to_owned();
            return said(issuer, tenant, &payload);
        }
        let token = Unverified::parse(text, decode)?;
        let known = token.issuer().and_then(find).ok_or(TokenFault::Untrusted)?;
        // Cheap, and before anything is fetched: most of what is wrong is found without a key.
        if !known.issuer.algorithms().contains(&token.head.algorithm) {
            return Err(TokenFault::Untrusted.into());
        }
        let key = known.keys.find(token.head.kid.as_deref()).await?.ok_or(TokenFault::Untrusted)?;
        if !key.verifies(token.head.algorithm, token.signed, token.signature) {
            return Err(TokenFault::Untrusted.into());
        }
        let tenant = known.issuer.judge(&token.head, &token.payload, now)?.to_owned();
        said(&known.issuer, tenant, &token.payload)
    }
}

fn said(issuer: &Issuer, tenant: String, payload: &Payload) -> Result<Verified, TokenError> {
    let expires = payload.expires().ok_or(TokenFault::Expired)?;
    let subject = payload.subject().map(ToOwned::to_owned);
    let (names, members_only) = (issuer.names(), issuer.is_members_only());
    Ok(Verified { issuer: issuer.name().to_owned(), tenant, names, members_only, subject, expires })
}
