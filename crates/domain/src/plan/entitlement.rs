//! Plan plus overrides gives entitlements, each with its origin.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::isolation::Isolation;
use crate::limit::Bound;
use crate::name::PlanCode;
use crate::plan::PlanSpec;
use crate::quantity::Quantity;
use crate::tenant::spec::{Override, Overrides};

/// The quota that bounds database connections.
const CONNECTIONS: &str = "connections";

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// The plan says so.
    Plan,
    /// An override of the tenant says so.
    Override,
}

/// A value with its origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Derived<T> {
    /// What holds.
    pub value: T,
    /// Why.
    pub origin: Origin,
    /// When it ends; absent means no end is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl<T> Derived<T> {
    fn plan(value: T) -> Self {
        Self { value, origin: Origin::Plan, until: None }
    }
}

/// What a tenant gets at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entitlements {
    /// The plan they come from.
    pub plan: PlanCode,
    /// The level.
    pub isolation: Derived<Isolation>,
    /// By name. An override changes the limit; how strictly it holds is the plan's.
    pub quotas: BTreeMap<String, Derived<Bound>>,
    /// By endpoint class.
    pub rate_limits: BTreeMap<String, Derived<Quantity>>,
    /// By name.
    pub features: BTreeMap<String, Derived<serde_json::Value>>,
}

/// Derives what a tenant gets at `now`. An expired override counts as absent.
#[must_use]
pub fn derive(code: &PlanCode, plan: &PlanSpec, overrides: &Overrides, now: Timestamp) -> Entitlements {
    Entitlements {
        plan: code.clone(),
        isolation: one(Some(&plan.isolation), overrides.isolation.as_ref(), now)
            .unwrap_or_else(|| Derived::plan(plan.isolation)),
        quotas: bounds(&plan.quotas, &overrides.quotas, now),
        rate_limits: merge(&plan.rate_limits, &overrides.rate_limits, now),
        features: merge(&plan.features, &overrides.features, now),
    }
}

impl Entitlements {
    /// The bound on database connections, if the plan or an override sets a hard one.
    #[must_use]
    pub fn connections(&self) -> Option<u32> {
        count(&self.quotas.get(CONNECTIONS)?.value)
    }
}

/// The bound on database connections at `now`, if the plan or an override sets a hard one. It is what
/// [`Entitlements::connections`] says, for whoever asks about thousands of tenants and about nothing else.
#[must_use]
pub fn connections(plan: &PlanSpec, deviation: Option<&Override<Quantity>>, now: Timestamp) -> Option<u32> {
    count(&bound(plan.quotas.get(CONNECTIONS), deviation, now)?.value)
}

fn count(bound: &Bound) -> Option<u32> {
    Some(u32::try_from(bound.most()?).unwrap_or(u32::MAX))
}

fn one<T: Clone>(plan: Option<&T>, deviation: Option<&Override<T>>, now: Timestamp) -> Option<Derived<T>> {
    match deviation.filter(|deviation| deviation.holds(now)) {
        Some(held) => Some(Derived { value: held.value.clone(), origin: Origin::Override, until: held.until }),
        None => plan.cloned().map(Derived::plan),
    }
}

/// One quota. An override of one that the plan does not name is a hard limit.
fn bound(plan: Option<&Bound>, deviation: Option<&Override<Quantity>>, now: Timestamp) -> Option<Derived<Bound>> {
    let limit = one(plan.map(|bound| &bound.limit), deviation, now)?;
    let value = plan.map_or(Bound::hard(limit.value), |bound| bound.with_limit(limit.value));
    Some(Derived { value, origin: limit.origin, until: limit.until })
}

fn bounds(
    plan: &BTreeMap<String, Bound>,
    overrides: &BTreeMap<String, Override<Quantity>>,
    now: Timestamp,
) -> BTreeMap<String, Derived<Bound>> {
    let names = plan.keys().chain(overrides.keys());
    names.filter_map(|name| Some((name.clone(), bound(plan.get(name), overrides.get(name), now)?))).collect()
}

fn merge<T: Clone>(
    plan: &BTreeMap<String, T>,
    overrides: &BTreeMap<String, Override<T>>,
    now: Timestamp,
) -> BTreeMap<String, Derived<T>> {
    let names = plan.keys().chain(overrides.keys());
    names.filter_map(|name| Some((name.clone(), one(plan.get(name), overrides.get(name), now)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_holds_until_its_end_and_says_so() {
        let plan = PlanSpec {
            isolation: Isolation::Shared,
            default: false,
            quotas: BTreeMap::from([("users".into(), Bound::hard("100".parse().unwrap()))]),
            rate_limits: BTreeMap::new(),
            features: BTreeMap::new(),
            backup: crate::plan::Backup::default(),
            slo: crate::plan::Slo::default(),
            support: None,
            archive_retention_days: 90,
            tenants: crate::plan::Tenants::Follow,
            terms: crate::plan::terms::Terms::default(),
        };
        let end: Timestamp = "2027-03-31T00:00:00Z".parse().unwrap();
        let overrides = Overrides {
            quotas: BTreeMap::from([(
                "users".into(),
                Override { value: "150".parse().unwrap(), reason: "pilot".into(), until: Some(end) },
            )]),
            ..Overrides::default()
        };
        let code = PlanCode::parse("standard").unwrap();
        let before = derive(&code, &plan, &overrides, "2027-03-30T23:59:59Z".parse().unwrap());
        assert_eq!(before.quotas["users"].value.most(), Some(150));
        assert_eq!(before.quotas["users"].origin, Origin::Override);
        let after = derive(&code, &plan, &overrides, end);
        assert_eq!(after.quotas["users"].value.most(), Some(100));
        assert_eq!(after.quotas["users"].origin, Origin::Plan);
    }

    /// What is asked of thousands at once is what is derived for one.
    #[test]
    fn the_bound_on_connections_is_the_plans_until_an_override_holds() {
        let now: Timestamp = "2027-03-31T00:00:00Z".parse().unwrap();
        let deviation = |value: &str, until: Option<&str>| -> Override<Quantity> {
            let until = until.map(|until| until.parse().unwrap());
            Override { value: value.parse().unwrap(), reason: "pilot".into(), until }
        };
        let (over, open) = (Some("2027-03-31T00:00:00Z"), Some("2027-03-31T00:00:01Z"));
        let cases = [
            (serde_json::json!({}), None, None),
            (serde_json::json!({ "connections": "20" }), None, Some(20)),
            (serde_json::json!({ "connections": "unlimited" }), None, None),
            (serde_json::json!({ "connections": { "limit": "20", "mode": "soft" } }), None, None),
            (serde_json::json!({ "connections": { "limit": "20", "mode": "soft" } }), Some(deviation("5", None)), None),
            (serde_json::json!({ "connections": "20" }), Some(deviation("50", None)), Some(50)),
            (serde_json::json!({ "connections": "20" }), Some(deviation("50", open)), Some(50)),
            (serde_json::json!({ "connections": "20" }), Some(deviation("50", over)), Some(20)),
            (serde_json::json!({ "connections": "20" }), Some(deviation("unlimited", None)), None),
            (serde_json::json!({}), Some(deviation("8Gi", open)), Some(u32::MAX)),
            (serde_json::json!({}), Some(deviation("50", over)), None),
        ];
        let code = PlanCode::parse("standard").unwrap();
        for (quotas, deviation, expected) in cases {
            let plan = serde_json::json!({ "isolation": "schema", "quotas": quotas });
            let plan: PlanSpec = serde_json::from_value(plan).unwrap();
            assert_eq!(connections(&plan, deviation.as_ref(), now), expected, "{quotas} {deviation:?}");
            let quotas_of = deviation.clone().map(|one| ("connections".to_owned(), one)).into_iter().collect();
            let overrides = Overrides { quotas: quotas_of, ..Overrides::default() };
            assert_eq!(derive(&code, &plan, &overrides, now).connections(), expected, "{quotas} {deviation:?}");
        }
    }
}
