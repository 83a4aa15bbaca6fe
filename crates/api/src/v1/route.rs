//! Which tenant a request is for, how to reach its data, and the credential that goes with it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;

/// A tenant as those who serve its requests know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resolution {
    /// Its id.
    #[schema(example = "ten_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub tenant: String,
    /// The same id as the database knows it.
    #[schema(example = "0193911e-ed35-7cc4-92c6-27b8384cf90c")]
    pub uuid: String,
    /// Its slug.
    #[schema(example = "acme")]
    pub slug: String,
    /// Whether its users are let in.
    #[schema(schema_with = words::openness)]
    pub state: String,
    /// The placement's generation; 0 before there is a place.
    #[schema(example = 1)]
    pub generation: i64,
    /// The level; left out before there is a place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, schema_with = words::isolation)]
    pub isolation: Option<String>,
    /// The cell; left out before there is a place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "eu-west-1")]
    pub cell: Option<String>,
    /// The plan.
    #[schema(example = "standard")]
    pub plan: String,
    /// What named it.
    #[schema(example = json!(["host", "path"]))]
    pub sources: Vec<String>,
    /// For how long the answer may be kept, in milliseconds.
    #[schema(example = 500)]
    pub max_age_ms: u64,
}

/// How to reach a tenant's data. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantRoute {
    /// The tenant's id.
    #[schema(example = "ten_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub tenant: String,
    /// The same id as the database knows it.
    #[schema(example = "0193911e-ed35-7cc4-92c6-27b8384cf90c")]
    pub uuid: String,
    /// Its slug.
    #[schema(example = "acme")]
    pub slug: String,
    /// Whether its users are let in.
    #[schema(schema_with = words::openness)]
    pub state: String,
    /// The placement's generation that the address belongs to.
    #[schema(example = 1)]
    pub generation: i64,
    /// The level.
    #[schema(schema_with = words::isolation)]
    pub isolation: String,
    /// The cell.
    #[schema(example = "eu-west-1")]
    pub cell: String,
    /// The server's host.
    #[schema(example = "10.0.0.5")]
    pub host: String,
    /// The server's port.
    #[schema(example = 5432)]
    pub port: u16,
    /// The database.
    pub database: String,
    /// The schema of the tables.
    pub schema: String,
    /// The login.
    pub role: String,
    /// The most connections that the plan gives the tenant; left out for no bound of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 8)]
    pub connections: Option<u32>,
    /// The credential that goes with the login.
    #[schema(example = "cell/eu-west-1/app/chat")]
    pub secret_ref: String,
    /// For how long the answer may be kept, in milliseconds.
    #[schema(example = 500)]
    pub max_age_ms: u64,
}

/// Asks for a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CredentialRequest {
    /// The `secretRef` of a route.
    #[schema(example = "cell/eu-west-1/app/chat", max_length = 200)]
    pub secret_ref: String,
}

/// What an application needs to enter tenants of one login. Keep it in memory only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialView {
    /// What was asked for.
    #[schema(example = "cell/eu-west-1/app/chat")]
    pub secret_ref: String,
    /// The login.
    pub role: String,
    /// Its password.
    pub password: String,
    /// The key of the database's seal.
    pub seal: SealKeyView,
}

/// The key of a database's seal.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SealKeyView {
    /// Under which number the database knows it.
    #[schema(example = 1)]
    pub kid: i32,
    /// 32 bytes in Base64.
    pub key: String,
}

impl std::fmt::Debug for CredentialView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialView").field("secret_ref", &self.secret_ref).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SealKeyView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealKeyView({})", self.kid)
    }
}

/// The keys that context tokens are verified with (RFC 7517).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeySet {
    /// Every key that may still have signed a token.
    pub keys: Vec<Key>,
}

/// An Ed25519 key (RFC 8037).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Key {
    /// `OKP`.
    #[schema(example = "OKP")]
    pub kty: String,
    /// `Ed25519`.
    #[schema(example = "Ed25519")]
    pub crv: String,
    /// `EdDSA`.
    #[schema(example = "EdDSA")]
    pub alg: String,
    /// `sig`.
    #[serde(rename = "use")]
    #[schema(example = "sig")]
    pub usage: String,
    /// The key's id.
    pub kid: String,
    /// The public key in Base64url.
    pub x: String,
}
