//! No sequence of actions ends outside the allowed regions.
//!
//! A small world of cells and tenants in which actions come in any order: placing, draining, other capacities, other
//! residencies, other preferences, archiving, restoring and giving places up. It follows the rules of the real one: a
//! placement is decided by [`decide`], a change of the manifest is judged by [`change::stays`] and refused as a whole.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::cell::{Capacity, CellSpec, SecretRef};
use crate::tenant::change;

const REGIONS: [&str; 4] = ["r0", "r1", "r2", "r3"];

#[derive(Debug, Clone)]
enum Act {
    Place(usize),
    Drain(usize, bool),
    Capacity(usize, u32),
    Residency(usize, Vec<usize>),
    Prefer(usize, usize),
    Origin(usize, usize),
    Group(usize, bool),
    /// A deletion or the unwinding of an onboarding; a later placement is a restoring.
    Release(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let (tenant, cell, region) = (0usize..4, 0usize..5, 0usize..4);
    prop_oneof![
        4 => tenant.clone().prop_map(Act::Place),
        1 => (cell.clone(), any::<bool>()).prop_map(|(cell, is)| Act::Drain(cell, is)),
        1 => (cell, 0u32..4).prop_map(|(cell, places)| Act::Capacity(cell, places)),
        4 => (tenant.clone(), prop::collection::vec(region.clone(), 1..3)).prop_map(|(t, all)| Act::Residency(t, all)),
        1 => (tenant.clone(), region.clone()).prop_map(|(t, region)| Act::Prefer(t, region)),
        1 => (tenant.clone(), region).prop_map(|(t, region)| Act::Origin(t, region)),
        1 => (tenant.clone(), any::<bool>()).prop_map(|(t, is)| Act::Group(t, is)),
        1 => tenant.prop_map(Act::Release),
    ]
}

fn region(index: usize) -> RegionName {
    RegionName::parse(REGIONS[index]).unwrap()
}

fn spec() -> Spec {
    serde_json::from_value(serde_json::json!({
        "displayName": "Acme", "app": "chat", "plan": "standard", "state": "active",
        "residency": { "allowedRegions": ["r0"] },
    }))
    .unwrap()
}

struct World {
    cells: Vec<CellLoad>,
    regions: BTreeMap<RegionName, RegionSpec>,
    tenants: Vec<(Spec, Option<Placement>)>,
    refused: usize,
}

impl World {
    fn new() -> Self {
        let places = |shared| Capacity { shared, schema: 0, database: 0 };
        let cell = |index: usize| CellLoad {
            name: CellName::parse(&format!("c{index}")).unwrap(),
            spec: CellSpec {
                region: region(index % 4),
                kind: CellKind::Pooled,
                database: SecretRef::Env("URL".into()),
                capacity: places(2),
                draining: false,
                standbys: Vec::new(),
                encryption: None,
                promises: Promises::new(),
            },
            used: places(0),
            promised: Promises::new(),
        };
        let distances = (0..4).map(|to| (region(to), u32::try_from(10 * to).unwrap())).collect();
        let near = RegionSpec { distances, ..RegionSpec::default() };
        Self {
            cells: (0..5).map(cell).collect(),
            regions: BTreeMap::from([(region(0), near)]),
            tenants: vec![(spec(), None); 4],
            refused: 0,
        }
    }

    fn group_of(&self, tenant: usize) -> Vec<CellName> {
        let Some(group) = self.tenants[tenant].0.labels.get(APART) else { return Vec::new() };
        let others = self.tenants.iter().enumerate().filter(|(index, _)| *index != tenant);
        let same = others.filter(|(_, (spec, _))| spec.labels.get(APART) == Some(group));
        same.filter_map(|(_, (_, placement))| Some(placement.as_ref()?.cell.clone())).collect()
    }

    fn edit(&mut self, tenant: usize, edit: impl FnOnce(&mut Spec)) {
        let (old, placement) = &self.tenants[tenant];
        let mut new = old.clone();
        edit(&mut new);
        let verdict = placement.as_ref().map_or(Ok(()), |place| change::stays(place, old, &new, Isolation::Shared));
        match verdict {
            Ok(()) => self.tenants[tenant].0 = new,
            Err(_) => self.refused += 1,
        }
    }

    fn run(&mut self, act: Act) {
        match act {
            Act::Place(tenant) => {
                if self.tenants[tenant].1.is_some() {
                    return;
                }
                let spec = &self.tenants[tenant].0;
                let origin = spec.labels.get(ORIGIN).and_then(|text| RegionName::parse(text).ok());
                let demand = Demand::of(Isolation::Shared, spec)
                    .near(origin.as_ref(), &self.regions)
                    .apart_from(self.group_of(tenant));
                let Ok(decision) = decide(&demand, &self.cells) else { return };
                let load = self.cells.iter_mut().find(|load| load.name == decision.cell).unwrap();
                load.used.shared += 1;
                let Decision { region, cell, isolation, .. } = decision;
                self.tenants[tenant].1 = Some(Placement { region, cell, isolation, generation: 1 });
            }
            Act::Release(tenant) => {
                let Some(place) = self.tenants[tenant].1.take() else { return };
                self.cells.iter_mut().find(|load| load.name == place.cell).unwrap().used.shared -= 1;
            }
            Act::Drain(cell, draining) => self.cells[cell].spec.draining = draining,
            Act::Capacity(cell, places) => self.cells[cell].spec.capacity.shared = places,
            Act::Residency(tenant, all) => self.edit(tenant, |spec| {
                spec.residency.allowed_regions = all.into_iter().map(region).collect();
                // The grammar of manifests: a preferred region is an allowed one.
                let residency = spec.residency.clone();
                spec.residency.preferred_region = residency.preferred_region.clone().filter(|r| residency.allows(r));
            }),
            Act::Prefer(tenant, preferred) => self.edit(tenant, |spec| {
                let preferred = region(preferred);
                spec.residency.preferred_region = Some(preferred).filter(|region| spec.residency.allows(region));
            }),
            Act::Origin(tenant, origin) => self.edit(tenant, |spec| {
                spec.labels.insert(ORIGIN.to_owned(), REGIONS[origin].to_owned());
            }),
            Act::Group(tenant, is_in) => self.edit(tenant, |spec| {
                spec.labels.remove(APART);
                if is_in {
                    spec.labels.insert(APART.to_owned(), "twins".to_owned());
                }
            }),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_sequence_of_actions_ends_out_of_region(acts in prop::collection::vec(act(), 0..60)) {
        let mut world = World::new();
        for act in acts {
            world.run(act.clone());
            for (spec, placement) in &world.tenants {
                let Some(place) = placement else { continue };
                prop_assert!(spec.residency.allows(&place.region), "{act:?} left {place:?} with {:?}", spec.residency);
                let cell = world.cells.iter().find(|cell| cell.name == place.cell).unwrap();
                prop_assert_eq!(&cell.spec.region, &place.region);
            }
        }
    }
}

/// The property above is worth something only if sequences place tenants and try what is refused.
#[test]
fn the_world_places_and_refuses() {
    let mut world = World::new();
    world.run(Act::Place(0));
    assert_eq!(world.tenants[0].1.as_ref().map(|place| place.region.clone()), Some(region(0)));
    world.run(Act::Residency(0, vec![1]));
    assert_eq!(world.refused, 1);
    world.run(Act::Residency(0, vec![1, 0]));
    assert_eq!(world.refused, 1);
    world.run(Act::Release(0));
    world.run(Act::Residency(0, vec![1]));
    world.run(Act::Place(0));
    assert_eq!(world.tenants[0].1.as_ref().map(|place| place.region.clone()), Some(region(1)));
    for tenant in 1..3 {
        world.run(Act::Group(tenant, true));
        world.run(Act::Place(tenant));
    }
    let cells: Vec<_> = (1..3).map(|tenant| world.tenants[tenant].1.as_ref().unwrap().cell.to_string()).collect();
    assert_eq!(cells, ["c0", "c4"]);
}
