//! Planning and applying manifests.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::placement::Decision;
use super::version::FieldChange;
use super::words;

/// Several manifests in one request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"documents": [
    {"apiVersion": "tenantry.dev/v1", "kind": "Region", "metadata": {"name": "eu-west"}, "spec": {"description": "Ireland"}}
]}))]
pub struct Documents {
    /// Manifests of any kinds, in any order. Each has `apiVersion`, `kind`, `metadata` and `spec`.
    #[schema(min_items = 1, max_items = 2_000, value_type = Vec<Object>)]
    pub documents: Vec<Map<String, Value>>,
}

/// What applying would do. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// One entry per manifest, in the order of dependence.
    pub objects: Vec<PlannedObject>,
}

/// What applying would do to one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedObject {
    /// `App`, `Plan`, `Region`, `Cell` or `Tenant`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Create, change, unchanged.
    #[schema(schema_with = words::prospect)]
    pub outcome: String,
    /// What differs from the stored version.
    pub changes: Vec<FieldChange>,
    /// What controllers would do, in order.
    pub steps: Vec<PlannedStep>,
    /// Where a tenant without a place would go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub placement: Option<Decision>,
    /// Why a difference would wait, `hold` first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Object>, example = json!({"hold": "running", "workflow": "update"}))]
    pub hold: Option<Value>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStep {
    /// The workflow that it belongs to.
    #[schema(schema_with = words::workflow)]
    pub workflow: String,
    /// The step.
    #[schema(schema_with = words::step)]
    pub name: String,
    /// Whether it changes something outside of the registry.
    pub is_external: bool,
}

/// What was applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// The operation that follows the work; left out when nothing changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "op_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub operation: Option<String>,
    /// One entry per manifest.
    pub objects: Vec<AppliedObject>,
}

/// What happened to one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppliedObject {
    /// `App`, `Plan`, `Region`, `Cell` or `Tenant`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Created, changed, unchanged.
    #[schema(schema_with = words::outcome)]
    pub outcome: String,
    /// The version that holds now.
    pub version: i64,
    /// A tenant's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "ten_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub id: Option<String>,
}
