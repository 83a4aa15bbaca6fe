//! Facts of the outbox, in the CloudEvents envelope.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::words;

/// One fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// `1.0`.
    #[schema(example = "1.0")]
    pub specversion: String,
    /// Its id.
    #[schema(example = "evt_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub id: String,
    /// What happened.
    #[serde(rename = "type")]
    #[schema(schema_with = words::event_type)]
    pub kind: String,
    /// Where it comes from, `/environments/prod/tenants/ten_…`, or `/environments/prod`; the same on every way.
    #[schema(example = "/environments/prod")]
    pub source: String,
    /// The tenant's id, or the environment's name for events of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub subject: Option<String>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
    /// The form of `data`.
    #[serde(default = "json_media")]
    #[schema(example = "application/json")]
    pub datacontenttype: String,
    /// The environment.
    #[schema(example = "prod")]
    pub tenantryenvironment: String,
    /// The tenant's id, or the environment's name for events of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tenantryid: Option<String>,
    /// Per subject, gapless, from 1.
    #[schema(example = 1)]
    pub sequence: i64,
    /// The subject's version at the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub version: Option<i64>,
    /// The chain of requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub correlationid: Option<String>,
    /// The request, run or event that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub causationid: Option<String>,
    /// Version of the form of `data`; within one, fields are only added.
    #[serde(default = "first_version")]
    #[schema(minimum = 1, example = 1)]
    pub payloadversion: i16,
    /// What happened, in detail.
    pub data: Value,
}

fn json_media() -> String {
    "application/json".to_owned()
}

const fn first_version() -> i16 {
    1
}

/// One deviation of the data plane from the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What deviates.
    #[schema(example = "policy-missing")]
    pub kind: String,
    /// The object, as PostgreSQL names it.
    #[schema(example = "table messages")]
    pub object: String,
    /// Whether a controller puts it right; otherwise somebody has to decide.
    pub repairable: bool,
    /// What was found, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// The deviations of one tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// Empty when nothing deviates.
    pub findings: Vec<Finding>,
}
