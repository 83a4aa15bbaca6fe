//! Long work as its caller follows it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::tenant::Failure;
use super::words;

/// A request for long work: one workflow per tenant that it touches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Its id.
    #[schema(example = "op_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub id: String,
    /// The environment that it belongs to.
    #[schema(example = "prod")]
    pub environment: String,
    /// What was asked for, `tenant.create`, `manifests.apply`.
    #[schema(example = "manifests.apply")]
    pub kind: String,
    /// Where it is.
    #[schema(schema_with = words::progress)]
    pub status: String,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it ended; left out before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// Who asked for it.
    #[schema(example = "operator:tok_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub requested_by: String,
    /// How many tenants it touches.
    pub targets: Targets,
    /// Those at work or in trouble first, at most 50.
    pub workflows: Vec<Workflow>,
    /// Why it did not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error: Option<Failure>,
}

impl Operation {
    /// Whether nothing will happen any more without somebody's doing.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        !matches!(self.status.as_str(), "waiting" | "running")
    }

    /// Whether everything was done.
    #[must_use]
    pub fn is_completed(&self) -> bool {
        self.status == "completed"
    }
}

/// Progress in tenants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Targets {
    /// How many in all.
    pub total: u64,
    /// How many are done.
    pub done: u64,
    /// How many failed or are stuck.
    pub failed: u64,
}

/// The work on one tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Workflow {
    /// Its id.
    #[schema(example = "wf_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub id: String,
    /// The tenant's id.
    #[schema(example = "ten_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub tenant: String,
    /// The tenant's name.
    #[schema(example = "acme")]
    pub slug: String,
    /// What it does.
    #[schema(schema_with = words::workflow)]
    pub kind: String,
    /// Where it is.
    #[schema(schema_with = words::run)]
    pub status: String,
    /// The step that it is at; left out when it is at none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::step)]
    pub current_step: Option<String>,
    /// Why it was unwound or is stuck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cause: Option<Failure>,
    /// All steps, in order.
    pub steps: Vec<Step>,
}

/// One step of a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Its name.
    #[schema(schema_with = words::step)]
    pub name: String,
    /// Where it is.
    #[schema(schema_with = words::step_status)]
    pub status: String,
    /// How often it was begun.
    pub attempts: u32,
    /// When it was first begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
}
