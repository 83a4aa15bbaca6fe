//! The leak probe at work: canary tenants come by themselves, try to reach each other, and a hole that somebody opens is
//! told until it is closed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tenantry_control::guard::{self, GuardOptions};
use tenantry_control::{Options, Runtime, events, tenants};
use tenantry_domain::name::CellName;
use tenantry_domain::page::PageSize;
use tenantry_store::{LookKind, PlaceRow};
use tenantry_testkit::pg;

use crate::world::{World, options};

/// What the probe found last, once it has been everywhere `count` times over.
async fn places(world: &World, what: &str, holds: impl Fn(&[PlaceRow]) -> bool) -> Vec<PlaceRow> {
    let (began, cell) = (Instant::now(), CellName::parse("eu-west-1").unwrap());
    loop {
        let reader = world.deps.store().read(&world.environment);
        let found = reader.isolation_places(&cell, LookKind::Probe).await.unwrap();
        if holds(&found) {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(45), "{what}: {found:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Severities and objects of the probe's events of a type, over all tenants.
async fn told(world: &World, kind: &str) -> Vec<String> {
    let page = tenants::list(&world.cx(), &world.deps, &Default::default(), PageSize::new(200).unwrap(), None).await;
    let mut found = Vec::new();
    for tenant in page.unwrap().items {
        let name = crate::world::name(&tenant.id.to_string());
        let all = events::list(&world.cx(), &world.deps, Some(&name), 0, 1000).await.unwrap();
        let ours = all.iter().filter(|event| event.kind.as_str() == kind && event.data["kind"] == "probe");
        found.extend(ours.map(|event| event.data["findings"].to_string()));
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn canaries_come_by_themselves_and_a_hole_is_told_until_it_is_closed() {
    let guard = GuardOptions { every: None, probe: Some(Duration::from_secs(1)), ..GuardOptions::default() };
    // Drift would close by itself what is opened by hand.
    let mut world = World::with(Options { guard, sweep: Duration::from_secs(3600), ..options() }).await;
    world.runtime = Some(Runtime::start(&world.deps));
    for (slug, plan) in [("acme", "starter"), ("globex", "standard"), ("initech", "enterprise")] {
        world.active(slug, plan).await;
    }
    let clean = places(&world, "a pair at each level is probed", |found| found.len() == 3).await;
    for place in &clean {
        assert_eq!((place.counts.critical, place.counts.medium), (0, 0), "clean as made: {place:#?}");
    }
    let all =
        tenants::list(&world.cx(), &world.deps, &Default::default(), PageSize::new(200).unwrap(), None).await.unwrap();
    let canaries: Vec<_> =
        all.items.iter().filter(|tenant| tenant.spec.labels.contains_key("tenantry.canary")).collect();
    assert_eq!((all.items.len(), canaries.len()), (9, 6), "two at each level, beside three customers");
    assert!(canaries.iter().all(|tenant| tenant.spec.business.synthetic));
    assert!(told(&world, "isolation.finding.opened").await.is_empty());

    let view = guard::cell(&world.cx(), &world.deps, "eu-west-1").await.unwrap();
    let probe = view.probe.expect("it runs");
    assert_eq!((view.places_count, probe.pairs_count, probe.leaks), (0, 3, 0), "the guard does not look here");
    let levels: BTreeSet<_> = probe.pairs.iter().filter_map(|pair| pair.row.isolation).collect();
    assert_eq!(levels.len(), 3);
    for pair in &probe.pairs {
        let tried = pair.tried.as_ref().expect("how much was tried is kept");
        assert_eq!((tried.seal.as_str(), pair.row.app.as_ref().map(|app| app.as_str())), ("register", Some("notes")));
        assert!(tried.canaries > 0 && tried.executed > 50 && tried.probes > tried.executed, "{tried:?}");
    }
    let sent: u64 = probe.pairs.iter().filter_map(|pair| pair.tried.as_ref()).map(|tried| tried.probes).sum();
    assert_eq!(probe.probes, sent);

    let (server, home) = (pg::server(), format!("tn_{}_notes", world.environment));
    let hole = "CREATE VIEW app.everything AS SELECT * FROM app.notes; GRANT SELECT ON app.everything TO PUBLIC";
    server.sql(&home, hole);
    let leaky = |found: &[PlaceRow]| found.iter().any(|place| place.counts.critical > 0);
    let found = places(&world, "the hole is found", leaky).await;
    let hit: BTreeSet<&str> = found.iter().flat_map(|place| &place.open).map(|one| one.object.as_str()).collect();
    assert!(hit.iter().any(|object| object.contains("app.everything")), "{hit:?}");
    let opened = told(&world, "isolation.finding.opened").await;
    assert_eq!(opened.len(), 1, "{opened:?}");
    assert!(opened[0].contains("critical") && opened[0].contains("app.everything"), "{opened:?}");

    server.sql(&home, "DROP VIEW app.everything");
    places(&world, "the hole is closed", |found| !leaky(found)).await;
    assert_eq!(told(&world, "isolation.finding.closed").await.len(), 1);
    world.stop().await;
}
