//! Endpoints that want events in their order.

use std::time::Duration;

use tenantry_control::Subject;
use tenantry_control::tenants::edit::Expected;
use tenantry_control::webhooks::{self, Change, Wanted};
use tenantry_domain::event::Type;
use tenantry_domain::webhook::Terms;
use tenantry_store::{LaneId, Order, TURNS};
use tenantry_testkit::receivers::{Mood, Receiver};

use super::{Process, draft, emit, endpoint, lab, taken, terms, until, verify, wanted};
use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_one_that_fails_holds_up_its_own_tenant_until_it_is_through() {
    let world = World::with(lab(100)).await;
    let (acme, globex) = (draft(&world, "acme").await, draft(&world, "globex").await);
    let receiver = Receiver::start(Mood::Flap).await;
    let types = vec![tenantry_domain::webhook::Pattern::parse("tenant.updated").unwrap()];
    let wants = Terms { fifo: true, types, ..terms() };
    let (_, verifier) = endpoint(&world, Wanted { terms: wants, ..wanted(&receiver.url()) }).await;
    let process = Process::start(&world.deps);
    for _ in 0..10 {
        for tenant in [acme, globex] {
            emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 2).await;
        }
    }
    until("all are through", 60, || {
        let got = receiver.got();
        taken(&got, acme).len() == 20 && taken(&got, globex).len() == 20
    })
    .await;
    let got = receiver.got();
    verify(&got, &verifier);
    for tenant in [acme, globex] {
        assert_eq!(taken(&got, tenant), (2..=21).collect::<Vec<i64>>());
        // Not only those that were taken: nothing was even tried before the one in front of it was through.
        let mut through = 1;
        for one in &got {
            let body: serde_json::Value = serde_json::from_slice(&one.body).unwrap();
            if body["tenantryid"] == tenant.to_string() {
                assert_eq!(body["sequence"], through + 1, "{body}");
                through += i64::from(one.is_taken);
            }
        }
    }
    process.stop().await;
}

/// Whose events arrived, in their order, and how many of the first tenant came before the last of the second.
fn between(got: &[tenantry_testkit::receivers::Got], of: tenantry_domain::id::TenantId, last: usize) -> usize {
    let owner = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).unwrap()["tenantryid"].clone();
    let owners: Vec<_> = got.iter().map(|one| owner(&one.body)).collect();
    let end = owners.iter().enumerate().filter(|(_, one)| **one == of.to_string()).nth(last - 1).unwrap().0;
    end + 1 - last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_with_a_long_queue_does_not_hold_up_the_others_of_its_endpoint() {
    let world = World::with(lab(100)).await;
    let (acme, globex, initech) =
        (draft(&world, "acme").await, draft(&world, "globex").await, draft(&world, "initech").await);
    let receiver = Receiver::start(Mood::Slow(Duration::from_millis(2))).await;
    let types = vec![tenantry_domain::webhook::Pattern::parse("tenant.updated").unwrap()];
    let wants = Terms { fifo: true, types, ..terms() };
    endpoint(&world, Wanted { terms: wants, ..wanted(&receiver.url()) }).await;
    // All of it is older than what the others have.
    emit(&world.deps, &world, Subject::Tenant(acme), Type::TenantUpdated, 1000).await;
    emit(&world.deps, &world, Subject::Tenant(globex), Type::TenantUpdated, 40).await;
    let process = Process::start(&world.deps);
    until("the second one is through", 60, || taken(&receiver.got(), globex).len() == 40).await;
    let before = between(&receiver.got(), globex, 40);
    assert!(before <= 40 + 2 * TURNS, "{before} events of the long queue came before the last of the short one");
    // And somebody new, in the middle of it, waits for a turn and not for the queue.
    assert!(taken(&receiver.got(), acme).len() < 500);
    emit(&world.deps, &world, Subject::Tenant(initech), Type::TenantUpdated, 1).await;
    let at = receiver.count();
    until("the third one is through", 30, || !taken(&receiver.got(), initech).is_empty()).await;
    let waited = between(&receiver.got()[at..], initech, 1);
    assert!(waited < 300, "{waited} events came before one of somebody new");
    until("the long queue is through", 120, || taken(&receiver.got(), acme).len() == 1000).await;
    assert_eq!(taken(&receiver.got(), acme), (2..=1001).collect::<Vec<i64>>());
    process.stop().await;
}

#[tokio::test]
async fn a_fetch_that_cannot_hold_everybody_begins_behind_the_one_before() {
    let world = World::with(lab(3)).await;
    let mut tenants = Vec::new();
    for place in 0..5 {
        tenants.push(draft(&world, &format!("customer-{place}")).await);
    }
    let types = vec![tenantry_domain::webhook::Pattern::parse("tenant.updated").unwrap()];
    let wants = Terms { fifo: true, types, ..terms() };
    let (made, _) = endpoint(&world, Wanted { terms: wants, ..wanted("http://127.0.0.1:9/x") }).await;
    for tenant in &tenants {
        emit(&world.deps, &world, Subject::Tenant(*tenant), Type::TenantUpdated, TURNS + 8).await;
    }
    tenants.sort_unstable();
    let lane = LaneId { environment: world.environment.clone(), endpoint: made.id };
    let fetch = async |behind: Option<usize>, limit| {
        let behind = behind.map(|place| Subject::Tenant(tenants[place]));
        let found = world.deps.store().webhook_due(&lane, Order::Turns(behind), limit).await.unwrap();
        let place =
            |row: &tenantry_store::DueRow| tenants.iter().position(|one| row.event.subject.tenant() == Some(*one));
        found.iter().map(|row| (place(row).unwrap(), row.event.sequence)).collect::<Vec<_>>()
    };
    assert_eq!(fetch(None, 2).await, [(0, 2), (1, 2)]);
    assert_eq!(fetch(Some(1), 2).await, [(2, 2), (3, 2)]);
    assert_eq!(fetch(Some(3), 2).await, [(4, 2), (0, 2)]);
    assert_eq!(fetch(Some(3), 7).await, [(4, 2), (0, 2), (1, 2), (2, 2), (3, 2), (4, 3), (0, 3)]);
    assert_eq!(fetch(None, 10_000).await.len(), 5 * TURNS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_asked_for_while_others_are_in_hand_begins_when_they_are_through() {
    let world = World::with(lab(100)).await;
    let acme = draft(&world, "acme").await;
    let receiver = Receiver::start(Mood::Hang).await;
    let types = vec![tenantry_domain::webhook::Pattern::parse("tenant.updated").unwrap()];
    let (made, _) = endpoint(&world, Wanted { terms: Terms { types, ..terms() }, ..wanted(&receiver.url()) }).await;
    // Few, so that the lane looks again while the first ones are in hand.
    emit(&world.deps, &world, Subject::Tenant(acme), Type::TenantUpdated, 14).await;
    let process = Process::start(&world.deps);
    until("the first ones are in hand", 20, || receiver.count() == 4).await;
    let change = Change { fifo: Some(true), ..Change::default() };
    webhooks::update(&world.cx(), &world.deps, made.id, Expected::Any, change).await.unwrap();
    receiver.set(Mood::Ok);
    until("all are through", 30, || taken(&receiver.got(), acme).len() == 14).await;
    assert_eq!(taken(&receiver.got(), acme), (2..=15).collect::<Vec<i64>>(), "none overtakes one that failed");
    process.stop().await;
}
