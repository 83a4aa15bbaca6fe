//! Connections of a pool to an identity provider of the tenant's own, by OpenID Connect or SAML. The emulator has none.

use std::fmt;

use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::call::{Provider, Repeat};
use crate::error::IdentityError;
use crate::pools::PoolId;

/// Connections that a pool may have; the provider sets a bound too.
const MOST: &str = "100";

/// The name of a connection: `oidc.` or `saml.`, and 1 to 27 of a to z, 0 to 9 and hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionName(String);

impl ConnectionName {
    /// Reads a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("oidc.").or_else(|| text.strip_prefix("saml."))?;
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_name = (1..=27).contains(&rest.len()) && rest.bytes().all(is_plain);
        is_name.then(|| Self(text.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The kind of the connections that it is one of, as paths and parameters name it.
    fn kind(&self) -> (&'static str, &'static str) {
        if self.0.starts_with("saml.") {
            ("inboundSamlConfigs", "inboundSamlConfigId")
        } else {
            ("oauthIdpConfigs", "oauthIdpConfigId")
        }
    }
}

impl fmt::Display for ConnectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A connection by OpenID Connect, with the code flow.
#[derive(Debug, Clone)]
pub struct Oidc {
    /// The issuer's address, `https`.
    pub issuer: String,
    /// What the issuer calls the provider.
    pub client_id: String,
    /// What the provider shows there.
    pub client_secret: SecretString,
}

/// A connection by SAML 2.0.
#[derive(Debug, Clone)]
pub struct Saml {
    /// The tenant's identity provider.
    pub entity_id: String,
    /// Where it signs people in, `https`.
    pub sso_url: String,
    /// Its certificates, as PEM.
    pub certificates: Vec<String>,
    /// What it calls us.
    pub audience: String,
    /// Where it sends people back to.
    pub callback: String,
}

/// How a connection works.
#[derive(Debug, Clone)]
pub enum Connection {
    /// By OpenID Connect.
    Oidc(Oidc),
    /// By SAML.
    Saml(Saml),
}

impl Connection {
    fn wire(&self, title: &str) -> (Value, &'static str) {
        match self {
            Self::Oidc(oidc) => (
                json!({
                    "displayName": title, "enabled": true, "issuer": oidc.issuer, "clientId": oidc.client_id,
                    "clientSecret": oidc.client_secret.expose_secret(), "responseType": { "code": true },
                }),
                "displayName,enabled,issuer,clientId,clientSecret,responseType",
            ),
            Self::Saml(saml) => {
                let certificates: Vec<Value> =
                    saml.certificates.iter().map(|pem| json!({ "x509Certificate": pem })).collect();
                (
                    json!({
                        "displayName": title, "enabled": true,
                        "idpConfig": {
                            "idpEntityId": saml.entity_id, "ssoUrl": saml.sso_url,
                            "idpCertificates": certificates,
                        },
                        "spConfig": { "spEntityId": saml.audience, "callbackUri": saml.callback },
                    }),
                    "displayName,enabled,idpConfig,spConfig",
                )
            }
        }
    }
}

impl Provider {
    /// Makes a connection, or gives the one of that name another content.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub async fn put_connection(
        &self,
        pool: &PoolId,
        name: &ConnectionName,
        title: &str,
        connection: &Connection,
    ) -> Result<(), IdentityError> {
        let (kind, parameter) = name.kind();
        let (body, mask) = connection.wire(title);
        let url = self.path("v2", &format!("tenants/{pool}/{kind}/{name}"));
        let query = [("updateMask", mask)];
        match self.ask::<Value>((Method::PATCH, Repeat::Safe), url, &query, Some(&body)).await {
            // Names are ours, so that a repetition finds what it made.
            Err(IdentityError::Absent { .. }) => {
                let url = self.path("v2", &format!("tenants/{pool}/{kind}"));
                let query = [(parameter, name.as_str())];
                self.ask::<Value>((Method::POST, Repeat::Safe), url, &query, Some(&body)).await.map(drop)
            }
            other => other.map(drop),
        }
    }

    /// Removes a connection; one that is gone already is gone.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub async fn remove_connection(&self, pool: &PoolId, name: &ConnectionName) -> Result<(), IdentityError> {
        let (kind, _) = name.kind();
        let url = self.path("v2", &format!("tenants/{pool}/{kind}/{name}"));
        match self.ask::<Value>((Method::DELETE, Repeat::Safe), url, &[], None).await {
            Ok(_) | Err(IdentityError::Absent { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The names of a pool's connections.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub async fn connections(&self, pool: &PoolId) -> Result<Vec<ConnectionName>, IdentityError> {
        #[derive(Deserialize)]
        struct One {
            name: String,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page {
            #[serde(default)]
            oauth_idp_configs: Vec<One>,
            #[serde(default)]
            inbound_saml_configs: Vec<One>,
        }
        let mut names = Vec::new();
        for kind in ["oauthIdpConfigs", "inboundSamlConfigs"] {
            let url = self.path("v2", &format!("tenants/{pool}/{kind}"));
            let page: Page = self.ask((Method::GET, Repeat::Safe), url, &[("pageSize", MOST)], None).await?;
            let found = page.oauth_idp_configs.into_iter().chain(page.inbound_saml_configs);
            // Others than ours can have been made by hand.
            names.extend(found.filter_map(|one| ConnectionName::parse(one.name.rsplit('/').next()?)));
        }
        names.sort();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_of_which_kind_they_are() {
        for (text, kind) in [("oidc.okta", "oauthIdpConfigs"), ("saml.adfs-2", "inboundSamlConfigs")] {
            assert_eq!(ConnectionName::parse(text).unwrap().kind().0, kind);
        }
        for bad in
            ["", "okta", "oidc.", "oidc.A", "oidc.a/b", "oidc.a?b", "ldap.x", &format!("saml.{}", "a".repeat(28))]
        {
            assert!(ConnectionName::parse(bad).is_none(), "{bad}");
        }
    }
}
