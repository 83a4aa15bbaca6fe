//! Endpoints that want events in their order.

use tenantry_control::Subject;
use tenantry_control::webhooks::Wanted;
use tenantry_domain::event::Type;
use tenantry_domain::webhook::Terms;
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
