//! What the doors get to see: values of the registry, free of storage details.

use serde::{Deserialize, Serialize};
use tenantry_domain::Timestamp;
use tenantry_domain::diff::FieldChange;
use tenantry_domain::id::{OperationId, TenantId, WorkflowId};
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::placement::Decision;
use tenantry_domain::reconcile::{Hold, Step};
use tenantry_domain::tenant::lifecycle::{Phase, State};
use tenantry_domain::tenant::{Slug, Spec};
use tenantry_domain::workflow::{Cause, StepName};

/// A statement about a tenant that is true, false or unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What the statement is about: `Ready`, `Drifted`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it holds.
    pub status: bool,
    /// Why, one word.
    pub reason: String,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Since when the status is what it is.
    pub since: Timestamp,
}

/// A tenant with its status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    /// The canonical id.
    pub id: TenantId,
    /// The partition.
    pub environment: EnvironmentName,
    /// The readable name.
    pub slug: Slug,
    /// The newest version of the desired state; the ETag.
    pub version: i64,
    /// The newest version that is in effect.
    pub observed_version: i64,
    /// The desired state.
    pub spec: Spec,
    /// Where the lifecycle shall be; `deleted` while a deletion waits.
    pub requested: Phase,
    /// Where the lifecycle is.
    pub state: State,
    /// What holds.
    pub conditions: Vec<Condition>,
    /// Why the newest version could not be brought into effect.
    pub failure: Option<Cause>,
    /// When the record was made.
    pub created_at: Timestamp,
    /// When the record last changed.
    pub updated_at: Timestamp,
    /// Who made it.
    pub created_by: String,
}

/// One version of a tenant's or catalog object's desired state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// Its number.
    pub version: i64,
    /// The desired state as it was.
    pub spec: serde_json::Value,
    /// Who made it.
    pub author: String,
    /// By which action.
    pub action: String,
    /// When.
    pub at: Timestamp,
}

/// Proof of the audit entry that a mutation left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The entry's number on its subject's chain.
    pub seq: i64,
    /// The chain's hash after it, hexadecimal.
    pub hash: String,
}

/// The answer to a mutation of one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// The tenant after the change.
    pub tenant: Tenant,
    /// The long work that follows; absent when the request changed nothing.
    pub operation: Option<OperationId>,
    /// The audit entry; absent when the request changed nothing.
    pub receipt: Option<Receipt>,
}

/// What applying does, or would do, to one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// There was none.
    Created,
    /// A new version.
    Changed,
    /// Already so.
    Unchanged,
}

/// The preview of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedObject {
    /// `Tenant`, `Plan`, …
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What would happen to the record.
    pub outcome: Outcome,
    /// Which fields would change.
    pub changes: Vec<FieldChange>,
    /// Which steps would run.
    pub steps: Vec<Step>,
    /// Where a new tenant would go.
    pub placement: Option<Decision>,
    /// Why nothing would run although something differs.
    pub hold: Option<Hold>,
}

/// The result for one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppliedObject {
    /// `Tenant`, `Plan`, …
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What happened to the record.
    pub outcome: Outcome,
    /// Its version now.
    pub version: i64,
    /// The tenant's id, for tenants.
    pub id: Option<TenantId>,
}

/// The result of applying manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// Follows all tenants that the manifests touched until they converged; absent when nothing changed.
    pub operation: Option<OperationId>,
    /// One result per document, in their order.
    pub objects: Vec<AppliedObject>,
}

/// A plan, region, cell or app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    /// `Plan`, `Region`, `Cell`, `App`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its version; the ETag.
    pub version: i64,
    /// The desired state.
    pub spec: serde_json::Value,
    /// When the record was made.
    pub created_at: Timestamp,
    /// When the record last changed.
    pub updated_at: Timestamp,
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OperationStatus {
    /// Accepted; its work has not begun.
    Waiting,
    /// At work.
    Running,
    /// All targets reached their version.
    Completed,
    /// At least one target was unwound, none is at work any more.
    Failed,
    /// At least one target needs a human, none is at work any more.
    Stuck,
}

impl OperationStatus {
    /// Whether nothing more will happen by itself.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Stuck)
    }
}

/// Long work as its caller follows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// The partition.
    pub environment: EnvironmentName,
    /// The request that began it, `tenant.suspend`.
    pub kind: String,
    /// How far it is.
    pub status: OperationStatus,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When its last target ended; absent before.
    pub ended_at: Option<Timestamp>,
    /// Who asked.
    pub requested_by: String,
    /// Tenants in all.
    pub total: i64,
    /// Tenants that reached their version.
    pub done: i64,
    /// Tenants that failed or are stuck.
    pub failed: i64,
    /// Workflows of the targets; those at work or in trouble first, at most 50.
    pub workflows: Vec<Workflow>,
}

/// A workflow run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workflow {
    /// Its id.
    pub id: WorkflowId,
    /// Whom it is about.
    pub tenant: TenantId,
    /// The tenant's readable name.
    pub slug: String,
    /// What it does; a word of another release's when this one does not know it.
    pub kind: String,
    /// `running`, `completed`, `unwound` or `stuck`.
    pub status: String,
    /// Why it was unwound or is stuck.
    pub cause: Option<Cause>,
    /// Its steps in order.
    pub steps: Vec<StepProgress>,
}

/// One step of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepProgress {
    /// Its name.
    pub name: StepName,
    /// `pending`, `running`, `done`, `failed` or `undone`.
    pub status: String,
    /// How often it was begun.
    pub attempts: u32,
    /// When it was first begun.
    pub started_at: Option<Timestamp>,
    /// When its result was committed.
    pub ended_at: Option<Timestamp>,
}
