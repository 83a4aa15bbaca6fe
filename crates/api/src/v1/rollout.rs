//! Rollouts: a version of an app on its way to its targets.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::tenant::Failure;
use super::words;

/// One version of an app on its way to all of its targets: the shared tables of each cell, and each tenant's own place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Its id.
    #[schema(example = "rol_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub id: String,
    /// The environment that it belongs to.
    #[schema(example = "prod")]
    pub environment: String,
    /// The app.
    #[schema(example = "chat")]
    pub app: String,
    /// The version that targets are brought to.
    #[schema(example = 7)]
    pub version: i64,
    /// The version at which targets stay until they are released, unless they have another one.
    #[schema(example = 6)]
    pub base_version: i64,
    /// Where it is.
    #[schema(schema_with = words::rollout)]
    pub status: String,
    /// Why it stands still; left out while it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "1 target(s) of wave 1 failed")]
    pub reason: Option<String>,
    /// The present wave, counted from 1; 0 before the targets are known.
    pub wave: u32,
    /// All waves, in order; empty before the targets are known.
    pub waves: Vec<Wave>,
    /// How all targets stand.
    pub targets: Progress,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Who began it.
    #[schema(example = "operator:tok_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub created_by: String,
    /// When it was over; left out before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
}

impl Rollout {
    /// Whether nothing will happen any more without somebody's doing.
    #[must_use]
    pub fn stands(&self) -> bool {
        !matches!(self.status.as_str(), "planning" | "running")
    }

    /// Whether all targets have the version.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.status == "completed" && self.targets.failed == 0
    }
}

/// One wave of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Wave {
    /// Its number, from 1.
    pub number: u32,
    /// How its targets stand.
    pub targets: Progress,
}

/// Progress in targets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Progress {
    /// How many in all.
    pub total: u64,
    /// Not begun.
    pub waiting: u64,
    /// At work, or being tried again.
    pub running: u64,
    /// Brought to the version.
    pub done: u64,
    /// As the version wants it already, by the fingerprint of the catalog; nothing ran.
    pub current: u64,
    /// Not brought to the version; as before the file that failed.
    pub failed: u64,
    /// No longer there, or left out by somebody.
    pub skipped: u64,
}

/// One target of a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The cell.
    #[schema(example = "eu-west-1")]
    pub cell: String,
    /// The tenant's id; left out for the tables that the cell's tenants share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "ten_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub tenant: Option<String>,
    /// The tenant's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "acme")]
    pub slug: Option<String>,
    /// Its wave, from 1.
    pub wave: u32,
    /// How it stands.
    #[schema(schema_with = words::rollout_target)]
    pub status: String,
    /// The version that it had.
    pub from_version: i64,
    /// Why it failed, or why it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cause: Option<Failure>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
}

/// What a rollout of an app's newest version would do now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutPlan {
    /// The app.
    #[schema(example = "chat")]
    pub app: String,
    /// Its newest version.
    #[schema(example = 7)]
    pub version: i64,
    /// Targets in each wave, by wave from 1.
    pub waves: Vec<u64>,
    /// Targets that have the structure already.
    pub current: u64,
    /// Targets that would be migrated, by the version that they have.
    pub behind: BTreeMap<String, u64>,
    /// Cells that could not be looked at; what is on them counts as not current.
    #[serde(default)]
    pub unseen_cells: Vec<String>,
}

/// Something that a tenant added to its own place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Addition {
    /// `table`, `view`, `sequence`, `column`, `index`, `constraint`, `trigger`, `function`, `type` or `extension`.
    pub kind: String,
    /// The app's table that it belongs to, for columns, indexes, constraints and triggers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Its name; of a function with its arguments; of a view outside of the app's schema with its schema.
    pub name: String,
    /// The tables (`notes`) and columns (`notes.body`) of the place that it needs.
    pub needs: Vec<String>,
}

/// A statement of a migration file that cannot run because of something that a tenant added.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdditionClash {
    /// What was added, `view reports`.
    pub object: String,
    /// What the statement would do to it.
    pub reason: String,
    /// File and line of the statement, `0003_more.sql:4`.
    pub place: String,
    /// The statement's beginning.
    pub statement: String,
}

/// What a tenant added to its own place, and which files of the app's newest version it is in the way of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Additions {
    /// Empty at level `shared`, where nobody has a place of its own.
    pub items: Vec<Addition>,
    /// Empty when the files that did not run there yet can run.
    pub clashes: Vec<AdditionClash>,
}
