//! A tenant's own pool of users at an identity provider.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;

/// A tenant's own pool of users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IdentityPool {
    /// The issuer of its tokens, `iss`.
    #[schema(example = "https://securetoken.google.com/acme-prod")]
    pub issuer: String,
    /// What the provider calls it; a sign-in page gives it to the provider. It selects a pool and is nobody's identity. Left
    /// out before the pool exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "t5p3vhq2c7x4m6n8b1z0k-k2x9q")]
    pub pool: Option<String>,
    /// How it stands.
    #[schema(schema_with = words::pool_standing)]
    pub status: String,
    /// Since when it stands so.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// Whether it stands as the tenant's state asks for.
    pub settled: bool,
    /// One word for why it does not; left out when nothing is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "ProviderAway")]
    pub problem: Option<String>,
    /// Failures in a row.
    pub failures: u32,
    /// When it was looked at last; left out before the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = String, format = DateTime)]
    pub looked_at: Option<Timestamp>,
    /// When the next look is due.
    #[schema(value_type = String, format = DateTime)]
    pub next_look_at: Timestamp,
}

/// A connection of a pool to an identity provider of the tenant's own. What it holds is kept by the provider alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IdentityConnection {
    /// Its name: `oidc.` or `saml.`, and 1 to 27 of a to z, 0 to 9 and hyphens.
    #[schema(example = "oidc.okta")]
    pub name: String,
}

/// The connections of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IdentityConnectionList {
    /// By name.
    pub items: Vec<IdentityConnection>,
}

/// A wanted connection: exactly one of `oidc` and `saml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IdentityConnectionRequest {
    /// For people who sign in.
    #[schema(min_length = 1, max_length = 100, example = "Acme")]
    pub title: String,
    /// By OpenID Connect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub oidc: Option<OidcConnection>,
    /// By SAML 2.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub saml: Option<SamlConnection>,
}

/// A connection by OpenID Connect, with the code flow.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OidcConnection {
    /// The issuer, an https address.
    #[schema(max_length = 2048, example = "https://acme.okta.example")]
    pub issuer: String,
    /// What it calls the provider.
    #[schema(min_length = 1, max_length = 256)]
    pub client_id: String,
    /// What the provider shows there. Handed on and kept nowhere here.
    #[schema(min_length = 1, max_length = 1024, format = Password)]
    pub client_secret: String,
}

impl std::fmt::Debug for OidcConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OidcConnection").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// A connection by SAML 2.0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SamlConnection {
    /// The tenant's identity provider.
    #[schema(min_length = 1, max_length = 1024, example = "https://adfs.acme.example/trust")]
    pub entity_id: String,
    /// Where it signs people in, an https address.
    #[schema(max_length = 2048, example = "https://adfs.acme.example/sso")]
    pub sso_url: String,
    /// Its certificates, as PEM.
    #[schema(min_items = 1, max_items = 10)]
    pub certificates: Vec<String>,
    /// What it calls us.
    #[schema(min_length = 1, max_length = 1024)]
    pub audience: String,
    /// Where it sends people back to, an https address.
    #[schema(max_length = 2048)]
    pub callback: String,
}
