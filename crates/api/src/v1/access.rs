//! Emergency access to tenants' data.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;

/// A request for access, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessRequest {
    /// Its id.
    #[schema(example = "bg_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub id: String,
    /// The id of the tenant whose data it is about.
    #[schema(example = "ten_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub tenant: String,
    /// How it stands.
    #[schema(schema_with = words::access_status)]
    pub status: String,
    /// The principal who asked.
    #[schema(example = "operator:tok_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub requested_by: String,
    /// The person behind it.
    #[schema(example = "olga@example.com")]
    pub person: String,
    /// Why.
    pub reason: String,
    /// Where that is discussed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ticket: Option<String>,
    /// Whether it is to write, too.
    #[schema(schema_with = words::login_access)]
    pub access: String,
    /// For how long.
    #[schema(minimum = 1, maximum = 60, example = 30)]
    pub minutes: u32,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub requested_at: Timestamp,
    /// Until when somebody may agree.
    #[schema(value_type = String, format = DateTime)]
    pub lapses_at: Timestamp,
    /// The person who agreed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub approver: Option<String>,
    /// Since when it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub approved_at: Option<Timestamp>,
    /// When it is over by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub ends_at: Option<Timestamp>,
    /// When it was ended early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// The login of the gateway that was made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub login: Option<String>,
    /// The person who looked at what was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reviewer: Option<String>,
    /// What that person found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub review: Option<String>,
    /// Whether somebody should have looked at it by now.
    pub is_review_overdue: bool,
}

/// Asks for access.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessWish {
    /// Why. The tenant reads it.
    #[schema(min_length = 10, max_length = 1000, example = "Invoice 4711 shows a wrong total; ticket 815.")]
    pub reason: String,
    /// Where that is discussed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 200, example = "SUP-815")]
    pub ticket: Option<String>,
    /// `read-only` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::login_access)]
    pub access: Option<String>,
    /// For how long; 30 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 60)]
    pub minutes: Option<u32>,
}

/// What somebody found who looked at what was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessReview {
    /// The finding.
    #[schema(min_length = 10, max_length = 1000, example = "Two rows of invoices were read, nothing was written.")]
    pub review: String,
}

/// Access in use.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OpenedAccess {
    /// The request.
    pub request: AccessRequest,
    /// The password of its login: kept nowhere. Left out when this was a repetition under the same key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub password: Option<String>,
    /// The connection URL, with the password. Left out where the gateway's public address is not configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub url: Option<String>,
}

impl std::fmt::Debug for OpenedAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenedAccess").field("request", &self.request).finish_non_exhaustive()
    }
}
