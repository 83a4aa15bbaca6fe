//! The history of an object.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// One version of a desired state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// Its number, from 1.
    pub version: i64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who made it; left out where only the audit says it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(example = "operator:tok_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub actor: String,
    /// What was done, `tenant.update`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub action: Option<String>,
    /// The labels of a tenant at that version.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What was wanted, in manifest shape.
    #[schema(value_type = Object)]
    pub spec: Value,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// Where.
    #[schema(example = "spec.plan")]
    pub path: String,
    /// What was there; `null` when nothing was.
    pub from: Value,
    /// What is there; `null` when nothing is.
    pub to: Value,
}

/// The differences between two versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// The earlier version asked for.
    pub from: i64,
    /// The later version asked for.
    pub to: i64,
    /// What differs; empty when nothing does.
    pub changes: Vec<FieldChange>,
}
