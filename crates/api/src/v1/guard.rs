//! What the guard found at a cell's places, and what came through at the leak probe.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::words;

/// How many findings there are of each severity. Accepted ones are not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FindingCounts {
    /// One tenant reads or writes another one's rows.
    pub critical: u64,
    /// It does so with a little help, or learns about others.
    pub high: u64,
    /// A protection is missing that another one stands in for.
    pub medium: u64,
    /// Worth knowing.
    pub low: u64,
}

/// A critical or high finding that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IsolationFinding {
    /// The check; `tenantry guard --explain` says what it means.
    #[schema(example = "T1a")]
    pub check: String,
    /// What it was found at.
    #[schema(example = "table app.messages")]
    pub object: String,
    /// How much harm it can do.
    #[schema(schema_with = words::severity)]
    pub severity: String,
    /// What is wrong, in one line.
    #[schema(example = "Row-level security is off on a tenant table that is in use")]
    pub title: String,
    /// Since when it is known.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
}

/// One place of a cell, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlaceSummary {
    /// `server`, `home/<app>` for what an app's tenants share and their schemas, or `tenant/<id>` for a database of its own.
    #[schema(example = "home/chat")]
    pub place: String,
    /// Whose database it is; left out for what tenants have in common.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "ten_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub tenant: Option<String>,
    /// When it was looked at, by its server's clock.
    #[schema(value_type = String, format = DateTime)]
    pub taken_at: Timestamp,
    /// How many findings.
    pub counts: FindingCounts,
    /// The critical and high ones, the worst first, at most 50; the report has all.
    pub open: Vec<IsolationFinding>,
}

/// One pair of canary tenants as the leak probe found it last: the first tries to reach the second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProbePair {
    /// The place of the tenant that tries.
    #[schema(example = "tenant/ten_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub place: String,
    /// The app of both; left out once the tenant is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "chat")]
    pub app: Option<String>,
    /// The level of both; left out once the tenant is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::isolation)]
    pub isolation: Option<String>,
    /// How the seal keeps the tenant of a transaction there; left out in a report of an older release, as are the numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::seal)]
    pub seal: Option<String>,
    /// When it was tried, by its server's clock.
    #[schema(value_type = String, format = DateTime)]
    pub taken_at: Timestamp,
    /// How many probes were sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub probes: Option<u64>,
    /// How many of them the server carried out; it refused the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub executed: Option<u64>,
    /// How many values of the other tenant were looked for. Without one the run proves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub canaries: Option<u64>,
    /// Probes that gave, changed or confirmed a value of the other tenant.
    pub leaks: u64,
    /// The objects at which that happened, at most 50.
    pub open: Vec<IsolationFinding>,
}

/// The leak probe on a cell as it ended last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProbeIsolation {
    /// When every pair had been tried; left out before the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = String, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// When the next run is due; left out when the probe does not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = String, format = DateTime)]
    pub due_at: Option<Timestamp>,
    /// Whether it is running.
    pub is_running: bool,
    /// Why the last run did not reach every pair; left out when it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub failure: Option<String>,
    /// Probes of all pairs that came through.
    pub leaks: u64,
    /// Probes of all pairs that were sent.
    pub probes: u64,
    /// How many pairs there are.
    pub pairs_count: u64,
    /// The pairs, those that leak first, at most 200.
    pub pairs: Vec<ProbePair>,
}

/// A cell as the guard found it last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CellIsolation {
    /// The cell.
    #[schema(example = "eu-west-1")]
    pub cell: String,
    /// When every place had been looked at; left out before the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = String, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// When the next look is due; left out when nobody looks unasked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = String, format = DateTime)]
    pub due_at: Option<Timestamp>,
    /// Whether somebody is looking.
    pub is_running: bool,
    /// Whether a look that was asked for has not ended.
    pub is_requested: bool,
    /// Why the last look did not reach every place; left out when it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub failure: Option<String>,
    /// Findings at all places.
    pub counts: FindingCounts,
    /// How many places there are.
    pub places_count: u64,
    /// The places, the worst first, at most 200.
    pub places: Vec<PlaceSummary>,
    /// What the leak probe found last; left out where it never ran and does not. Its leaks are not among `counts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub probe: Option<ProbeIsolation>,
    /// The id of the key that reports are signed with.
    pub key_id: String,
    /// The public key, in hexadecimal digits, that they are verified with.
    pub public_key: String,
}

/// One place in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlaceIsolation {
    /// The cell.
    #[schema(example = "eu-west-1")]
    pub cell: String,
    /// `home/<app>` for what an app's tenants share and their schemas, or `tenant/<id>` for a database of its own.
    #[schema(example = "home/chat")]
    pub place: String,
    /// Since when exactly these findings are there.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// The critical and high findings, with the time since when each is known.
    pub open: Vec<IsolationFinding>,
    /// The report as `tenantry guard` gives it; its form has a version of its own.
    #[schema(value_type = Object)]
    pub report: Value,
    /// The id of the key that reports are signed with.
    pub key_id: String,
    /// The public key, in hexadecimal digits, that they are verified with.
    pub public_key: String,
}
