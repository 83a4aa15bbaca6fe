//! Where a tenant lives, and why.
//!
//! INVARIANT: no decision names a region outside the tenant's residency, whatever labels, distances and cells say.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cell::{self, CellKind, CellLoad, RegionSpec};
use crate::isolation::Isolation;
use crate::name::{CellName, RegionName};
use crate::plan::promise::{self, Promises, Short};
use crate::tenant::Spec;
use crate::tenant::profile::{Residency, SizeClass};

#[cfg(test)]
mod sequences;

/// The place of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// The region; one of the allowed ones.
    pub region: RegionName,
    /// The cell.
    pub cell: CellName,
    /// The level.
    pub isolation: Isolation,
    /// Grows by one with each change of place; the fence of routes. Starts at 1.
    pub generation: i64,
}

/// What is to be placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// The level that plan and overrides give.
    pub isolation: Isolation,
    /// Where the data may be.
    pub residency: Residency,
    /// How much room it takes.
    pub size: SizeClass,
    /// Allowed regions in the order of choice, where it is another than that of [`Residency::in_order`]; else empty.
    pub nearest: Vec<RegionName>,
    /// Cells that hold another tenant of its group.
    pub apart: BTreeSet<CellName>,
    /// What its hard quotas promise it.
    pub promises: Promises,
}

/// The label that says where a tenant's users are: a region, allowed or not. Its closest allowed region is the first choice
/// of a tenant that prefers none.
pub const ORIGIN: &str = "tenantry.origin";

/// The label that names a tenant's group: no two tenants of a group share a cell.
pub const APART: &str = "tenantry.apart";

impl Demand {
    /// What a tenant's manifest asks for at a level.
    #[must_use]
    pub fn of(isolation: Isolation, spec: &Spec) -> Self {
        let (residency, size) = (spec.residency.clone(), spec.business.size);
        Self { isolation, residency, size, nearest: Vec::new(), apart: BTreeSet::new(), promises: Promises::new() }
    }

    /// The same with what hard quotas promise.
    #[must_use]
    pub fn promising(mut self, promises: Promises) -> Self {
        self.promises = promises;
        self
    }

    /// The same for users in `origin`: where no region is preferred, the closest allowed one comes first. Regions of which
    /// nobody knows the distance follow in the order in which they are allowed.
    #[must_use]
    pub fn near(mut self, origin: Option<&RegionName>, regions: &BTreeMap<RegionName, RegionSpec>) -> Self {
        if let (Some(origin), None) = (origin, &self.residency.preferred_region) {
            let mut nearest = self.residency.allowed_regions.clone();
            nearest.sort_by_key(|region| cell::distance(regions, origin, region).unwrap_or(u32::MAX));
            self.nearest = nearest;
        }
        self
    }

    /// The same away from cells.
    #[must_use]
    pub fn apart_from(mut self, cells: impl IntoIterator<Item = CellName>) -> Self {
        self.apart.extend(cells);
        self
    }

    /// Allowed regions in the order of choice.
    #[must_use]
    pub fn in_order(&self) -> Vec<RegionName> {
        let all =
            if self.nearest.is_empty() { self.residency.in_order().cloned().collect() } else { self.nearest.clone() };
        all.into_iter().filter(|region| self.residency.allows(region)).collect()
    }

    /// The place of a region in the order of choice; absent when it is not allowed.
    fn rank(&self, region: &RegionName) -> Option<usize> {
        // Asked first and apart: an order that somebody computed never widens what is allowed.
        if !self.residency.allows(region) {
            return None;
        }
        let found = self.nearest.iter().position(|known| known == region);
        found.or_else(|| self.residency.in_order().position(|known| known == region))
    }
}

/// Why a cell was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Refusal {
    /// Its region is not among the allowed ones.
    Region {
        /// The cell's region.
        region: RegionName,
    },
    /// Another tenant of its group is there.
    Apart,
    /// It takes no new tenants.
    Draining,
    /// A dedicated cell for a pooled level, or the reverse.
    Kind,
    /// Too few places left.
    Full {
        /// Places in use.
        used: u32,
        /// Places in all.
        capacity: u32,
        /// Places that the tenant takes.
        needed: u32,
    },
    /// It would promise more than it has.
    Promised {
        /// The quota.
        quota: String,
        /// What its tenants are promised.
        promised: u64,
        /// What it has.
        capacity: u64,
        /// What the tenant's plan promises.
        needed: u64,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region { region } => write!(f, "its region {region} is not allowed"),
            Self::Apart => f.write_str("it holds another tenant of the group"),
            Self::Draining => f.write_str("it is draining"),
            Self::Kind => f.write_str("it is of the wrong kind for the level"),
            Self::Full { used, capacity, needed } => {
                write!(f, "{used} of {capacity} places are in use and {needed} are needed")
            }
            Self::Promised { quota, promised, capacity, needed } => {
                write!(f, "{promised} of {capacity} of `{quota}` are promised by hard quotas and {needed} are needed")
            }
        }
    }
}

/// One cell that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// Its name.
    pub cell: CellName,
    /// Why it was refused; absent for those that fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// How well it fits, least is best; absent for those that do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<Score>,
}

/// Derived order is the policy: first the rank of the region among the tenant's choices, then the share of
/// places in use (the emptier cell wins), then the name, so that equal inputs give equal answers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Score {
    /// 0 for the preferred region; where none is preferred, for the closest one.
    pub region_rank: usize,
    /// Places in use after the placement, in thousandths of the capacity.
    pub fill_permille: u32,
    /// The tie-break.
    pub name: CellName,
}

/// A decision with everything that was considered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The chosen region.
    pub region: RegionName,
    /// The chosen cell.
    pub cell: CellName,
    /// The level.
    pub isolation: Isolation,
    /// Every cell of the environment with its refusal or score.
    pub candidates: Vec<Candidate>,
}

/// No cell fits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no cell can take a tenant of level {isolation}")]
pub struct PlacementError {
    /// The wanted level.
    pub isolation: Isolation,
    /// The only regions that may hold the tenant.
    pub allowed: Vec<RegionName>,
    /// Each cell with its refusal.
    pub candidates: Vec<Candidate>,
}

/// The rule that keeps data inside the allowed regions, as refusals name it.
pub const RESIDENCY: &str = "residency";

impl PlacementError {
    /// The refusals as one sentence, and what would help.
    #[must_use]
    pub fn hint(&self) -> String {
        if self.candidates.is_empty() {
            return "The environment has no cell; apply a manifest of kind Cell.".to_owned();
        }
        let reasons: Vec<_> = self
            .candidates
            .iter()
            .filter_map(|candidate| Some(format!("{}: {}", candidate.cell, candidate.refusal.as_ref()?)))
            .collect();
        let reasons = reasons.join("; ");
        if self.candidates.iter().all(|candidate| matches!(candidate.refusal, Some(Refusal::Region { .. }))) {
            let allowed: Vec<_> = self.allowed.iter().map(RegionName::as_str).collect();
            let allowed = allowed.join(", ");
            return format!("{reasons}. Rule `{RESIDENCY}` allows {allowed}; add a cell there.");
        }
        format!("{reasons}. Add a cell or raise a capacity.")
    }
}

/// Chooses a cell for a tenant.
///
/// # Errors
/// Every cell's refusal, when none fits.
pub fn decide(demand: &Demand, cells: &[CellLoad]) -> Result<Decision, PlacementError> {
    let mut candidates: Vec<Candidate> = cells.iter().map(|cell| consider(demand, cell)).collect();
    candidates.sort_by(|a, b| (a.score.is_none(), &a.score, &a.cell).cmp(&(b.score.is_none(), &b.score, &b.cell)));
    let best = candidates.first().filter(|candidate| candidate.score.is_some());
    let Some((best, load)) = best.and_then(|best| Some((best, cells.iter().find(|cell| cell.name == best.cell)?)))
    else {
        let allowed = demand.residency.allowed_regions.clone();
        return Err(PlacementError { isolation: demand.isolation, allowed, candidates });
    };
    Ok(Decision { region: load.spec.region.clone(), cell: best.cell.clone(), isolation: demand.isolation, candidates })
}

fn consider(demand: &Demand, cell: &CellLoad) -> Candidate {
    let refuse = |refusal| Candidate { cell: cell.name.clone(), refusal: Some(refusal), score: None };
    let Some(region_rank) = demand.rank(&cell.spec.region) else {
        return refuse(Refusal::Region { region: cell.spec.region.clone() });
    };
    if demand.apart.contains(&cell.name) {
        return refuse(Refusal::Apart);
    }
    if cell.spec.draining {
        return refuse(Refusal::Draining);
    }
    if (demand.isolation == Isolation::Cluster) != (cell.spec.kind == CellKind::Dedicated) {
        return refuse(Refusal::Kind);
    }
    let (used, capacity, needed) =
        (cell.used.of(demand.isolation), cell.spec.capacity.of(demand.isolation), demand.size.weight());
    if used.saturating_add(needed) > capacity {
        return refuse(Refusal::Full { used, capacity, needed });
    }
    if let Some(Short { quota, promised, capacity, needed }) =
        promise::short(&cell.spec.promises, &cell.promised, &demand.promises)
    {
        return refuse(Refusal::Promised { quota, promised, capacity, needed });
    }
    let permille = u64::from(used + needed) * 1000 / u64::from(capacity.max(1));
    let fill_permille = u32::try_from(permille).unwrap_or(u32::MAX);
    let score = Score { region_rank, fill_permille, name: cell.name.clone() };
    Candidate { cell: cell.name.clone(), refusal: None, score: Some(score) }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cell::{Capacity, CellSpec, SecretRef};
    use proptest::prelude::*;

    pub(crate) fn placement() -> Placement {
        Placement {
            region: RegionName::parse("eu-west").unwrap(),
            cell: CellName::parse("eu-west-1").unwrap(),
            isolation: Isolation::Schema,
            generation: 1,
        }
    }

    fn cell(name: &str, region: &str, used: u32, capacity: u32, draining: bool) -> CellLoad {
        let places = |n| Capacity { shared: n, schema: n, database: n };
        CellLoad {
            name: CellName::parse(name).unwrap(),
            spec: CellSpec {
                region: RegionName::parse(region).unwrap(),
                kind: CellKind::Pooled,
                database: SecretRef::Env("URL".into()),
                capacity: places(capacity),
                draining,
                standbys: Vec::new(),
                encryption: None,
                promises: Promises::new(),
            },
            used: places(used),
            promised: Promises::new(),
        }
    }

    fn demand(allowed: &[&str], preferred: Option<&str>) -> Demand {
        let region = |text: &&str| RegionName::parse(text).unwrap();
        Demand {
            isolation: Isolation::Shared,
            residency: Residency {
                allowed_regions: allowed.iter().map(region).collect(),
                preferred_region: preferred.as_ref().map(region),
                flags: vec![],
            },
            size: SizeClass::Small,
            nearest: Vec::new(),
            apart: BTreeSet::new(),
            promises: Promises::new(),
        }
    }

    #[test]
    fn a_cell_promises_no_more_than_it_has() {
        let amount = |amount| Promises::from([("storage".to_owned(), amount)]);
        let mut cells = [cell("a", "eu-west", 0, 10, false), cell("b", "eu-west", 5, 10, false)];
        cells[0].spec.promises = amount(100);
        cells[0].promised = amount(95);
        let placed = |wants| decide(&demand(&["eu-west"], None).promising(amount(wants)), &cells);
        assert_eq!(placed(5).unwrap().cell.as_str(), "a");
        assert_eq!(placed(6).unwrap().cell.as_str(), "b", "one that declares nothing has no bound");
        cells[1].spec.draining = true;
        let hint = decide(&demand(&["eu-west"], None).promising(amount(6)), &cells).unwrap_err().hint();
        assert!(hint.contains("a: 95 of 100 of `storage` are promised by hard quotas and 6 are needed"), "{hint}");
    }

    /// Several that are decided about one after the other find what those before them have taken.
    #[test]
    fn whoever_was_counted_in_takes_its_place_from_the_next() {
        let amount = |amount| Promises::from([("storage".to_owned(), amount)]);
        let mut cells = [cell("a", "eu-west", 8, 10, false)];
        cells[0].spec.promises = amount(100);
        let placed = |cells: &[CellLoad], wants| decide(&demand(&["eu-west"], None).promising(amount(wants)), cells);
        assert!(placed(&cells, 60).is_ok());
        cells[0].count_in(Isolation::Shared, 1, &amount(60));
        let short = placed(&cells, 60).unwrap_err();
        assert!(matches!(short.candidates[0].refusal, Some(Refusal::Promised { promised: 60, needed: 60, .. })));
        assert!(placed(&cells, 40).is_ok());
        cells[0].count_in(Isolation::Shared, 1, &amount(40));
        let full = placed(&cells, 0).unwrap_err();
        assert_eq!(full.candidates[0].refusal, Some(Refusal::Full { used: 10, capacity: 10, needed: 1 }));
    }

    #[test]
    fn region_choice_beats_fill_and_refusals_are_named() {
        let cells = [
            cell("a", "us-east", 0, 10, false),
            cell("b", "eu-west", 9, 10, false),
            cell("c", "eu-west", 10, 10, false),
            cell("d", "asia", 0, 10, false),
            cell("e", "eu-west", 0, 10, true),
        ];
        let decision = decide(&demand(&["us-east", "eu-west"], Some("eu-west")), &cells).unwrap();
        assert_eq!(decision.cell.as_str(), "b");
        let refused =
            |name: &str| decision.candidates.iter().find(|c| c.cell.as_str() == name).and_then(|c| c.refusal.clone());
        assert_eq!(refused("c"), Some(Refusal::Full { used: 10, capacity: 10, needed: 1 }));
        assert!(matches!(refused("d"), Some(Refusal::Region { .. })));
        assert_eq!(refused("e"), Some(Refusal::Draining));
        let error = decide(&demand(&["mars"], None), &cells).unwrap_err();
        assert_eq!(error.candidates.len(), 5);
        assert!(error.hint().contains("is not allowed"));
        assert!(error.hint().ends_with("Rule `residency` allows mars; add a cell there."), "{}", error.hint());
    }

    /// CELL-07: a preference beats closeness, closeness beats the order of writing, and neither widens what is allowed.
    #[test]
    fn the_default_is_the_closest_allowed_region() {
        let region = |text: &str| RegionName::parse(text).unwrap();
        let far = |pairs: &[(&str, u32)]| RegionSpec {
            distances: pairs.iter().map(|(name, far)| (region(name), *far)).collect(),
            ..RegionSpec::default()
        };
        let regions = BTreeMap::from([
            (region("asia"), far(&[("eu-west", 180), ("us-east", 220)])),
            (region("us-east"), far(&[("eu-west", 80)])),
            (region("eu-west"), RegionSpec::default()),
        ]);
        let cells = [
            cell("a", "us-east", 0, 10, false),
            cell("b", "eu-west", 5, 10, false),
            cell("c", "asia", 0, 10, false),
            cell("d", "moon", 0, 10, false),
        ];
        let table = [
            (&["us-east", "eu-west"][..], None, None, "a"),
            (&["us-east", "eu-west"], None, Some("asia"), "b"),
            (&["us-east", "eu-west"], None, Some("eu-west"), "b"),
            (&["eu-west", "us-east"], None, Some("us-east"), "a"),
            (&["us-east", "eu-west"], Some("us-east"), Some("asia"), "a"),
            (&["moon", "eu-west"], None, Some("asia"), "b"),
            (&["us-east", "eu-west"], None, Some("mars"), "a"),
            (&["us-east"], None, Some("asia"), "a"),
        ];
        for (allowed, preferred, origin, expected) in table {
            let origin = origin.map(region);
            let demand = demand(allowed, preferred).near(origin.as_ref(), &regions);
            let decision = decide(&demand, &cells).unwrap();
            assert_eq!(decision.cell.as_str(), expected, "{allowed:?} {preferred:?} {origin:?}");
        }
    }

    #[test]
    fn tenants_of_a_group_are_kept_apart() {
        let cells = [cell("a", "eu-west", 0, 10, false), cell("b", "eu-west", 9, 10, false)];
        let apart = demand(&["eu-west"], None).apart_from([CellName::parse("a").unwrap()]);
        let decision = decide(&apart, &cells).unwrap();
        assert_eq!(decision.cell.as_str(), "b");
        assert_eq!(decision.candidates[1].refusal, Some(Refusal::Apart));
        let error = decide(&apart.apart_from([CellName::parse("b").unwrap()]), &cells).unwrap_err();
        assert!(error.hint().contains("another tenant of the group"), "{}", error.hint());
    }

    proptest! {
        /// SCOPE-12: placement never leaves the allowed regions, whatever the topology.
        #[test]
        fn residency_is_never_broken(
            cells in prop::collection::vec((0usize..4, 0u32..12, 0u32..12, any::<bool>()), 0..12),
            allowed in prop::collection::vec(0usize..4, 1..4),
        ) {
            let regions = ["r0", "r1", "r2", "r3"];
            let loads: Vec<_> = cells.iter().enumerate()
                .map(|(i, (r, used, cap, drain))| cell(&format!("c{i}"), regions[*r], *used, *cap, *drain)).collect();
            let allowed: Vec<_> = allowed.iter().map(|r| regions[*r]).collect();
            let demand = demand(&allowed, None);
            if let Ok(decision) = decide(&demand, &loads) {
                prop_assert!(allowed.contains(&decision.region.as_str()));
                let chosen = loads.iter().find(|c| c.name == decision.cell).unwrap();
                prop_assert!(!chosen.spec.draining && chosen.used.shared < chosen.spec.capacity.shared);
                prop_assert_eq!(decide(&demand, &loads).unwrap(), decision);
            }
        }
    }
}
