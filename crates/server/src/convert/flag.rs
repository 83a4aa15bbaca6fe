//! Flags, features, their use, levels; and answers of the OpenFeature Remote Evaluation Protocol.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tenantry_api::v1::flag::{
    Feature, FeatureDay, FeatureFlag, FeatureUsage, Features, FlagSpec, LevelDeviation, OfrepEvaluation,
};
use tenantry_control::flags::{self, FlagRow, OffLevel};
use tenantry_domain::flag::{self as domain, FlagName, Source};
use tenantry_domain::name::{EnvironmentName, PlanCode};

/// A flag; one that was removed says nothing.
#[must_use]
pub fn flag(row: FlagRow, environment: &EnvironmentName) -> FeatureFlag {
    FeatureFlag {
        name: row.name.to_string(),
        environment: environment.to_string(),
        spec: row.flag.as_ref().map(FlagSpec::from).unwrap_or_default(),
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
        updated_by: row.updated_by,
    }
}

/// All features of a tenant.
#[must_use]
pub fn features(all: &flags::Features) -> Features {
    let features = all.features.iter().map(|(name, feature)| (name.to_string(), Feature::from(feature))).collect();
    Features { plan: all.plan.to_string(), features }
}

/// How often a tenant used its features.
#[must_use]
pub fn usage(usage: flags::Usage) -> FeatureUsage {
    let mut totals: BTreeMap<String, i64> = BTreeMap::new();
    for used in &usage.days {
        let total = totals.entry(used.feature.to_string()).or_default();
        *total = total.saturating_add(used.uses);
    }
    let day =
        |used: flags::FeatureUse| FeatureDay { day: used.day, feature: used.feature.to_string(), uses: used.uses };
    FeatureUsage {
        from: usage.from,
        to: usage.to,
        totals,
        days: usage.days.into_iter().map(day).collect(),
        is_cut: usage.is_cut,
    }
}

/// A tenant at another level than its plan's.
#[must_use]
pub fn level(row: OffLevel) -> LevelDeviation {
    LevelDeviation {
        tenant: row.tenant.to_string(),
        slug: row.slug.to_string(),
        plan: row.plan.to_string(),
        paid: row.paid.to_string(),
        placed: row.placed.map(|level| level.to_string()),
        overridden: row.overridden.map(|level| level.to_string()),
        reason: row.reason,
    }
}

/// OpenFeature's word for who decided.
const fn reason(source: Source) -> &'static str {
    match source {
        Source::Switch => "DISABLED",
        Source::Override | Source::Cell | Source::Plan => "TARGETING_MATCH",
        Source::Rollout => "SPLIT",
        Source::Default => "DEFAULT",
    }
}

/// A feature in the shape of the protocol. Nothing as a value means that the program's own default is to be taken.
#[must_use]
pub fn evaluation(name: &FlagName, plan: &PlanCode, feature: &domain::Feature) -> OfrepEvaluation {
    let variant = match &feature.value {
        Value::Bool(true) => "on",
        Value::Bool(false) => "off",
        _ => feature.source.as_str(),
    };
    let mut metadata = BTreeMap::from([
        ("source".to_owned(), json!(feature.source.as_str())),
        ("plan".to_owned(), json!(plan.as_str())),
    ]);
    metadata.extend(feature.reason.as_ref().map(|why| ("why".to_owned(), json!(why))));
    metadata.extend(feature.until.map(|until| ("until".to_owned(), json!(until.to_string()))));
    OfrepEvaluation {
        key: name.to_string(),
        value: Some(feature.value.clone()).filter(|value| !value.is_null()),
        reason: reason(feature.source).to_owned(),
        variant: variant.to_owned(),
        metadata,
    }
}
