//! What events about the catalog, flags, quotas and endpoints of webhooks carry.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A plan, region, cell or app changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CatalogUpdated {
    /// `Plan`, `Region`, `Cell` or `App`.
    #[schema(example = "Plan")]
    pub kind: String,
    /// Its name.
    #[schema(example = "starter")]
    pub name: String,
    /// The version that was made; nothing for a removal.
    #[schema(example = 2)]
    pub version: Option<i64>,
    /// Whether it was removed.
    pub deleted: Option<bool>,
}

/// What a tenant used in one window, as it is known now. Of several for one window the one with the highest revision holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageReported {
    /// The meter.
    #[schema(example = "egress")]
    pub meter: String,
    /// Its unit; nothing when the meter is not declared any more.
    #[schema(example = "byte")]
    pub unit: Option<String>,
    /// How its values come to one.
    #[schema(example = "sum")]
    pub aggregation: String,
    /// How long the window is.
    #[schema(example = "hour")]
    pub window: String,
    /// Its beginning.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// Its end, which is not part of it.
    #[schema(value_type = String, format = DateTime)]
    pub to: Timestamp,
    /// What it came to, as a decimal number.
    #[schema(example = "1048576")]
    pub value: String,
    /// How many events that was.
    #[schema(example = 12)]
    pub events: i64,
    /// Rises with every correction of the window, from 1.
    #[schema(example = 1)]
    pub revision: i64,
    /// The same by dimensions; empty for a meter without any.
    pub parts: Vec<UsagePart>,
    /// Whether there were more parts than are told.
    pub parts_cut: bool,
}

/// What came to one combination of dimensions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsagePart {
    /// Their values.
    pub dimensions: BTreeMap<String, String>,
    /// What it came to, as a decimal number.
    #[schema(example = "1048576")]
    pub value: String,
    /// How many events that was.
    #[schema(example = 12)]
    pub events: i64,
}

/// A feature flag has another value for somebody, was removed, or was switched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Flag {
    /// Its name.
    #[schema(example = "ai-assist")]
    pub flag: String,
    /// Its version.
    #[schema(example = 2)]
    pub version: i64,
    /// Whether the emergency switch is on: off for everybody.
    pub off: bool,
    /// Whether it was removed.
    pub removed: bool,
    /// The share of tenants that a rollout has reached; nothing without one.
    #[schema(maximum = 100)]
    pub percent: Option<u8>,
}

/// Use of a quota has crossed a mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// Its name.
    #[schema(example = "users")]
    pub quota: String,
    /// What is used.
    pub used: u64,
    /// What is set aside.
    pub reserved: u64,
    /// The limit; nothing for no bound.
    pub limit: Option<u64>,
    /// How strictly it holds.
    #[schema(example = "hard")]
    pub mode: String,
    /// What was asked for and refused.
    pub asked: Option<u64>,
}

/// An endpoint of webhooks, as it is now. Of its URL only the host is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Its id.
    #[schema(example = "whe_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub endpoint: String,
    /// The host of its URL.
    #[schema(example = "hooks.example.com")]
    pub host: String,
    /// Types of events that it wants; empty for all.
    pub types: Vec<String>,
    /// Of how many tenants it hears; nothing for all.
    pub tenants: Option<u64>,
    /// Whether order is kept per tenant.
    pub fifo: bool,
    /// Where the receiver is.
    pub region: Option<String>,
    /// The most attempts a second.
    pub rate: Option<u32>,
    /// The most requests at a time.
    pub concurrency: u16,
    /// How deliveries are signed.
    #[schema(example = "hmac")]
    pub scheme: String,
    /// Until when the secret before signs too.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub old_secret_until: Option<Timestamp>,
    /// Why it gets nothing any more.
    pub disabled: Option<String>,
}
