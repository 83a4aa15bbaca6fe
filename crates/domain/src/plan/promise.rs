//! What hard quotas promise: each tenant may take all of its limit at any time, so what a cell's tenants were promised together
//! is what the cell may have to give.
//!
//! A limit with a period, one that is soft and one without an end promise nothing that could be added up.

use std::collections::BTreeMap;

use crate::Timestamp;
use crate::name::{CellName, PlanCode};
use crate::plan::PlanSpec;
use crate::plan::entitlement::{self, Entitlements};
use crate::tenant::spec::Overrides;

/// Amounts by the quota's name.
pub type Promises = BTreeMap<String, u64>;

/// Tenants of a cell that have the same version of a plan and the same overrides.
#[derive(Debug, Clone, PartialEq)]
pub struct Alike {
    /// Where they are.
    pub cell: CellName,
    /// Their plan.
    pub plan: PlanCode,
    /// What it says in the version that they have; absent when nobody can read it.
    pub text: Option<PlanSpec>,
    /// How they deviate from it.
    pub overrides: Overrides,
    /// How many they are.
    pub tenants: u64,
}

/// What one tenant is promised.
#[must_use]
pub fn of(entitlements: &Entitlements) -> Promises {
    let standing = entitlements.quotas.iter().filter(|(_, derived)| derived.value.limit.per.is_none());
    standing.filter_map(|(name, derived)| Some((name.clone(), derived.value.most()?))).collect()
}

/// What the tenants of each cell are promised together. A plan that nobody can read promises nothing.
#[must_use]
pub fn sum(tenants: &[Alike], now: Timestamp) -> BTreeMap<CellName, Promises> {
    let mut sums: BTreeMap<CellName, Promises> = BTreeMap::new();
    for alike in tenants {
        let Some(plan) = &alike.text else { continue };
        let all = sums.entry(alike.cell.clone()).or_default();
        for (name, amount) in of(&entitlement::derive(&alike.plan, plan, &alike.overrides, now)) {
            let sum = all.entry(name).or_default();
            *sum = sum.saturating_add(amount.saturating_mul(alike.tenants));
        }
    }
    sums
}

/// The first of a cell's declared amounts that is not enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Short {
    /// The quota.
    pub quota: String,
    /// What the others on the cell are promised.
    pub promised: u64,
    /// What the cell has.
    pub capacity: u64,
    /// What is needed.
    pub needed: u64,
}

/// Whether a cell that has promised so much can promise this, too. What the cell does not declare has no bound.
#[must_use]
pub fn short(declared: &Promises, promised: &Promises, needed: &Promises) -> Option<Short> {
    declared.iter().find_map(|(quota, capacity)| {
        let needed = needed.get(quota).copied().filter(|needed| *needed > 0)?;
        let promised = promised.get(quota).copied().unwrap_or_default();
        let is_short = promised.saturating_add(needed) > *capacity;
        is_short.then(|| Short { quota: quota.clone(), promised, capacity: *capacity, needed })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(quotas: serde_json::Value) -> PlanSpec {
        serde_json::from_value(serde_json::json!({ "isolation": "shared", "quotas": quotas })).unwrap()
    }

    fn promises(pairs: &[(&str, u64)]) -> Promises {
        pairs.iter().map(|(name, amount)| ((*name).to_owned(), *amount)).collect()
    }

    #[test]
    fn hard_and_standing_limits_are_added_up() {
        let quotas = serde_json::json!({
            "storage": "10", "users": { "limit": "5", "mode": "soft" }, "events": "7/month", "seats": "unlimited",
        });
        let code = PlanCode::parse("plus").unwrap();
        let text = plan(quotas);
        let cell = CellName::parse("eu-1").unwrap();
        let more: Overrides =
            serde_json::from_value(serde_json::json!({ "quotas": { "storage": { "value": "25", "reason": "r" } } }))
                .unwrap();
        let alike = |overrides: Overrides, tenants| Alike {
            cell: cell.clone(),
            plan: code.clone(),
            text: Some(text.clone()),
            overrides,
            tenants,
        };
        let gone = Alike { text: None, ..alike(Overrides::default(), 9) };
        let all = sum(&[alike(Overrides::default(), 3), alike(more, 1), gone], Timestamp::UNIX_EPOCH);
        assert_eq!(all, BTreeMap::from([(cell.clone(), promises(&[("storage", 55)]))]));
        // Another version of the same plan promises what that one says.
        let older = Alike { text: Some(plan(serde_json::json!({ "storage": "4" }))), ..alike(Overrides::default(), 2) };
        let all = sum(&[alike(Overrides::default(), 1), older], Timestamp::UNIX_EPOCH);
        assert_eq!(all, BTreeMap::from([(cell, promises(&[("storage", 18)]))]));
    }

    #[test]
    fn what_is_declared_is_enough_to_the_last_unit() {
        let (declared, promised) = (promises(&[("storage", 100)]), promises(&[("storage", 90), ("users", 1000)]));
        assert_eq!(short(&declared, &promised, &promises(&[("storage", 10), ("users", 10)])), None);
        let found = short(&declared, &promised, &promises(&[("storage", 11)])).unwrap();
        assert_eq!((found.promised, found.capacity, found.needed), (90, 100, 11));
        // A cell that promised too much already still takes who needs nothing of it.
        assert_eq!(short(&declared, &promises(&[("storage", 900)]), &Promises::new()), None);
    }
}
