//! What events about a tenant's record and its life carry. Nothing personal: contacts and settings are never in an event.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::v1::words;

/// A record exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    /// The tenant's name.
    #[schema(example = "acme")]
    pub slug: String,
    /// The plan that it is bound to.
    #[schema(example = "starter")]
    pub plan: String,
    /// The app that serves it.
    #[schema(example = "chat")]
    pub app: String,
    /// Ids in other systems, system → id.
    pub external_ids: BTreeMap<String, String>,
    /// Where its lifecycle shall be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "active")]
    pub wanted: Option<String>,
}

/// Somebody wants something else of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Updated {
    /// The tenant's name.
    #[schema(example = "acme")]
    pub slug: String,
    /// The version that was made.
    #[schema(example = 3)]
    pub version: i64,
    /// What kind of change it is, `update`, `suspend`, ….
    #[schema(example = "update")]
    pub action: String,
    /// Paths of the spec that have other values.
    #[schema(example = json!(["plan"]))]
    pub changed: Vec<String>,
    /// The plan that it is bound to now.
    #[schema(example = "starter")]
    pub plan: String,
    /// The version of its plan that it was moved to; absent when nobody moved it to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 4)]
    pub plan_version: Option<i64>,
    /// The version of its plan that it had before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 3)]
    pub plan_version_before: Option<i64>,
    /// The app that serves it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "chat")]
    pub app: Option<String>,
    /// Its ids in other systems now, system → id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_ids: Option<BTreeMap<String, String>>,
    /// Where its lifecycle shall be now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "suspended")]
    pub wanted: Option<String>,
}

/// A tenant has reached a state of its lifecycle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lifecycle {
    /// The tenant's name.
    #[schema(example = "acme")]
    pub slug: String,
    /// The state that it is in.
    #[schema(schema_with = words::state)]
    pub state: String,
    /// The plan that it is bound to.
    #[schema(example = "starter")]
    pub plan: String,
    /// The app that serves it.
    #[schema(example = "chat")]
    pub app: String,
    /// Ids in other systems, system → id.
    pub external_ids: BTreeMap<String, String>,
    /// The region of its place; nothing without one.
    #[schema(example = "eu-west")]
    pub region: Option<String>,
    /// The cell of its place.
    #[schema(example = "eu-west-1")]
    pub cell: Option<String>,
    /// The isolation level of its place.
    #[schema(example = "shared")]
    pub isolation: Option<String>,
}

/// A place was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Placed {
    /// The cell.
    #[schema(example = "eu-west-1")]
    pub cell: String,
    /// Its region.
    #[schema(example = "eu-west")]
    pub region: String,
    /// The isolation level.
    #[schema(schema_with = words::isolation)]
    pub isolation: String,
    /// How many places the tenant has had, with this one.
    #[schema(example = 1)]
    pub generation: i64,
}

/// Another plan is in effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanApplied {
    /// The tenant's name.
    #[schema(example = "acme")]
    pub slug: String,
    /// The plan that is in effect now.
    #[schema(example = "business")]
    pub plan: String,
    /// The plan that was in effect before.
    #[schema(example = "starter")]
    pub before: String,
}

/// What is said of an incident. That of one tenant is an event of the tenant; that of a cell or of all is one of the environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IncidentTold {
    /// Its id.
    #[schema(example = "inc_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub incident: String,
    /// Whom it concerns: a `tenant`, the tenants of a `cell`, or `all`.
    #[schema(example = "cell")]
    pub scope: String,
    /// The cell.
    #[schema(example = "eu-west-1")]
    pub cell: Option<String>,
    /// How bad it is.
    #[schema(schema_with = words::incident_severity)]
    pub severity: String,
    /// In a line.
    #[schema(example = "Logins fail")]
    pub title: String,
    /// How far it is.
    #[schema(schema_with = words::incident_phase)]
    pub phase: String,
    /// The number of the update, from 1.
    #[schema(example = 1)]
    pub update: i64,
    /// What is known.
    pub message: String,
}
