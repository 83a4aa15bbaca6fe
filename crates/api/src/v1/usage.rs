//! Usage: meters, what became of a batch of events, reports.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenantry_domain::usage::{self as domain, Aggregation, Window};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

fn aggregation() -> Object {
    let description =
        "`sum` of all amounts, `max` of them, `last` by the events' own time, `unique` values counted once.";
    let words = Aggregation::ALL.map(Aggregation::as_str);
    ObjectBuilder::new().schema_type(Type::String).description(Some(description)).enum_values(Some(words)).build()
}

fn window() -> Object {
    let words = Window::ALL.map(Window::as_str);
    let description = "What the span is cut into, in UTC.";
    ObjectBuilder::new().schema_type(Type::String).description(Some(description)).enum_values(Some(words)).build()
}

/// A meter: what of tenants' usage is counted. Its name is the `type` of the events that it measures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MeterSpec {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_length = 1, max_length = 1000)]
    pub description: Option<String>,
    /// What is counted.
    #[schema(min_length = 1, max_length = 50, example = "byte")]
    pub unit: String,
    /// How the events of a window become one figure. Stays once something was counted.
    #[schema(schema_with = aggregation)]
    pub aggregation: String,
    /// The field of `data` that is read; left out for a sum that counts events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 40, pattern = "^[A-Za-z_][A-Za-z0-9_-]*$", example = "bytes")]
    pub value: Option<String>,
    /// Fields of `data` that figures are kept apart by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 5, example = json!(["region"]))]
    pub dimensions: Vec<String>,
    /// A quota of plans whose use is what this meter has counted in the calendar month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 63, example = "egress")]
    pub quota: Option<String>,
}

impl From<&domain::MeterSpec> for MeterSpec {
    fn from(spec: &domain::MeterSpec) -> Self {
        Self {
            description: spec.description.clone(),
            unit: spec.unit.clone(),
            aggregation: spec.aggregation.as_str().to_owned(),
            value: spec.value.as_ref().map(ToString::to_string),
            dimensions: spec.dimensions.iter().map(ToString::to_string).collect(),
            quota: spec.quota.as_ref().map(ToString::to_string),
        }
    }
}

/// A usage event: a CloudEvent 1.0 in JSON. Further attributes are let be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageEvent {
    /// `1.0`.
    #[schema(example = "1.0", pattern = "^1[.]0$")]
    pub specversion: String,
    /// Unique in its source: the same tenant, source and id is the same event, which counts once.
    #[schema(min_length = 1, max_length = 256, example = "req-8f14e45f")]
    pub id: String,
    /// Who made it.
    #[schema(min_length = 1, max_length = 256, example = "/api/eu-west")]
    pub source: String,
    /// The meter.
    #[serde(rename = "type")]
    #[schema(max_length = 50, pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", example = "egress")]
    pub kind: String,
    /// The tenant's slug or id.
    #[schema(min_length = 1, max_length = 256, example = "acme")]
    pub subject: String,
    /// When it happened; at most 35 days ago. It says in which hour the event counts; a repetition repeats it.
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
    /// What is measured.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    #[schema(value_type = Object, example = json!({"bytes": 1048576, "region": "eu-west"}))]
    pub data: serde_json::Map<String, serde_json::Value>,
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageAnswer {
    /// Counted now.
    #[schema(example = 998)]
    pub accepted: u32,
    /// Counted before, and not again.
    #[schema(example = 1)]
    pub duplicates: u32,
    /// Not counted; `errors` says why.
    #[schema(example = 1)]
    pub refused: u32,
    /// One for each event that was not counted, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<UsageError>,
}

/// Why an event was not counted. The others of its batch were.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageError {
    /// Its place in the batch, from 0.
    pub index: u32,
    /// Its id; left out where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub id: Option<String>,
    /// The kind of mistake.
    #[schema(example = "TEN-0082", pattern = "^TEN-[0-9]{4}$")]
    pub code: String,
    /// The attribute at fault, `data.bytes`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// What a tenant used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageReport {
    /// Whose.
    #[schema(example = "acme")]
    pub tenant: String,
    /// The meter.
    #[schema(example = "egress")]
    pub meter: String,
    /// What it counts.
    #[schema(example = "byte")]
    pub unit: String,
    /// How.
    #[schema(schema_with = aggregation)]
    pub aggregation: String,
    /// What the span is cut into.
    #[schema(schema_with = window)]
    pub window: String,
    /// The beginning of the first window.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// The end of the last window.
    #[schema(value_type = String, format = DateTime)]
    pub to: Timestamp,
    /// By time, then by dimensions. Windows without usage are left out.
    pub items: Vec<UsageWindow>,
    /// Whether there is more than fits one answer; ask for a shorter span then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
}

/// What one window came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageWindow {
    /// When it begins.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub to: Timestamp,
    /// The figure, an exact decimal.
    #[schema(example = "1048576.5", pattern = "^-?[0-9]+([.][0-9]+)?$")]
    pub value: String,
    /// How many events.
    #[schema(example = 12)]
    pub events: i64,
    /// The dimensions that were asked for; one that the events did not have is left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(example = json!({"region": "eu-west"}))]
    pub dimensions: BTreeMap<String, String>,
}

/// An environment's usage of a meter, by tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageRanking {
    /// The meter.
    #[schema(example = "egress")]
    pub meter: String,
    /// What it counts.
    #[schema(example = "byte")]
    pub unit: String,
    /// How.
    #[schema(schema_with = aggregation)]
    pub aggregation: String,
    /// From here on.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// Until here.
    #[schema(value_type = String, format = DateTime)]
    pub to: Timestamp,
    /// Those with most first.
    pub items: Vec<UsageShare>,
}

/// What one tenant had of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageShare {
    /// The tenant's id.
    pub id: String,
    /// The tenant's slug.
    #[schema(example = "acme")]
    pub tenant: String,
    /// The figure, an exact decimal.
    #[schema(example = "1048576.5", pattern = "^-?[0-9]+([.][0-9]+)?$")]
    pub value: String,
    /// How many events.
    #[schema(example = 12)]
    pub events: i64,
}
