//! Who calls, and where people of the operator sign in.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;

/// A caller, as it is known here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Whoami {
    /// As whom it acts; what stands in audit entries.
    #[schema(example = "operator:per_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub actor: String,
    /// The person, for somebody who signed in by issuer and subject; left out for machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "https://login.example.com#4711")]
    pub person: Option<String>,
    /// What its issuer calls the person, or the name of the token. Decides nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "olga@example.com")]
    pub display: Option<String>,
    /// Its roles, those of single environments among them.
    #[schema(schema_with = words::roles_or_none)]
    pub roles: Vec<String>,
    /// Where roles hold in single environments alone: those of each. The others hold in all that it reaches.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(example = json!({ "staging": ["operator"] }))]
    pub roles_by_environment: BTreeMap<String, Vec<String>>,
    /// Only these actions of its roles; left out for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_items = 64)]
    pub scopes: Option<Vec<String>>,
    /// The id of the only tenant that it reaches; left out for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "ten_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub tenant: Option<String>,
    /// The only environments that it reaches; left out for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_items = 1000, example = json!(["staging"]))]
    pub environments: Option<Vec<String>>,
    /// When its token ends; left out for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
}

/// Where people of the operator sign in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignIn {
    /// The issuers, by name; none where people have tokens of this installation.
    #[schema(max_items = 100)]
    pub issuers: Vec<SignInIssuer>,
}

/// An issuer, and the client of the command line there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignInIssuer {
    /// The issuer, as its tokens name it.
    #[schema(example = "https://login.example.com")]
    pub issuer: String,
    /// Where it says which addresses it has (OpenID Connect Discovery 1.0).
    #[schema(example = "https://login.example.com/.well-known/openid-configuration")]
    pub discovery: String,
    /// The id of the client, which has no secret.
    #[schema(example = "tenantry-cli")]
    pub client_id: String,
    /// What is asked for.
    #[schema(max_items = 20, example = json!(["openid", "offline_access"]))]
    pub scopes: Vec<String>,
    /// For whom the access token is to be (RFC 8707); left out where the issuer knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "https://tenantry.example.com")]
    pub resource: Option<String>,
}
