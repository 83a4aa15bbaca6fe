//! Flags of an environment, features of a tenant, their use; and the shapes of the OpenFeature Remote Evaluation Protocol
//! (OFREP), which are that protocol's and not ours.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenantry_domain::flag as domain;
use utoipa::ToSchema;

use super::words;

/// What an environment says about a feature beyond its plans and tenants.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FlagSpec {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_length = 1, max_length = 1000)]
    pub description: Option<String>,
    /// What tenants have about whom nobody else says anything; left out, they have no such feature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Value>)]
    pub default: Option<Value>,
    /// The emergency switch: there while the feature is off for everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub off: Option<FlagOff>,
    /// What everybody has while the switch is off; `false` unless given. Of the same kind as the other values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Value>)]
    pub off_value: Option<Value>,
    /// A value on its way to all tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rollout: Option<FlagRollout>,
    /// Deviations of cells, by name; at most 200.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cells: BTreeMap<String, Value>,
}

/// Why a feature is off for everybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FlagOff {
    /// For people, and for callers that are refused.
    #[schema(min_length = 1, max_length = 500, example = "the index is being rebuilt")]
    pub reason: String,
}

/// Switches a feature off for everybody.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FlagOffRequest {
    /// For people, and for callers that are refused.
    #[schema(min_length = 1, max_length = 500, example = "the index is being rebuilt")]
    pub reason: String,
    /// What everybody gets; as it was, which is `false` where nobody said otherwise. Owed for a feature whose values are of
    /// another kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Value>, example = "plain")]
    pub off_value: Option<Value>,
}

/// A value that a share of the tenants have. Which ones is fixed per tenant and flag: a growing share keeps whom it has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FlagRollout {
    /// What tenants in the share have.
    pub value: Value,
    /// The share in percent.
    #[schema(maximum = 100, example = 25)]
    pub percent: u8,
}

/// A flag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeatureFlag {
    /// The feature that it decides.
    #[schema(example = "search.v2", max_length = 63)]
    pub name: String,
    /// The partition.
    #[schema(example = "prod")]
    pub environment: String,
    /// What it says.
    pub spec: FlagSpec,
    /// Rises with every change; the ETag.
    #[schema(example = 1)]
    pub version: i64,
    /// Since when the name is known.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Its last change.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Who made the last change.
    #[schema(example = "operator:tok_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub updated_by: String,
}

/// What a feature is to one tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Feature {
    /// What holds.
    pub value: Value,
    /// Who decided.
    #[schema(schema_with = words::feature_source)]
    pub source: String,
    /// Why, where somebody wrote it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
}

/// All features of a tenant at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Features {
    /// Its plan.
    #[schema(example = "standard")]
    pub plan: String,
    /// By name.
    pub features: BTreeMap<String, Feature>,
}

/// Uses a feature.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeatureUseRequest {
    /// How often; once unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 1_000_000)]
    pub count: Option<u32>,
}

/// How often a tenant used its features.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeatureUsage {
    /// The first day, in UTC.
    #[schema(example = "2027-03-01")]
    pub from: String,
    /// The last day, in UTC.
    #[schema(example = "2027-03-31")]
    pub to: String,
    /// By feature: all days together.
    pub totals: BTreeMap<String, i64>,
    /// By day and feature; days and features without a use are left out.
    pub days: Vec<FeatureDay>,
    /// Whether there are more days and features than an answer holds.
    pub is_cut: bool,
}

/// Uses of one feature on one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeatureDay {
    /// The day, in UTC.
    #[schema(example = "2027-03-31")]
    pub day: String,
    /// The feature.
    pub feature: String,
    /// How often.
    pub uses: i64,
}

/// A tenant that lives, or is meant to live, at another level than the one that its plan is paid for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LevelDeviation {
    /// Whose.
    #[schema(example = "ten_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub tenant: String,
    /// Its name.
    #[schema(example = "acme")]
    pub slug: String,
    /// Its plan.
    #[schema(example = "standard")]
    pub plan: String,
    /// The plan's level.
    #[schema(schema_with = words::isolation)]
    pub paid: String,
    /// The level of its place; left out while it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::isolation)]
    pub placed: Option<String>,
    /// The level that an override gives now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::isolation)]
    pub overridden: Option<String>,
    /// Why the override was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
}

/// OFREP: asks for flags.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OfrepRequest {
    /// About whom: `tenant`, or else `targetingKey`, is the name or id of a tenant. Other entries are not read.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"targetingKey": "acme"}))]
    pub context: Value,
}

/// OFREP: a flag's value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OfrepEvaluation {
    /// The flag.
    #[schema(example = "search.v2")]
    pub key: String,
    /// What holds; left out where the program's own default is to be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Value>)]
    pub value: Option<Value>,
    /// Why, in OpenFeature's words.
    #[schema(example = "SPLIT")]
    pub reason: String,
    /// A name for the value.
    #[schema(example = "on")]
    pub variant: String,
    /// `source`, and `plan`, `why` or `until` where they say something.
    pub metadata: BTreeMap<String, Value>,
}

/// OFREP: all flags of a tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OfrepFlags {
    /// By name.
    pub flags: Vec<OfrepEvaluation>,
}

/// OFREP: why there is no value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OfrepFailure {
    /// The flag; left out when all were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub key: Option<String>,
    /// In OpenFeature's words.
    #[schema(example = "FLAG_NOT_FOUND")]
    pub error_code: String,
    /// For people.
    pub error_details: String,
}

/// OFREP: how a provider is to be set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OfrepConfiguration {
    /// Who answers.
    #[schema(example = "tenantry")]
    pub name: String,
    /// What it can do.
    #[schema(value_type = Object)]
    pub capabilities: Value,
}

impl From<&domain::Flag> for FlagSpec {
    fn from(flag: &domain::Flag) -> Self {
        let is_plain = flag.off_value == Value::Bool(false);
        Self {
            description: flag.description.clone(),
            default: flag.default.clone(),
            off: flag.off.as_ref().map(|off| FlagOff { reason: off.reason.clone() }),
            off_value: (!is_plain).then(|| flag.off_value.clone()),
            rollout: flag
                .rollout
                .as_ref()
                .map(|rollout| FlagRollout { value: rollout.value.clone(), percent: rollout.percent }),
            cells: flag.cells.iter().map(|(cell, value)| (cell.to_string(), value.clone())).collect(),
        }
    }
}

impl From<&domain::Feature> for Feature {
    fn from(feature: &domain::Feature) -> Self {
        Self {
            value: feature.value.clone(),
            source: feature.source.as_str().to_owned(),
            reason: feature.reason.clone(),
            until: feature.until,
        }
    }
}
