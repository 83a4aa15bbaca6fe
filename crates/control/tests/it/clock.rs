//! A process whose clock is wrong begins nothing, and above all erases nothing.

use std::time::{Duration, Instant};

use tenantry_control::tenants::delete::{DeleteOutcome, DeleteRequest};
use tenantry_control::tenants::edit::Expected;
use tenantry_control::{Options, Refusal, Runtime, health, tenants};
use tenantry_domain::tenant::lifecycle::{Phase, SuspensionReason};
use tenantry_domain::tenant::spec::Suspension;

use crate::world::{World, name, options};

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_ahead_erases_nobody_inside_the_grace() {
    let mut world = World::running().await;
    let (cx, acme) = (world.cx(), name("acme"));
    world.active("acme", "starter").await;
    let suspension = Suspension { reason: SuspensionReason::Compliance, note: None };
    let gone = tenants::suspend(&cx, &world.deps, &acme, Expected::Any, suspension).await.unwrap();
    world.done(gone.operation).await;
    let archived = tenants::archive(&cx, &world.deps, &acme, Expected::Any).await.unwrap();
    world.done(archived.operation).await;
    let request = DeleteRequest {
        confirm: "acme".into(),
        reason: Some("customer asked".into()),
        grace: Some(jiff::SignedDuration::from_hours(7 * 24)),
        dry_run: false,
    };
    let asked = tenants::delete(&cx, &world.deps, &acme, Expected::Any, request).await.unwrap();
    let DeleteOutcome::Accepted(_) = asked else { panic!("not planned") };
    world.pause().await;

    let month = jiff::SignedDuration::from_hours(30 * 24);
    world.skip_ahead(month);
    let wrong = world.twin(Options { clock_slack: Options::default().clock_slack, ..options() }).await;
    let runtime = Runtime::start(&wrong);
    assert!(!health::readiness(&wrong).await.clock);
    let refused = tenants::undelete(&world.cx(), &wrong, &acme, Expected::Any).await;
    assert!(matches!(refused, Err(Refusal::ClockApart)), "{refused:?}");
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        let tenant = world.tenant("acme").await;
        assert_eq!((tenant.state.phase(), tenant.requested), (Phase::Archived, Phase::Deleted));
        let begun = wrong.store().read(&world.environment).workflows(tenant.id, 10).await.unwrap();
        assert!(begun.iter().all(|row| row.kind != tenantry_domain::workflow::Kind::Delete), "{begun:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    // Put right, it works without being started anew.
    world.skip_ahead(-month);
    let back = tenants::undelete(&world.cx(), &wrong, &acme, Expected::Any).await.unwrap();
    world.done(back.operation).await;
    assert_eq!(world.tenant("acme").await.requested, Phase::Archived);
    runtime.shutdown(&wrong).await.unwrap();
    world.stop().await;
}
