//! What was found at the cells: one holder of a turn, states that are told apart, and no news without an entry.

use std::time::Duration;

use tenantry_domain::audit::Category;
use tenantry_domain::name::CellName;
use tenantry_store::{CatalogKind, CatalogPut, Counts, Entry, LookKind, OpenFinding, PlaceState, StoreError, Turn};

use crate::world::{World, at, draft, prod, replica_id};

const LONG: Duration = Duration::from_secs(600);
const KIND: LookKind = LookKind::Guard;

fn cell() -> CellName {
    CellName::parse("eu-west-1").unwrap()
}

async fn with_cell() -> World {
    let world = World::new().await;
    let mut tx = world.write().await;
    let put = CatalogPut {
        kind: CatalogKind::Cell,
        name: "eu-west-1".into(),
        from_version: 0,
        spec: serde_json::json!({}),
        action: "manifests.apply".into(),
        correlation_id: "c".into(),
    };
    tx.catalog().put(&put).await.unwrap();
    tx.commit(vec![Entry::environment(draft("catalog.apply", Category::Mutation, None), vec![])]).await.unwrap();
    world
}

async fn claim(world: &World, lease: Duration, is_scheduled: bool) -> Option<Turn> {
    world.store.isolation_claim(replica_id(), KIND, lease, Duration::ZERO, is_scheduled).await.unwrap()
}

async fn ask(world: &World) {
    let mut tx = world.write().await;
    tx.isolation().request(&cell(), KIND).await.unwrap();
    tx.commit(vec![Entry::environment(draft("isolation.run", Category::Access, None), vec![])]).await.unwrap();
}

#[tokio::test]
async fn a_turn_has_one_holder_whoever_tries() {
    let world = with_cell().await;
    assert!(claim(&world, LONG, true).await.is_none(), "the first look is due a moment after the cell is seen");
    let tries = (0..12).map(|_| claim(&world, LONG, true));
    let taken: Vec<Turn> = futures_util::future::join_all(tries).await.into_iter().flatten().collect();
    assert_eq!(taken.len(), 1, "{taken:?}");
    assert!(world.store.isolation_renew(&taken[0], LONG).await.unwrap());
    world.store.isolation_end(&taken[0], None, LONG).await.unwrap();
    assert!(claim(&world, LONG, true).await.is_none(), "it is not due");
    let row = world.store.read(&prod()).isolation_turn(&cell(), KIND).await.unwrap().unwrap();
    assert!(row.ended_at.is_some() && !row.is_running && row.failure.is_none());
    let pause = row.due_at.duration_since(row.ended_at.unwrap()).as_secs_f64();
    assert!((540.0..=660.0).contains(&pause), "a tenth more or less: {pause}");
    // Another kind of look has turns of its own.
    let probe = || world.store.isolation_claim(replica_id(), LookKind::Probe, LONG, Duration::ZERO, true);
    probe().await.unwrap();
    assert!(probe().await.unwrap().is_some());
}

#[tokio::test]
async fn a_holder_that_died_is_followed_and_cannot_end_the_turn_of_another() {
    let world = with_cell().await;
    claim(&world, LONG, true).await;
    let dead = claim(&world, Duration::from_millis(1), true).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let next = claim(&world, LONG, true).await.expect("its lease has ended");
    assert!(next.fence > dead.fence);
    assert!(!world.store.isolation_renew(&dead, LONG).await.unwrap());
    world.store.isolation_end(&dead, None, Duration::ZERO).await.unwrap();
    assert!(claim(&world, LONG, true).await.is_none(), "the newer one still holds it");
    world.store.isolation_end(&next, Some("1 place(s) could not be looked at"), Duration::ZERO).await.unwrap();
    let row = world.store.read(&prod()).isolation_turn(&cell(), KIND).await.unwrap().unwrap();
    assert_eq!((row.ended_at, row.failure.as_deref()), (None, Some("1 place(s) could not be looked at")));
}

#[tokio::test]
async fn without_a_schedule_only_what_was_asked_for_is_taken() {
    let world = with_cell().await;
    for _ in 0..3 {
        assert!(claim(&world, LONG, false).await.is_none());
    }
    ask(&world).await;
    let turn = claim(&world, LONG, false).await.expect("it was asked for");
    // Asked for again while it runs: once more.
    ask(&world).await;
    world.store.isolation_end(&turn, None, LONG).await.unwrap();
    let again = claim(&world, LONG, false).await.expect("the second request came later");
    world.store.isolation_end(&again, None, LONG).await.unwrap();
    assert!(claim(&world, LONG, false).await.is_none());
}

fn finding(check: &str) -> OpenFinding {
    OpenFinding {
        check: check.into(),
        object: "table app.notes".into(),
        severity: "critical".into(),
        title: "open".into(),
        since: at(0),
    }
}

fn state(second: i64, digest: u8, open: Vec<OpenFinding>) -> PlaceState {
    let counts = Counts { critical: u64::try_from(open.len()).unwrap(), ..Counts::default() };
    PlaceState {
        cell: cell(),
        kind: KIND,
        place: "home/chat".into(),
        tenant: None,
        taken_at: at(second),
        counts,
        open,
        digest: [digest; 32],
        document: format!("document {second}"),
    }
}

#[tokio::test]
async fn states_follow_each_other_and_the_same_one_takes_the_row_of_the_one_before() {
    let world = with_cell().await;
    let (store, reader) = (&world.store, world.store.read(&prod()));
    let keep = |second, digest, seq| {
        let state = state(second, digest, vec![]);
        async move { store.isolation_keep(&prod(), &state, seq).await.unwrap() }
    };
    assert!(keep(10, 1, 0).await);
    assert!(!keep(20, 1, 0).await, "it is there by now");
    assert!(keep(20, 1, 1).await);
    assert!(!keep(15, 1, 1).await, "an older look changes nothing");
    let row = reader.isolation_place(&cell(), KIND, "home/chat").await.unwrap().unwrap();
    assert_eq!((row.seq, row.taken_at), (1, at(20)));
    assert_eq!(
        reader.isolation_document(&cell(), KIND, "home/chat").await.unwrap().unwrap(),
        ("document 20".into(), at(10))
    );
    for number in 0..40_i64 {
        assert!(keep(30 + number, u8::try_from(2 + number).unwrap(), 1 + number).await, "{number}");
    }
    assert_eq!(world.number("SELECT count(*) FROM tenantry.isolation_report").await, 30);
    assert_eq!(reader.isolation_place(&cell(), KIND, "home/chat").await.unwrap().unwrap().seq, 41);
    // None of that is news, so none of it is in the audit.
    assert_eq!(world.number("SELECT count(*) FROM tenantry.audit").await, 1);
}

#[tokio::test]
async fn news_needs_an_entry_and_the_faster_of_two_wins() {
    let world = with_cell().await;
    let open = state(10, 1, vec![finding("T1a")]);
    let mut tx = world.write().await;
    assert!(tx.isolation().lock(&cell(), KIND, "home/chat").await.unwrap().is_none());
    tx.isolation().put(&open, 0).await.unwrap();
    assert!(matches!(tx.commit_unchanged().await, Err(StoreError::Unaudited)));
    let entry = || Entry::environment(draft("isolation.record", Category::Drift, None), vec![]);
    let mut tx = world.write().await;
    tx.isolation().put(&open, 0).await.unwrap();
    tx.commit(vec![entry()]).await.unwrap();
    let mut late = world.write().await;
    assert!(matches!(late.isolation().put(&state(11, 2, vec![]), 0).await, Err(StoreError::StaleVersion { .. })));
    drop(late);
    let gauges = world.store.isolation_gauges(KIND).await.unwrap();
    assert_eq!((gauges.len(), gauges[0].counts.critical, gauges[0].ended_at), (1, 1, None));
    // What has an open finding is forgotten by an entry only.
    claim(&world, LONG, true).await;
    let turn = claim(&world, LONG, true).await.unwrap();
    world.store.isolation_prune(&turn, &[]).await.unwrap();
    let places = world.store.read(&prod()).isolation_places(&cell(), KIND).await.unwrap();
    assert_eq!(places[0].open, open.open);
    let mut tx = world.write().await;
    tx.isolation().forget(&cell(), KIND, "home/chat").await.unwrap();
    tx.commit(vec![entry()]).await.unwrap();
    assert_eq!(world.number("SELECT count(*) FROM tenantry.isolation_report").await, 0);
}
