//! Versions of a plan: which one a tenant has, who is in the share of an upgrade, and what a tenant has too much of.
//!
//! INVARIANT: no tenant has a version below the plan's floor, the newest version that its tenants follow to by themselves.
//! Whether a tenant is in a share depends on the arguments alone, so a growing share keeps whom it has.

use crate::flag;
use crate::id::TenantId;
use crate::name::PlanCode;
use crate::plan::entitlement::Entitlements;

/// The version that a tenant has: the one that it was given, unless all follow to a later one. A number that the plan never
/// had, which a process of an earlier release may leave behind, counts as the newest.
#[must_use]
pub fn held(given: i64, floor: i64, newest: i64) -> i64 {
    given.max(floor).min(newest)
}

/// Whether a tenant is in the share of those that are moved to a version. `percent` is 0 to 100; nobody is in 0, everybody in
/// 100.
#[must_use]
pub fn is_in(
    plan: &PlanCode,
    version: i64,
    tenant: TenantId,
    percent: u8,
    hash: impl FnOnce(&[u8]) -> [u8; 32],
) -> bool {
    // No flag has such a name, so whoever is first here is not first there.
    flag::position(&format!("plan/{plan}@{version}"), tenant, hash) < u16::from(percent) * 100
}

/// A quota of which a tenant uses more than it would have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excess {
    /// Its name.
    pub quota: String,
    /// What is used and reserved.
    pub used: u64,
    /// The hard limit that would hold.
    pub limit: u64,
}

/// What a tenant uses more of than it would be entitled to. Only limits that stand count, not those of a period, which ends
/// by itself; and only those that get stricter: who has too much already is not kept from a change that takes nothing away. `used` gives what is used and reserved of a quota.
#[must_use]
pub fn excess(old: &Entitlements, new: &Entitlements, used: impl Fn(&str) -> u64) -> Vec<Excess> {
    let stand = new.quotas.iter().filter(|(_, derived)| derived.value.limit.per.is_none());
    let limits = stand.filter_map(|(name, derived)| Some((name, derived.value.most()?)));
    let stricter = limits.filter(|(name, limit)| {
        let before = old.quotas.get(*name).and_then(|derived| derived.value.most());
        before.is_none_or(|before| *limit < before)
    });
    stricter
        .map(|(name, limit)| Excess { quota: name.clone(), used: used(name), limit })
        .filter(|excess| excess.used > excess.limit)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::Timestamp;
    use crate::limit::Bound;
    use crate::plan::PlanSpec;
    use crate::plan::entitlement::derive;
    use crate::tenant::spec::Overrides;

    /// Not a good hash, but one that depends on every byte; the real one comes from outside.
    fn hash(bytes: &[u8]) -> [u8; 32] {
        let mut state = 0xcbf2_9ce4_8422_2325_u64;
        for byte in bytes {
            state = (state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        state ^= state >> 32;
        state = state.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut out = [0; 32];
        out[..8].copy_from_slice(&state.to_be_bytes());
        out
    }

    fn code() -> PlanCode {
        PlanCode::parse("team").unwrap()
    }

    fn tenant(number: u128) -> TenantId {
        TenantId::from_uuid(uuid::Uuid::from_u128(number))
    }

    fn entitled(limits: &BTreeMap<String, u64>) -> Entitlements {
        let mut plan: PlanSpec = serde_json::from_value(serde_json::json!({ "isolation": "shared" })).unwrap();
        for (name, limit) in limits {
            plan.quotas.insert(name.clone(), Bound::hard(limit.to_string().parse().unwrap()));
        }
        let now: Timestamp = "2027-03-31T00:00:00Z".parse().unwrap();
        derive(&code(), &plan, &Overrides::default(), now)
    }

    #[test]
    fn a_share_is_about_that_many_and_another_version_begins_with_others() {
        let inside = |version| -> Vec<u128> {
            (0..10_000).filter(|number| is_in(&code(), version, tenant(*number), 20, hash)).collect()
        };
        let (second, third) = (inside(2), inside(3));
        assert!((1_800..2_200).contains(&second.len()), "{}", second.len());
        let both = second.iter().filter(|number| third.contains(number)).count();
        assert!(both < 700, "{both}: whoever had trouble first the last time should not be first each time");
    }

    #[test]
    fn a_tenant_has_what_it_was_given_within_floor_and_newest() {
        assert_eq!(held(0, 1, 3), 1, "a tenant from before versions were kept");
        assert_eq!(held(2, 1, 3), 2);
        assert_eq!(held(2, 3, 4), 3, "all follow to version 3");
        assert_eq!(held(9, 1, 3), 3, "a number of another plan");
    }

    proptest! {
        /// PLAN-07: a growing share keeps whom it has, 0 is nobody and 100 is everybody.
        #[test]
        fn a_growing_share_of_an_upgrade_keeps_whom_it_has(
            number: u128, version in 1i64..1_000, less in 0u8..=100, more in 0u8..=100,
        ) {
            let (less, more) = (less.min(more), less.max(more));
            let is_in = |percent| is_in(&code(), version, tenant(number), percent, hash);
            prop_assert!(!is_in(less) || is_in(more));
            prop_assert!(!is_in(0) && is_in(100));
        }

        /// PLAN-07: nobody is moved to a stricter limit that it uses more of, and nobody is held up by anything else.
        #[test]
        fn only_a_stricter_limit_below_the_use_is_in_the_way(
            before in proptest::collection::btree_map("[a-d]", 0u64..6, 0..4),
            after in proptest::collection::btree_map("[a-d]", 0u64..6, 0..4),
            used in proptest::collection::btree_map("[a-d]", 0u64..9, 0..4),
        ) {
            let used = |name: &str| used.get(name).copied().unwrap_or(0);
            let found = excess(&entitled(&before), &entitled(&after), used);
            for (name, limit) in &after {
                let is_stricter = before.get(name).is_none_or(|before| limit < before);
                let is_told = found.iter().any(|excess| excess.quota == *name);
                prop_assert_eq!(is_told, is_stricter && used(name) > *limit, "{}", name);
            }
            prop_assert!(found.iter().all(|excess| after.get(&excess.quota) == Some(&excess.limit)));
            // What takes nothing away is never in the way, however much is used.
            prop_assert!(excess(&entitled(&after), &entitled(&after), |_| u64::MAX).is_empty());
        }

        /// What a tenant has moves up with the floor, and by nothing else than what it was given.
        #[test]
        fn what_is_held_is_between_floor_and_newest(given in 0i64..50, floor in 1i64..50, more in 0i64..50) {
            let newest = floor + more;
            let held = held(given, floor, newest);
            prop_assert!((floor..=newest).contains(&held));
            prop_assert!(held == given || held == floor || held == newest);
        }
    }
}
