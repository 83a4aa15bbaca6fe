//! What events about work carry: workflows, drift, findings of the guard, rollouts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A workflow began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationStarted {
    /// The workflow.
    #[schema(example = "wf_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub workflow: String,
    /// What it is for, `onboard`, `suspend`, ….
    #[schema(example = "onboard")]
    pub kind: String,
    /// The tenant's version that it is to reach.
    #[schema(example = 1)]
    pub version: i64,
}

/// A step that matters to watchers is done, or somebody steered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationProgressed {
    /// The workflow.
    #[schema(example = "wf_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub workflow: String,
    /// What it is for.
    #[schema(example = "update")]
    pub kind: String,
    /// What somebody asked for, `operation.cancel` or `operation.retry`.
    #[schema(example = "operation.retry")]
    pub action: Option<String>,
    /// The tenant's name, where an update was reached; so with all that follows.
    #[schema(example = "acme")]
    pub slug: Option<String>,
    /// The state that the tenant is in.
    #[schema(example = "active")]
    pub state: Option<String>,
    /// The plan that it is bound to.
    #[schema(example = "starter")]
    pub plan: Option<String>,
    /// The app that serves it.
    #[schema(example = "chat")]
    pub app: Option<String>,
    /// Ids in other systems, system → id.
    pub external_ids: Option<BTreeMap<String, String>>,
    /// The region of its place.
    pub region: Option<String>,
    /// The cell of its place.
    pub cell: Option<String>,
    /// The isolation level of its place.
    pub isolation: Option<String>,
}

/// A workflow ended, or needs a human.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperationEnded {
    /// The workflow.
    #[schema(example = "wf_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub workflow: String,
    /// What it is for.
    #[schema(example = "onboard")]
    pub kind: String,
    /// The code of what went wrong; nothing for a completed one.
    #[schema(example = "TEN-0012")]
    pub cause: Option<String>,
}

/// A deviation of the data plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deviation {
    /// What deviates, one word.
    #[schema(example = "policy-missing")]
    pub kind: String,
    /// The object, as PostgreSQL names it.
    #[schema(example = "table messages")]
    pub object: String,
    /// Whether a repair can put it right.
    pub repairable: bool,
}

/// The data plane deviates from the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drifted {
    /// The tenant's name.
    #[schema(example = "acme")]
    pub slug: String,
    /// All that deviates.
    pub findings: Vec<Deviation>,
}

/// Deviations are there no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Repaired {
    /// The tenant's name.
    #[schema(example = "acme")]
    pub slug: String,
    /// Empty, where a look found that nothing deviates; left out where a repair ended, which names what follows.
    pub findings: Option<Vec<Deviation>>,
    /// The state that the tenant is in.
    #[schema(example = "active")]
    pub state: Option<String>,
    /// The plan that it is bound to.
    pub plan: Option<String>,
    /// The app that serves it.
    pub app: Option<String>,
    /// Ids in other systems, system → id.
    pub external_ids: Option<BTreeMap<String, String>>,
    /// The region of its place.
    pub region: Option<String>,
    /// The cell of its place.
    pub cell: Option<String>,
    /// The isolation level of its place.
    pub isolation: Option<String>,
}

/// A finding of the guard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IsolationFinding {
    /// The check.
    #[schema(example = "rls-forced")]
    pub check: String,
    /// What it was found at.
    #[schema(example = "table app.messages")]
    pub object: String,
    /// `critical` or `high`.
    #[schema(example = "critical")]
    pub severity: String,
    /// The check's title.
    pub title: String,
    /// Since when it is known.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
}

/// Critical or high findings of a place are new, or found no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IsolationFindings {
    /// The cell.
    #[schema(example = "eu-west-1")]
    pub cell: String,
    /// `server`, `home/<app>` or `tenant/<id>`.
    #[schema(example = "home/chat")]
    pub place: String,
    /// Who found it, `guard` or `probe`.
    #[schema(example = "guard")]
    pub kind: String,
    /// The worst severity among them.
    #[schema(example = "critical")]
    pub severity: Option<String>,
    /// How many there are.
    #[schema(minimum = 1)]
    pub count: u64,
    /// The first fifty of them.
    #[schema(max_items = 50)]
    pub findings: Vec<IsolationFinding>,
}

/// Where the rollout of an app's version stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// The rollout.
    #[schema(example = "rol_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub rollout: String,
    /// The app.
    #[schema(example = "chat")]
    pub app: String,
    /// The version that is rolled out.
    #[schema(example = 2)]
    pub version: i64,
    /// How it stands.
    #[schema(example = "running")]
    pub status: Option<String>,
    /// The present wave, from 0.
    pub wave: Option<u64>,
    /// Why it stands still or ended.
    pub reason: Option<String>,
    /// The status that it has from now on.
    pub to: Option<String>,
    /// How many targets may begin now.
    pub released: Option<u64>,
    /// How many targets there are, where it was planned.
    pub targets: Option<u64>,
    /// How many of them have the version already.
    pub current: Option<u64>,
    /// How many of them have something of the tenant's own that the new files would meet.
    pub clashing: Option<u64>,
    /// How many waves there are, where it was planned.
    pub waves: Option<u64>,
    /// Cells that did not answer when it was planned.
    pub unseen_cells: Option<Vec<String>>,
    /// How many targets have just reached the version.
    pub done: Option<u64>,
    /// How many have just failed.
    pub failed: Option<u64>,
    /// How many were just left out.
    pub skipped: Option<u64>,
    /// How many have it by sharing a place with others.
    pub shared: Option<u64>,
    /// Whether the tenant's update is tried again; its own events only.
    pub tried_again: Option<bool>,
}
