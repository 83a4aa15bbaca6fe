//! What a tenant gets at one moment, each value with its origin.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenantry_domain::plan::entitlement as domain;
use utoipa::ToSchema;

use super::quota::bound;
use super::tenant::{amount, text};
use super::words;

/// Plan plus overrides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Entitlements {
    /// The plan they come from.
    #[schema(example = "standard")]
    pub plan: String,
    /// The version of the plan that the tenant has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 3)]
    pub plan_version: Option<i64>,
    /// The level.
    pub isolation: Entitlement,
    /// By name.
    pub quotas: BTreeMap<String, Entitlement>,
    /// By endpoint class.
    pub rate_limits: BTreeMap<String, Entitlement>,
    /// By name.
    pub features: BTreeMap<String, Entitlement>,
}

/// A value with its origin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Entitlement {
    /// What holds.
    pub value: Value,
    /// Why.
    #[schema(schema_with = words::origin)]
    pub origin: String,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
}

fn derived<T>(derived: &domain::Derived<T>, show: impl Fn(&T) -> Value) -> Entitlement {
    Entitlement { value: show(&derived.value), origin: text(&derived.origin), until: derived.until }
}

fn named<T>(all: &BTreeMap<String, domain::Derived<T>>, show: impl Fn(&T) -> Value) -> BTreeMap<String, Entitlement> {
    all.iter().map(|(name, one)| (name.clone(), derived(one, &show))).collect()
}

impl From<&domain::Entitlements> for Entitlements {
    fn from(all: &domain::Entitlements) -> Self {
        Self {
            plan: all.plan.to_string(),
            plan_version: None,
            isolation: derived(&all.isolation, |level| level.as_str().into()),
            quotas: named(&all.quotas, bound),
            rate_limits: named(&all.rate_limits, amount),
            features: named(&all.features, Value::clone),
        }
    }
}
