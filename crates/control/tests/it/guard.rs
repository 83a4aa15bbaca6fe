//! The guard at work: on schedule, on request, by several replicas, and what becomes of what it finds.

use std::time::{Duration, Instant};

use tenantry_control::controllers::driver::{Controller as _, Look};
use tenantry_control::controllers::guard::Watch;
use tenantry_control::guard::inspect::Route;
use tenantry_control::guard::{self, CellView, Guard, GuardOptions, Inspect, Place, Report};
use tenantry_control::tenants::{DeleteOutcome, DeleteRequest, Expected};
use tenantry_control::{AuditFilter, Deps, EventRow, Options, Runtime, audit, events, tenants};
use tenantry_dataplane::guard::{PublicKey, SignError, SignedReport, Ward};
use tenantry_dataplane::{Cell, DataError};
use tenantry_domain::name::{CellName, EnvironmentName};
use tenantry_domain::page::PageSize;
use tenantry_domain::tenant::lifecycle::SuspensionReason;
use tenantry_domain::tenant::spec::Suspension;
use tenantry_pg::{Pool, PoolOptions, Target};
use tenantry_store::{LookKind, StoreError};
use tenantry_testkit::pg;

use crate::world::{World, name, options};

const CELL: &str = "eu-west-1";

/// Drift would put back by itself what the tests open by hand.
fn watchful(every: Option<Duration>) -> Options {
    let guard = GuardOptions { every, ..GuardOptions::default() };
    Options { guard, sweep: Duration::from_secs(3600), ..options() }
}

async fn populated(every: Option<Duration>) -> World {
    let mut world = World::with(watchful(every)).await;
    world.runtime = Some(Runtime::start(&world.deps));
    for (slug, plan) in [("acme", "starter"), ("globex", "standard"), ("initech", "enterprise")] {
        world.active(slug, plan).await;
    }
    world
}

fn home(world: &World) -> String {
    format!("tn_{}_notes", world.environment)
}

/// The findings of our own databases. What the shared test server is like is not this test's business.
fn places(view: &CellView) -> Vec<(String, u64, Vec<String>)> {
    let own = view.places.iter().filter(|row| row.place != "server");
    own.map(|row| {
        let open = row.open.iter().map(|one| format!("{} {}", one.check, one.object)).collect();
        (row.place.clone(), row.counts.critical + row.counts.high + row.counts.medium + row.counts.low, open)
    })
    .collect()
}

async fn until<T, F: Future<Output = Option<T>>>(what: &str, look: impl Fn() -> F) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn seen(world: &World, what: &str, holds: impl Fn(&CellView) -> bool) -> CellView {
    until(what, || async {
        guard::cell(&world.cx(), &world.deps, CELL).await.ok().filter(|view| view.ended_at.is_some() && holds(view))
    })
    .await
}

/// Events of one type about our own databases.
async fn told(world: &World, tenant: Option<&str>, kind: &str) -> Vec<EventRow> {
    let tenant = tenant.map(name);
    let all = events::list(&world.cx(), &world.deps, tenant.as_ref(), 0, 1000).await.unwrap();
    all.into_iter().filter(|event| event.kind.as_str() == kind && event.data["place"] != "server").collect()
}

async fn entries(world: &World, action: &str) -> usize {
    let filter = AuditFilter { action: Some(action.to_owned()), ..AuditFilter::default() };
    let page = audit::list(&world.cx(), &world.deps, &filter, PageSize::new(200).unwrap(), None).await.unwrap();
    page.items.iter().filter(|row| row.entry.draft.changes["place"] != "server").count()
}

/// GUARD-10, GUARD-13, GUARD-14: clean as made; opened by hand, told within the period; closed when it is put right.
#[tokio::test]
async fn a_leak_is_told_within_the_period_and_closed_when_it_is_gone() {
    let world = populated(Some(Duration::from_secs(1))).await;
    let own = world.tenant("initech").await.id;
    let mut expected = ["home/notes".to_owned(), Place::Own(own).to_string()];
    let view = seen(&world, "all places are looked at", |view| view.places_count == 3).await;
    let mut found = places(&view);
    found.sort();
    expected.sort();
    assert_eq!(found, expected.iter().map(|place| (place.clone(), 0, vec![])).collect::<Vec<_>>(), "clean as made");
    assert!(told(&world, None, "isolation.finding.opened").await.is_empty());
    assert_eq!(entries(&world, "isolation.record").await, 0, "clean looks leave no entry");

    let owner = "SELECT pg_get_userbyid(nspowner)::text FROM pg_namespace WHERE nspname = 'app'";
    let (home, server) = (home(&world), pg::server());
    let pool = Pool::new(Target::parse(&server.url(&home).into()).unwrap(), PoolOptions::default());
    let owner: String = pool.get().await.unwrap().query_one(owner, &[]).await.unwrap().get(0);
    server.sql(
        &home,
        &format!(
            "ALTER TABLE app.notes DISABLE ROW LEVEL SECURITY;
             CREATE VIEW app.everything AS SELECT * FROM app.tags; GRANT SELECT ON app.everything TO PUBLIC;
             ALTER ROLE {owner} LOGIN"
        ),
    );
    let database = format!("t_{}", own.uuid().simple());
    server.sql(&database, &format!("GRANT SELECT ON seal.key TO {database}"));
    let has = |view: &CellView, place: &str, check: &str| {
        places(view)
            .iter()
            .any(|(name, _, open)| name.starts_with(place) && open.iter().any(|one| one.starts_with(check)))
    };
    let found = |view: &CellView| has(view, "home/", "T1a ") && has(view, "tenant/", "S12b ");
    let view = seen(&world, "the leaks are found", found).await;
    let of_home = places(&view).into_iter().find(|(place, ..)| place == "home/notes").unwrap().2;
    for check in ["T1a ", "T13a ", "R3a "] {
        assert!(of_home.iter().any(|one| one.starts_with(check)), "{check}: {of_home:?}");
    }
    let opened = told(&world, None, "isolation.finding.opened").await;
    assert_eq!(opened.len(), 1, "{opened:?}");
    assert_eq!(opened[0].data["severity"], "critical");
    assert_eq!(told(&world, Some("initech"), "isolation.finding.opened").await.len(), 1, "a tenant's own is its own");
    assert_eq!(entries(&world, "isolation.record").await, 2);
    let gauges = guard::gauges(&world.deps).await.unwrap();
    let gauge = gauges.iter().find(|gauge| gauge.environment == world.environment).unwrap();
    assert!(gauge.counts.critical >= 4 && gauge.ended_at.is_some(), "{gauge:?}");

    server.sql(
        &home,
        &format!(
            "ALTER TABLE app.notes ENABLE ROW LEVEL SECURITY; DROP VIEW app.everything; ALTER ROLE {owner} NOLOGIN"
        ),
    );
    server.sql(&database, &format!("REVOKE SELECT ON seal.key FROM {database}"));
    seen(&world, "all is closed", |view| places(view).iter().all(|(_, count, _)| *count == 0)).await;
    let closed = told(&world, None, "isolation.finding.closed").await;
    let count: u64 = closed.iter().map(|event| event.data["count"].as_u64().unwrap()).sum();
    assert_eq!(count, of_home.len() as u64, "{closed:?}");
    assert_eq!(told(&world, Some("initech"), "isolation.finding.closed").await.len(), 1);
    assert!(audit::verify(&world.cx(), &world.deps, None).await.unwrap().is_intact);
    world.stop().await;
}

#[tokio::test]
async fn two_replicas_tell_a_leak_once() {
    let world = populated(Some(Duration::from_secs(1))).await;
    let twin = world.twin(watchful(Some(Duration::from_secs(1)))).await;
    let runtime = Runtime::start(&twin);
    seen(&world, "all places are looked at", |view| view.places_count == 3).await;
    pg::server().sql(&home(&world), "ALTER TABLE app.notes NO FORCE ROW LEVEL SECURITY");
    seen(&world, "it is found", |view| view.places.iter().any(|row| !row.open.is_empty() && row.place != "server"))
        .await;
    // Both look on for a few periods, and somebody looks besides.
    for _ in 0..4 {
        guard::look(&world.cx(), &world.deps, &name("acme")).await.unwrap();
        guard::look(&world.cx(), &twin, &name("globex")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    assert_eq!(told(&world, None, "isolation.finding.opened").await.len(), 1);
    assert_eq!(entries(&world, "isolation.record").await, 1);
    runtime.shutdown(&twin).await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn one_that_is_killed_in_the_middle_is_followed_by_another() {
    let mut world = populated(None).await;
    guard::request(&world.cx(), &world.deps, CELL).await.unwrap();
    seen(&world, "what was asked for is done", |view| !view.is_requested).await;
    world.pause().await;
    guard::request(&world.cx(), &world.deps, CELL).await.unwrap();
    let mut killed = Watch::<Guard>::default();
    assert_eq!(killed.look(&world.deps).await.unwrap(), Look::Again, "it took the turn");
    drop(killed);
    let mut next = Watch::<Guard>::default();
    assert_eq!(next.look(&world.deps).await.unwrap(), Look::Done, "the lease holds");
    let conn = world.deps.store().pool().get().await.unwrap();
    conn.execute("UPDATE tenantry.isolation_turn SET lease_until = now() - interval '1 second'", &[]).await.unwrap();
    conn.release();
    let mut steps = 0;
    while next.look(&world.deps).await.unwrap() == Look::Again {
        steps += 1;
    }
    assert_eq!(steps, 3, "taken, looked at, given back");
    assert!(!guard::is_pending(&world.cx(), &world.deps, CELL).await.unwrap());
    assert!(audit::verify(&world.cx(), &world.deps, None).await.unwrap().is_intact);
}

#[tokio::test]
async fn reports_are_signed_and_a_changed_byte_is_seen() {
    let world = populated(None).await;
    assert!(guard::tenant(&world.cx(), &world.deps, &name("acme")).await.is_err(), "nobody has looked yet");
    for (slug, place) in [
        ("acme", "home/notes".to_owned()),
        ("globex", "home/notes".to_owned()),
        ("initech", { Place::Own(world.tenant("initech").await.id).to_string() }),
    ] {
        let view = guard::look(&world.cx(), &world.deps, &name(slug)).await.unwrap();
        assert_eq!((view.place.as_str(), view.open.len()), (place.as_str(), 0), "{slug}");
        assert!(view.report.is_clean(), "{slug}: {:?}", view.report.section.findings);
        let keys = guard::keys(&world.deps).unwrap();
        let document = guard::tenant_document(&world.cx(), &world.deps, &name(slug)).await.unwrap();
        let signed = SignedReport::parse(&document.text).unwrap();
        let key = PublicKey::parse(&keys.public).unwrap();
        assert_eq!(signed.verify(&key).unwrap().taken_at, view.report.taken_at);
        assert_eq!((signed.key_id(), key.id()), (keys.id.as_str(), keys.id.clone()));
        let forged = document.text.replacen("\"findings\":[]", "\"findings\":[ ]", 1);
        assert_eq!(SignedReport::parse(&forged).unwrap_err(), SignError::Document);
        let forged = document.text.replacen("notes", "nodes", 1);
        let forged = SignedReport::parse(&forged).and_then(|signed| signed.verify(&key));
        assert!(forged.is_err() || !document.text.contains("notes"), "{forged:?}");
    }
    world.stop().await;
}

#[tokio::test]
async fn what_is_gone_is_forgotten_and_its_findings_closed() {
    let world = populated(None).await;
    let own = world.tenant("initech").await.id;
    let database = format!("t_{}", own.uuid().simple());
    pg::server().sql(&database, &format!("GRANT SELECT ON seal.key TO {database}"));
    guard::request(&world.cx(), &world.deps, CELL).await.unwrap();
    seen(&world, "it is found", |view| !view.is_requested && view.places_count == 3).await;
    assert_eq!(told(&world, Some("initech"), "isolation.finding.opened").await.len(), 1);
    let (initech, any) = (name("initech"), Expected::Any);
    let suspension = Suspension { reason: SuspensionReason::Commercial, note: None };
    let suspended = tenants::suspend(&world.cx(), &world.deps, &initech, any, suspension).await.unwrap();
    world.done(suspended.operation).await;
    world.done(tenants::archive(&world.cx(), &world.deps, &initech, any).await.unwrap().operation).await;
    let removal =
        DeleteRequest { confirm: "initech".into(), reason: Some("ticket 7".into()), grace: None, dry_run: false };
    let waiting = tenants::delete(&world.cx(), &world.deps, &initech, any, removal).await.unwrap();
    let DeleteOutcome::Accepted(waiting) = waiting else { panic!("not planned") };
    world.skip_ahead(jiff::SignedDuration::from_hours(2));
    world.done(waiting.operation).await;
    guard::request(&world.cx(), &world.deps, CELL).await.unwrap();
    seen(&world, "its place is gone", |view| !view.is_requested && view.places_count == 2).await;
    let closed = told(&world, None, "isolation.finding.closed").await;
    assert_eq!(closed.len(), 1, "{closed:?}");
    assert_eq!(closed[0].data["place"], Place::Own(own).to_string());
    world.stop().await;
}

/// A second kind of look: it needs a route and a look, and has turns and places of its own.
struct Second;

impl Inspect for Second {
    const KIND: LookKind = LookKind::Probe;
    const NAME: &'static str = "second";
    type Ward = Ward;

    fn every(_: &Deps) -> Option<Duration> {
        Some(Duration::from_secs(600))
    }

    async fn route(deps: &Deps, environment: &EnvironmentName, cell: &CellName) -> Result<Route<Ward>, StoreError> {
        let mut route = Guard::route(deps, environment, cell).await?;
        route.places.retain(|(place, _)| matches!(place, Place::Home(_)));
        Ok(route)
    }

    async fn look(deps: &Deps, cell: &Cell, ward: &Ward) -> Result<Option<Report>, DataError> {
        Guard::look(deps, cell, ward).await
    }
}

#[tokio::test]
async fn another_kind_of_look_stands_beside_the_guards() {
    let mut world = populated(None).await;
    world.pause().await;
    let mut watch = Watch::<Second>::default();
    // Seen now, due within a tenth of the period.
    assert_eq!(watch.look(&world.deps).await.unwrap(), Look::Done);
    let conn = world.deps.store().pool().get().await.unwrap();
    conn.execute("UPDATE tenantry.isolation_turn SET due_at = now() WHERE kind = 'probe'", &[]).await.unwrap();
    conn.release();
    while watch.look(&world.deps).await.unwrap() == Look::Again {}
    let reader = world.deps.store().read(&world.environment);
    let cell = CellName::parse(CELL).unwrap();
    let names = |rows: Vec<tenantry_store::PlaceRow>| rows.into_iter().map(|row| row.place).collect::<Vec<_>>();
    assert_eq!(names(reader.isolation_places(&cell, LookKind::Probe).await.unwrap()), ["home/notes"]);
    assert!(reader.isolation_places(&cell, LookKind::Guard).await.unwrap().is_empty());
    assert!(reader.isolation_turn(&cell, LookKind::Probe).await.unwrap().unwrap().ended_at.is_some());
}
