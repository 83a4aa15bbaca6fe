//! Access tokens of the configured issuers, as the gateway takes them in place of a password.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret as _, SecretString};
use tenantry_control::routes::token::{TokenError as ControlError, Tokens as Known, Verified};
use tenantry_domain::Timestamp;
use tenantry_domain::access::Issuer;
use tenantry_domain::access::token::Names;
use tenantry_domain::name::EnvironmentName;
use tenantry_gateway::login::{Claims, TokenError, Tokens};

/// See the module.
pub struct Issued(Known);

impl Issued {
    /// With the issuers of the configuration; nothing without any, so that such logins are told that they cannot be checked.
    pub fn of(issuers: &[Issuer]) -> Option<Arc<dyn Tokens>> {
        (!issuers.is_empty()).then(|| Arc::new(Self(Known::new(issuers))) as Arc<dyn Tokens>)
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Tokens for Issued {
    fn verify<'a>(
        &'a self,
        environment: &'a EnvironmentName,
        token: &'a SecretString,
    ) -> BoxFuture<'a, Result<Claims, TokenError>> {
        Box::pin(async move {
            let said = self.0.verify(environment, token.expose_secret(), Timestamp::now()).await;
            let Verified { tenant, subject, expires, names, members_only, issuer } =
                said.map_err(|error| match error {
                    ControlError::Refused(_) => TokenError::Invalid,
                    ControlError::Away(issuer) => {
                        tracing::warn!(issuer, "the keys of an issuer cannot be read");
                        TokenError::Away
                    }
                })?;
            // Pools and members are looked up by the control plane, which a gateway does without.
            if members_only || names != Names::Tenant {
                tracing::warn!(issuer, "the gateway takes no tokens of an issuer that names pools or wants members");
                return Err(TokenError::Invalid);
            }
            Ok(Claims { tenant, subject, expires })
        })
    }
}
