//! Logins of the gateway: what an application puts into its connection string.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;

/// A login of the gateway. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayLogin {
    /// What clients give as their user.
    #[schema(example = "acme-reports")]
    pub name: String,
    /// The environment that it belongs to.
    #[schema(example = "prod")]
    pub environment: String,
    /// The id of the tenant whose login it is; left out for a service's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "ten_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub tenant: Option<String>,
    /// That tenant's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "acme")]
    pub slug: Option<String>,
    /// The app whose tenants a service enters; left out for a tenant's login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "chat")]
    pub app: Option<String>,
    /// The ids of the tenants that a service may enter; left out when it may enter all of the app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_items = 1000)]
    pub only: Option<Vec<String>>,
    /// How long a client keeps a server session.
    #[schema(schema_with = words::login_mode)]
    pub mode: String,
    /// Whether it may write.
    #[schema(schema_with = words::login_access)]
    pub access: String,
    /// Which server of the tenant's cell it is served by.
    #[schema(schema_with = words::login_server)]
    pub server: String,
    /// How it proves itself.
    #[schema(schema_with = words::login_proof)]
    pub proof: String,
    /// The most client connections of it on one gateway; left out for no bound of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 100_000, example = 200)]
    pub connections: Option<u32>,
    /// Rises with every change.
    #[schema(example = 1)]
    pub version: i64,
    /// How it stands.
    #[schema(schema_with = words::login_standing)]
    pub status: String,
    /// Since when it exists.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Who made it.
    #[schema(example = "operator:tok_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub created_by: String,
    /// Its last change.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// When it got another password last; left out for its first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub rotated_at: Option<Timestamp>,
    /// Until when the password before is good, too; left out when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub old_password_until: Option<Timestamp>,
    /// From when on it is refused; left out for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
}

/// Asks for a login. It is either a tenant's (`tenant`) or a service's (`app`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayLoginRequest {
    /// What clients will give as their user. No two logins of an installation have the same name.
    #[schema(example = "acme-reports", min_length = 3, max_length = 63, pattern = "^[a-z][a-z0-9_-]{2,62}$")]
    pub name: String,
    /// The only tenant that it enters, by name or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "acme", max_length = 40)]
    pub tenant: Option<String>,
    /// The app whose tenants it enters; a client names one of them as its database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 50)]
    pub app: Option<String>,
    /// Only these tenants of the app, by name or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_items = 1, max_items = 1000)]
    pub only: Option<Vec<String>>,
    /// `transaction` unless given. `session` keeps a server session per client, for tenants with a login of their own on
    /// their server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::login_mode)]
    pub mode: Option<String>,
    /// `read-write` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::login_access)]
    pub access: Option<String>,
    /// `primary` unless given. The others need `access: read-only` and mode `transaction`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::login_server)]
    pub server: Option<String>,
    /// `password` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::login_proof)]
    pub proof: Option<String>,
    /// The most client connections of it on one gateway; no bound of its own unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 100_000)]
    pub connections: Option<u32>,
    /// From when on it is refused; never unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::time)]
    pub expires_at: Option<String>,
}

/// Asks for another password.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayLoginRotation {
    /// For how long the old password stays good, `0s` to `31d`; `24h` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "24h", pattern = "^[0-9]{1,9}[smhd]$")]
    pub grace: Option<String>,
    /// A new end of the login; the old one stays unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::time)]
    pub expires_at: Option<String>,
}

/// A login with its new password, which is shown once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuedGatewayLogin {
    /// The login.
    pub login: GatewayLogin,
    /// Its password: kept nowhere, so it cannot be asked for again. Left out for a login that proves itself by a token, and
    /// when the request was a repetition under the same key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub password: Option<String>,
    /// The connection URL, with the password; `TENANT` in it stands for the tenant that a service enters. Left out where the
    /// gateway's public address is not configured, and in the answer to a repetition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub url: Option<String>,
}

impl std::fmt::Debug for IssuedGatewayLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedGatewayLogin").field("login", &self.login).finish_non_exhaustive()
    }
}
