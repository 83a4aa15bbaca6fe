//! Dead letters, replays, tests, and endpoints that are left alone.

use std::collections::HashMap;

use tenantry_control::tenants::edit::Expected;
use tenantry_control::webhooks::{self, Replay};
use tenantry_control::{AttemptFilter, DeadFilter, Refusal, Subject};
use tenantry_domain::event::Type;
use tenantry_domain::page::PageSize;
use tenantry_domain::webhook::{Cause, Pattern, Standing, Why};
use tenantry_testkit::receivers::Mood;

use super::{Process, emit, equal_repetitions, number, simple, taken, until, verify};

fn size() -> PageSize {
    PageSize::new(200).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_for_good_becomes_a_dead_letter_and_can_be_sent_again() {
    let (world, tenant, receiver, made, verifier) = simple(3).await;
    receiver.set(Mood::Status(500));
    let process = Process::start(&world.deps);
    emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 4).await;
    let began = std::time::Instant::now();
    let dead = loop {
        let page = webhooks::dead_letters(&world.cx(), &world.deps, made.id, &DeadFilter::default(), size(), None)
            .await
            .unwrap();
        if page.items.len() == 5 {
            break page.items;
        }
        assert!(began.elapsed().as_secs() < 30, "{page:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    for row in &dead {
        assert_eq!((row.cause, row.attempts, row.status), (Cause::Attempts, 3, Some(500)), "{row:?}");
        let answer = row.answer.as_deref().unwrap();
        assert!(answer.starts_with("it broke") && !answer.contains("hunter2") && !answer.contains("AAAA"), "{answer}");
    }
    assert_eq!(number(&world, "SELECT count(*) FROM tenantry.webhook_queue").await, 0);
    let log =
        webhooks::attempts(&world.cx(), &world.deps, made.id, &AttemptFilter::default(), size(), None).await.unwrap();
    assert_eq!(log.items.len(), 15, "three attempts of five events");
    assert_eq!(receiver.count(), 15);

    receiver.set(Mood::Ok);
    // One by its id, then by type, then the rest.
    let one = DeadFilter { events: vec![dead[1].event], ..DeadFilter::default() };
    assert_eq!(webhooks::redrive(&world.cx(), &world.deps, made.id, &one).await.unwrap().count, 1);
    until("one is through", 20, || taken(&receiver.got(), tenant).len() == 1).await;
    let created = DeadFilter { types: vec![Pattern::parse("webhook.*").unwrap()], ..DeadFilter::default() };
    assert_eq!(webhooks::redrive(&world.cx(), &world.deps, made.id, &created).await.unwrap().count, 1);
    let rest = DeadFilter { cause: Some(Cause::Attempts), ..DeadFilter::default() };
    let redriven = webhooks::redrive(&world.cx(), &world.deps, made.id, &rest).await.unwrap();
    assert_eq!((redriven.count, redriven.has_more), (3, false));
    until("all are through", 20, || taken(&receiver.got(), tenant).len() == 5).await;
    let got = receiver.got();
    verify(&got, &verifier);
    assert_eq!(equal_repetitions(&got), 15);
    assert_eq!(number(&world, "SELECT count(*) FROM tenantry.webhook_dead").await, 0);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_is_sent_again_with_the_ids_and_bytes_that_it_had() {
    let (world, tenant, receiver, made, verifier) = simple(3).await;
    let process = Process::start(&world.deps);
    emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 1500).await;
    emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantSuspended, 10).await;
    until("all are through", 30, || receiver.count() == 1511).await;
    let first: HashMap<String, Vec<u8>> = receiver.got().into_iter().map(|one| (one.id, one.body)).collect();
    // Behind a number.
    let replay = Replay { after: Some(1505), ..Replay::default() };
    webhooks::replay(&world.cx(), &world.deps, made.id, replay).await.unwrap();
    until("those behind the number came again", 30, || receiver.count() == 1511 + 7).await;
    // By type.
    let replay = Replay { types: vec![Pattern::parse("tenant.suspended").unwrap()], ..Replay::default() };
    webhooks::replay(&world.cx(), &world.deps, made.id, replay).await.unwrap();
    until("those of the type came again", 30, || receiver.count() == 1511 + 17).await;
    // By time: nothing is from the future, and everything is from the past.
    let later = world.deps.now().saturating_add(jiff::SignedDuration::from_hours(1)).unwrap();
    let replay = Replay {
        since: Some(later),
        until: later.checked_add(jiff::SignedDuration::from_hours(1)).ok(),
        ..Replay::default()
    };
    webhooks::replay(&world.cx(), &world.deps, made.id, replay).await.unwrap();
    // Everything but what was there before the endpoint, which nobody asked for.
    let replay = Replay { after: Some(1), ..Replay::default() };
    webhooks::replay(&world.cx(), &world.deps, made.id, replay).await.unwrap();
    let began = std::time::Instant::now();
    until("all came again", 60, || receiver.count() == 1511 * 2 + 17).await;
    let seconds = began.elapsed().as_secs_f64();
    eprintln!("replay: {:.0} a second, unoptimised", 1511.0 / seconds);
    let got = receiver.got();
    verify(&got, &verifier);
    for one in &got {
        assert_eq!(first.get(&one.id), Some(&one.body), "{}", one.id);
    }
    let replays = webhooks::replays(&world.cx(), &world.deps, made.id).await.unwrap();
    let queued: Vec<i64> = replays.iter().map(|row| row.queued).collect();
    assert_eq!(queued, [1511, 0, 10, 7]);
    assert!(replays.iter().all(|row| row.ended_at.is_some()), "{replays:?}");
    let wrong = Replay { since: Some(later), until: Some(later), ..Replay::default() };
    assert!(matches!(webhooks::replay(&world.cx(), &world.deps, made.id, wrong).await, Err(Refusal::Request(_))));
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_gone_is_disabled_and_told_of_and_can_come_back() {
    let (world, tenant, receiver, made, _) = simple(3).await;
    receiver.set(Mood::Status(410));
    emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 100).await;
    // Not before: the first answer disables it, and what comes after that is not kept for it.
    let process = Process::start(&world.deps);
    let disabled = "SELECT count(*) FROM tenantry.outbox WHERE type = 'webhook.endpoint.disabled'";
    let began = std::time::Instant::now();
    while number(&world, disabled).await == 0 || number(&world, "SELECT count(*) FROM tenantry.webhook_queue").await > 0
    {
        assert!(began.elapsed().as_secs() < 30);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let found = webhooks::get(&world.cx(), &world.deps, made.id).await.unwrap();
    assert_eq!((found.standing, found.disabled.map(|(_, why)| why)), (Standing::Disabled, Some(Why::Gone)));
    let attempts = receiver.count();
    assert!(attempts <= usize::from(found.terms.concurrency), "{attempts}");
    assert_eq!(number(&world, "SELECT count(*) FROM tenantry.webhook_dead").await, 101);
    // Nothing is sent and nothing is kept for it.
    emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 10).await;
    assert_eq!(number(&world, "SELECT count(*) FROM tenantry.webhook_queue").await, 0);
    let refused = webhooks::redrive(&world.cx(), &world.deps, made.id, &DeadFilter::default()).await;
    assert!(matches!(refused, Err(Refusal::WebhookDisabled(_))), "{refused:?}");
    assert!(matches!(webhooks::test(&world.cx(), &world.deps, made.id).await, Err(Refusal::WebhookDisabled(_))));
    // Enabled again, it gets what is new, and on demand what it missed.
    receiver.set(Mood::Ok);
    webhooks::enable(&world.cx(), &world.deps, made.id, Expected::Any).await.unwrap();
    webhooks::redrive(&world.cx(), &world.deps, made.id, &DeadFilter::default()).await.unwrap();
    // 101 dead ones and its own `enabled`.
    until("what was missed came", 30, || taken(&receiver.got(), tenant).len() == 102).await;
    assert!(receiver.count() < 110 + attempts);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_tells_at_once_what_came_back_and_leaves_no_trace_in_the_queue() {
    let (world, _, receiver, made, verifier) = simple(3).await;
    for (mood, outcome, status, fault) in [
        (Mood::Ok, "delivered", Some(200), None),
        (Mood::Status(500), "failed", Some(500), None),
        (Mood::Wait(429, 7), "throttled", Some(429), None),
        (Mood::Redirect("http://127.0.0.1:1/".to_owned()), "failed", Some(302), None),
        (Mood::Status(410), "gone", Some(410), None),
        (Mood::Hang, "failed", None, Some("timeout")),
        (Mood::Reset, "failed", None, Some("broken")),
        (Mood::Garbage, "failed", None, Some("malformed")),
        (Mood::LongHead, "failed", None, Some("malformed")),
        (Mood::Bomb, "delivered", Some(200), None),
        (Mood::Drip, "failed", Some(500), None),
    ] {
        receiver.set(mood.clone());
        let tested = webhooks::test(&world.cx(), &world.deps, made.id).await.unwrap().attempt;
        assert_eq!(
            (tested.outcome.as_str(), tested.status, tested.fault.as_deref()),
            (outcome, status, fault),
            "{mood:?}"
        );
        assert!(
            tested.took.as_millis() < 1500 && tested.answer.as_ref().is_none_or(|text| text.len() <= 2048),
            "{tested:?}"
        );
    }
    let got = receiver.got();
    verify(&got, &verifier);
    let body: serde_json::Value = serde_json::from_slice(&got[0].body).unwrap();
    assert_eq!((&body["type"], &body["data"]["endpoint"]), (&"webhook.test".into(), &made.id.to_string().into()));
    assert!(body.get("sequence").is_none());
    // It waits for its own `created`, and for nothing else; what came back changes nothing about how it stands.
    assert_eq!(number(&world, "SELECT count(*) FROM tenantry.webhook_queue").await, 1);
    let found = webhooks::get(&world.cx(), &world.deps, made.id).await.unwrap();
    assert_eq!((found.standing, found.failing_since), (Standing::Active, None));
    let filter = AttemptFilter { failed: true, ..AttemptFilter::default() };
    let log = webhooks::attempts(&world.cx(), &world.deps, made.id, &filter, size(), None).await.unwrap();
    assert_eq!(log.items.len(), 9);
    assert_eq!(number(&world, "SELECT count(*) FROM tenantry.audit WHERE action = 'webhook.test'").await, 11);
}
