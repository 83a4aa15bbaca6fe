//! Tokens of the API: what their bearers may do.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;

/// A token. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// Its public part, which stands in audit entries.
    #[schema(example = "tok_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub id: String,
    /// For people.
    #[schema(example = "deploy pipeline")]
    pub name: String,
    /// As what its bearer acts.
    #[schema(schema_with = words::token_kind)]
    pub kind: String,
    /// What it is.
    #[schema(schema_with = words::roles)]
    pub roles: Vec<String>,
    /// Only these actions of its roles; left out for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_items = 64)]
    pub scopes: Option<Vec<String>>,
    /// The id of the only tenant that it reaches; left out for all of the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "ten_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub tenant: Option<String>,
    /// The person who uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "olga@example.com")]
    pub person: Option<String>,
    /// Rises with every change.
    #[schema(example = 1)]
    pub version: i64,
    /// Since when it exists.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Who made it.
    #[schema(example = "operator:tok_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub created_by: String,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When it got another secret last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub rotated_at: Option<Timestamp>,
    /// Until when the secret before is good, too; left out when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub old_until: Option<Timestamp>,
    /// When it was seen last, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
    /// When it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
}

/// Asks for a token. It can do at most what its maker can.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenRequest {
    /// For people.
    #[schema(min_length = 1, max_length = 100, example = "deploy pipeline")]
    pub name: String,
    /// `service` unless given. An `operator` is a person, who is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::token_kind)]
    pub kind: Option<String>,
    /// What it is to be.
    #[schema(schema_with = words::roles)]
    pub roles: Vec<String>,
    /// Only these actions: `tenant.read`, `tenant.*`, `*.read`. All that the roles allow unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_items = 1, max_items = 64, example = json!(["tenant.read", "operation.*"]))]
    pub scopes: Option<Vec<String>>,
    /// The only tenant that it reaches, by name or id. Nothing else of the environment can be seen with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "acme", max_length = 40)]
    pub tenant: Option<String>,
    /// The person who uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_length = 1, max_length = 100)]
    pub person: Option<String>,
    /// How long it lives, up to `366d`; `90d` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "90d", pattern = "^[0-9]{1,9}[smhd]$")]
    pub expires_in: Option<String>,
}

/// Asks for another secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TokenRotation {
    /// For how long the old secret stays good, `0s` to `7d`; `24h` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "24h", pattern = "^[0-9]{1,9}[smhd]$")]
    pub grace: Option<String>,
    /// How long it lives from now on; as long as it was to live at first unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "90d", pattern = "^[0-9]{1,9}[smhd]$")]
    pub expires_in: Option<String>,
}

/// A token with its text, which is shown once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuedToken {
    /// The token.
    pub token: Token,
    /// Its text: kept nowhere, so it cannot be asked for again. Left out when the request was a repetition under the same key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub text: Option<String>,
}

impl std::fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedToken").field("token", &self.token).finish_non_exhaustive()
    }
}
