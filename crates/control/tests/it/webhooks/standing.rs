//! Endpoints of tenants that are away or gone, and endpoints that do nothing but fail.

use std::time::{Duration, Instant};

use tenantry_control::tenants::delete::{DeleteOutcome, DeleteRequest};
use tenantry_control::tenants::edit::Expected;
use tenantry_control::webhooks::{self, Wanted};
use tenantry_control::{Options, Refusal, Runtime, Subject, tenants};
use tenantry_domain::event::Type;
use tenantry_domain::tenant::lifecycle::SuspensionReason;
use tenantry_domain::tenant::spec::Suspension;
use tenantry_domain::webhook::{Pattern, Standing, Terms, Why};
use tenantry_testkit::receivers::{Mood, Receiver};

use super::{Process, draft, emit, endpoint, lab, number, taken, terms, until, verify, wanted};
use crate::world::{World, name};

/// Of a type that nothing but these tests makes here: to suspend a tenant is to update it.
fn only_plans() -> Terms {
    Terms { types: vec![Pattern::parse("plan.changed").unwrap()], ..terms() }
}

/// Looks for a while that nothing arrives: several times as long as the pump rests between two looks.
async fn nothing_arrives(receiver: &Receiver) {
    let (count, began) = (receiver.count(), Instant::now());
    while began.elapsed() < Duration::from_millis(400) {
        assert_eq!(receiver.count(), count, "something arrived");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_that_is_away_gets_nothing_until_it_is_back_and_one_that_is_gone_leaves_nothing() {
    let mut world = World::with(lab(100)).await;
    world.runtime = Some(Runtime::start(&world.deps));
    let tenant = world.active("acme", "starter").await.id;
    let (own, all) = (Receiver::start(Mood::Ok).await, Receiver::start(Mood::Ok).await);
    let of_tenant = Wanted { tenant: Some(name("acme")), terms: only_plans(), ..wanted(&own.url()) };
    let (made, verifier) = endpoint(&world, of_tenant).await;
    endpoint(&world, Wanted { terms: only_plans(), ..wanted(&all.url()) }).await;
    let (acme, any) = (name("acme"), Expected::Any);
    let suspension = || Suspension { reason: SuspensionReason::Compliance, note: None };
    let update = async |count| emit(&world.deps, &world, Subject::Tenant(tenant), Type::PlanChanged, count).await;
    update(1).await;
    let heard = |receiver: &Receiver| taken(&receiver.got(), tenant).len();
    until("both hear of it", 20, || heard(&own) == 1 && heard(&all) == 1).await;

    let suspended = tenants::suspend(&world.cx(), &world.deps, &acme, any, suspension()).await.unwrap();
    world.done(suspended.operation).await;
    update(2).await;
    until("the environment hears of a suspended tenant", 20, || heard(&all) == 3).await;
    nothing_arrives(&own).await;
    assert_eq!(number(&world, "SELECT count(*) FROM tenantry.webhook_queue").await, 2, "it waits");
    let resumed = tenants::resume(&world.cx(), &world.deps, &acme, any).await.unwrap();
    world.done(resumed.operation).await;
    until("what waited arrives", 20, || heard(&own) == 3).await;
    verify(&own.got(), &verifier);
    let sorted = |receiver: &Receiver| {
        let mut numbers = taken(&receiver.got(), tenant);
        numbers.sort_unstable();
        numbers
    };
    assert_eq!(sorted(&own), sorted(&all));

    let suspended = tenants::suspend(&world.cx(), &world.deps, &acme, any, suspension()).await.unwrap();
    world.done(suspended.operation).await;
    let archived = tenants::archive(&world.cx(), &world.deps, &acme, any).await.unwrap();
    world.done(archived.operation).await;
    update(1).await;
    until("the environment hears of an archived tenant", 20, || heard(&all) == 4).await;
    nothing_arrives(&own).await;

    let request = DeleteRequest {
        confirm: "acme".into(),
        reason: Some("customer asked".into()),
        grace: Some(jiff::SignedDuration::from_hours(1)),
        dry_run: false,
    };
    let DeleteOutcome::Accepted(gone) = tenants::delete(&world.cx(), &world.deps, &acme, any, request).await.unwrap()
    else {
        panic!("not planned")
    };
    world.skip_ahead(jiff::SignedDuration::from_hours(2));
    world.done(gone.operation).await;
    assert!(matches!(webhooks::get(&world.cx(), &world.deps, made.id).await, Err(Refusal::NoObject { .. })));
    let began = Instant::now();
    while number(&world, "SELECT count(*) FROM tenantry.webhook_queue").await > 0 {
        assert!(began.elapsed().as_secs() < 20, "what waited for the one that is gone is swept up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(heard(&own), 3);
    let rest = "SELECT (SELECT count(*) FROM tenantry.webhook_dead) + (SELECT count(*) - 1 FROM tenantry.webhook_lane)";
    assert_eq!(number(&world, rest).await, 0, "only the environment's is left");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_does_nothing_but_fail_is_disabled_and_told_of() {
    let mut options: Options = lab(1000);
    options.webhooks.give_up = Duration::from_millis(1500);
    let world = World::with(options).await;
    let tenant = draft(&world, "acme").await;
    let (sick, moody, notices) =
        (Receiver::start(Mood::Status(500)).await, Receiver::start(Mood::Flap).await, Receiver::start(Mood::Ok).await);
    let of = |receiver: &Receiver| Wanted { terms: only_plans(), ..wanted(&receiver.url()) };
    let (failing, _) = endpoint(&world, Wanted { tenant: Some(name("acme")), ..of(&sick) }).await;
    let (flapping, _) = endpoint(&world, of(&moody)).await;
    let wants = Terms { types: vec![Pattern::parse("webhook.endpoint.disabled").unwrap()], ..terms() };
    endpoint(&world, Wanted { terms: wants, ..wanted(&notices.url()) }).await;
    let process = Process::start(&world.deps);
    emit(&world.deps, &world, Subject::Tenant(tenant), Type::PlanChanged, 30).await;
    until("the environment is told", 40, || notices.count() == 1).await;
    let body: serde_json::Value = serde_json::from_slice(&notices.got()[0].body).unwrap();
    assert_eq!(body["type"], "webhook.endpoint.disabled");
    assert_eq!(body["tenantryid"], tenant.to_string());
    assert!(!body.to_string().contains("/in"), "the notice names the host and not the URL: {body}");
    let found = webhooks::get(&world.cx(), &world.deps, failing.id).await.unwrap();
    assert_eq!((found.standing, found.disabled.map(|(_, why)| why)), (Standing::Disabled, Some(Why::Failing)));
    let entries = "SELECT count(*) FROM tenantry.audit WHERE action = 'webhook.disable' AND actor LIKE 'controller:%'";
    assert_eq!(number(&world, entries).await, 1);
    // One that succeeds now and then is none of these.
    until("the other one is through", 40, || taken(&moody.got(), tenant).len() == 30).await;
    let found = webhooks::get(&world.cx(), &world.deps, flapping.id).await.unwrap();
    assert_eq!(found.standing, Standing::Active);
    nothing_arrives(&sick).await;
    let began = Instant::now();
    while number(&world, "SELECT count(*) FROM tenantry.webhook_dead WHERE cause = 'disabled'").await < 30 {
        assert!(began.elapsed().as_secs() < 20, "what waited for it is among the dead");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    process.stop().await;
}
