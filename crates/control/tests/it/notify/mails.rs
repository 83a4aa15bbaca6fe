//! What arrives by mail of what happens to a tenant, how often, and at whom.

use serde_json::json;
use tenantry_control::notify::{self, NotifyOptions};
use tenantry_control::quotas::{self, QuotaName};
use tenantry_control::tenants::{self, Expected};
use tenantry_control::{Options, Runtime, events, manifests};
use tenantry_domain::manifest::Manifest;
use tenantry_domain::name::PlanCode;
use tenantry_domain::tenant::Spec;
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_testkit::mail::Sink;

use super::{DROPPED, SENT, Tellers, active, eventually, log, settled, standing, telling, wanted};
use crate::members::mail::TMP;
use crate::members::{OWNER, add};
use crate::world::{World, name, options, spec};

/// A mail server that takes a connection and never says a word.
fn tarpit() -> (std::net::TcpListener, u16) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// PROV-10. A worker is ended in the middle of sending, two others take over, and all look at all events again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_one_mail_per_activation_and_mailbox() {
    let sink = Sink::start(TMP).await;
    let (_listener, closed) = tarpit();
    let mut world = World::with(options()).await;
    let draft = Spec { state: Phase::Draft, ..wanted("Acme GmbH", "acme.example") };
    tenants::create(&world.cx(), &world.deps, tenantry_domain::tenant::Slug::parse("acme").unwrap(), draft)
        .await
        .unwrap();
    add(&world, "acme", "olga", OWNER).await;
    add(&world, "acme", "adam", "admin").await;
    add(&world, "acme", "mona", "member").await;
    world.runtime = Some(Runtime::start(&world.deps));
    let accepted = tenants::activate(&world.cx(), &world.deps, &name("acme"), Expected::Any).await.unwrap();
    world.done(accepted.operation).await;
    // Nobody could tell until now, and nothing is lost by that.
    assert!(log(&world).await.is_empty());
    world.pause().await;

    let first = world.twin(telling(closed)).await;
    let dying = Tellers::start(&first);
    eventually("an attempt hangs", async || log(&world).await.iter().filter(|one| one.attempts == 1).count() == 3)
        .await;
    dying.kill().await;
    assert!(sink.mails().is_empty());

    // Its lease runs out; two others are there.
    world.skip_ahead(super::LEASE);
    let (second, third) = (world.process(telling(sink.port)).await, world.process(telling(sink.port)).await);
    let (one, other) = (Tellers::start(&second), Tellers::start(&third));
    settled(&world.deps).await;
    for _ in 0..20 {
        second.nudge();
        third.nudge();
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    for address in ["tech@acme.example", "olga@example.com", "adam@example.com"] {
        assert_eq!(sink.subjects_to(address), ["Acme GmbH is ready"], "{address}");
    }
    assert_eq!(sink.mails().len(), 3, "nobody else, and nobody twice");
    let mail = sink.mails_to("olga@example.com").remove(0);
    for part in ["Auto-Submitted: auto-generated", "From: Example <no-reply@example.com>", "Plan: starter", "(acme)"] {
        assert!(mail.contains(part), "{part}: {mail}");
    }
    let shown = standing(&world, "t…@acme.example").await;
    assert_eq!((shown.state, shown.attempts, shown.kind.as_str()), (SENT, 2, "welcome"));
    one.kill().await;
    other.kill().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_step_of_a_life_is_told_to_whom_it_concerns() {
    let sink = Sink::start(TMP).await;
    let mut world = World::with(telling(sink.port)).await;
    let plus = json!({ "isolation": "shared", "quotas": { "users": "100", "storage": "10" } });
    let plus = Manifest::Plan { name: PlanCode::parse("plus").unwrap(), spec: serde_json::from_value(plus).unwrap() };
    manifests::apply(&world.cx(), &world.deps, &[plus]).await.unwrap();
    world.runtime = Some(Runtime::start(&world.deps));
    active(&world, "acme", wanted("Acme GmbH", "acme.example")).await;
    let (cx, acme) = (world.cx(), name("acme"));
    settled(&world.deps).await;

    // Another name is no other tier.
    let renamed = Spec { display_name: "Acme AG".into(), ..wanted("Acme AG", "acme.example") };
    let accepted = tenants::update(&cx, &world.deps, &acme, Expected::Any, renamed.clone()).await.unwrap();
    world.done(accepted.operation).await;
    let bound = Spec { plan: PlanCode::parse("plus").unwrap(), ..renamed };
    let accepted = tenants::update(&cx, &world.deps, &acme, Expected::Any, bound.clone()).await.unwrap();
    world.done(accepted.operation).await;
    let ready = async || sink.subjects_to("tech@acme.example").len() == 2;
    eventually("the new tier is told", ready).await;
    assert_eq!(
        sink.subjects_to("tech@acme.example"),
        ["Acme GmbH is ready", "Acme AG is on plan plus now"].map(str::to_owned)
    );
    let applied = events::list(&cx, &world.deps, Some(&acme), 0, 1000).await.unwrap();
    let applied: Vec<_> = applied.iter().filter(|event| event.kind.as_str() == "plan.applied").collect();
    assert_eq!(applied.len(), 1);
    assert_eq!(applied[0].data, json!({ "slug": "acme", "plan": "plus", "before": "starter" }));

    // Marks of a quota: each of them once a day.
    let storage = QuotaName::parse("storage").unwrap();
    quotas::take(&cx, &world.deps, &acme, &storage, 9).await.unwrap();
    let warned = async || sink.subjects_to("money@acme.example").len() == 1;
    eventually("the warning is told", warned).await;
    quotas::give_back(&cx, &world.deps, &acme, &storage, 9).await.unwrap();
    quotas::take(&cx, &world.deps, &acme, &storage, 9).await.unwrap();
    settled(&world.deps).await;
    assert_eq!(sink.subjects_to("money@acme.example"), ["Acme AG: storage close to the limit"]);

    let stopped = tenantry_domain::tenant::spec::Suspension {
        reason: tenantry_domain::tenant::lifecycle::SuspensionReason::Commercial,
        note: None,
    };
    let suspended = Spec { state: Phase::Suspended, suspension: Some(stopped), ..bound.clone() };
    let accepted = tenants::update(&cx, &world.deps, &acme, Expected::Any, suspended).await.unwrap();
    world.done(accepted.operation).await;
    settled(&world.deps).await;
    let accepted = tenants::update(&cx, &world.deps, &acme, Expected::Any, bound).await.unwrap();
    world.done(accepted.operation).await;
    settled(&world.deps).await;
    assert_eq!(
        sink.subjects_to("money@acme.example")[1..],
        ["Acme AG is suspended", "Acme AG can be used again"].map(str::to_owned)
    );
    assert_eq!(sink.subjects_to("tech@acme.example").len(), 2, "served again is not a welcome");
    assert!(sink.mails_to("alarm@acme.example").is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refuses_is_believed_and_one_that_is_busy_or_away_is_asked_again() {
    let sink = Sink::start(TMP).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut world = World::with(telling(closed)).await;
    world.runtime = Some(Runtime::start(&world.deps));
    let mut spec = wanted("Acme GmbH", "acme.example");
    spec.contacts.technical.push(super::contact("busy@acme.example"));
    spec.contacts.technical.push(super::contact("Gone@Acme.example"));
    spec.contacts.technical.push(super::contact("relay@acme.example"));
    active(&world, "acme", spec).await;
    let tried = async || log(&world).await.iter().filter(|one| one.attempts >= 2).count() == 4;
    eventually("the server is away", tried).await;
    let shown = standing(&world, "t…@acme.example").await;
    assert!(shown.cause.is_some() && shown.due_at.is_some() && shown.ended_at.is_none(), "{shown:?}");
    world.pause().await;
    let back = world.twin(telling(sink.port)).await;
    let tellers = Tellers::start(&back);
    settled(&world.deps).await;
    assert_eq!(sink.mails_to("tech@acme.example").len(), 1);
    assert_eq!(sink.mails_to("busy@acme.example").len(), 1, "at the third time");
    assert_eq!(sink.mails_to("relay@acme.example").len(), 1, "what is wrong with us loses nothing");
    assert_eq!(sink.mails().len(), 3);
    let gone = standing(&world, "G…@Acme.example").await;
    let cause = gone.cause.clone().unwrap();
    assert!(gone.state == DROPPED && cause.contains("550") && cause.contains("<G…@Acme.example>"), "{gone:?}");
    assert_eq!(standing(&world, "b…@acme.example").await.state, SENT);
    let conn = world.deps.store().pool().get().await.unwrap();
    let sql = "SELECT count(*) FROM tenantry.notification WHERE cause ILIKE '%gone@%'";
    let row = conn.query_one(sql, &[]).await.unwrap();
    conn.release();
    assert_eq!(row.get::<_, i64>(0), 0, "nor does the database have it");
    tellers.kill().await;
    world.stop().await;
}

/// A tenant chooses its name, and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_changes_nothing_but_the_name() {
    let sink = Sink::start(TMP).await;
    let mut world = World::with(telling(sink.port)).await;
    world.runtime = Some(Runtime::start(&world.deps));
    let long = "x".repeat(10_000);
    for (slug, display) in [
        ("braces", "{{ 7 * 7 }}{% raw %}"),
        ("lines", "Acme\r\nBcc: eve\r\n\r\nBody"),
        ("bait", "Pay at https://evil.example"),
        ("long", long.as_str()),
    ] {
        active(&world, slug, wanted(display, &format!("{slug}.example"))).await;
    }
    settled(&world.deps).await;
    let subject = |slug: &str| sink.subjects_to(&format!("tech@{slug}.example")).remove(0);
    assert_eq!(subject("braces"), "{{ 7 * 7 }}{% raw %} is ready");
    assert_eq!(subject("lines"), "AcmeBcc: eveBody is ready");
    assert_eq!(subject("bait"), "bait is ready");
    assert_eq!(subject("long"), format!("{} is ready", "x".repeat(60)));
    let all = sink.mails();
    assert_eq!(all.len(), 4);
    for mail in &all {
        let (head, body) = mail.split_once("\r\n\r\n").unwrap();
        assert!(!head.to_lowercase().contains("\r\nbcc:") && !mail.contains("eve@"), "{mail}");
        assert!(mail.len() < 4000 && body.contains("can be used from now on"), "{mail}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_switched_off_is_not_told_and_tests_tenants_are_nobodys() {
    let sink = Sink::start(TMP).await;
    let telling = telling(sink.port);
    let notify = NotifyOptions { kinds: "ready,limit".parse().unwrap(), ..telling.notify };
    let mut world = World::with(Options { notify, ..telling }).await;
    world.runtime = Some(Runtime::start(&world.deps));
    active(&world, "acme", wanted("Acme GmbH", "acme.example")).await;
    settled(&world.deps).await;
    assert!(sink.mails().is_empty() && log(&world).await.is_empty());
    world.pause().await;

    let all = world.twin(super::telling(sink.port)).await;
    world.runtime = Some(Runtime::start(&all));
    let mut synthetic = wanted("Canary", "canary.example");
    synthetic.business.synthetic = true;
    active(&world, "canary", synthetic).await;
    active(&world, "globex", wanted("Globex", "globex.example")).await;
    settled(&world.deps).await;
    assert_eq!(sink.mails().len(), 1);
    assert_eq!(sink.subjects_to("tech@globex.example"), ["Globex is ready"]);
    let (waiting, seconds) = notify::waiting(&all).await.unwrap();
    assert_eq!((waiting.notes, waiting.queued, seconds), (0, 0, 0.0));
    if let Some(runtime) = world.runtime.take() {
        runtime.shutdown(&all).await.unwrap();
    }
    world.stop().await;
}

/// What waits for too long is not news any more, and the log does not grow for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_old_is_given_up_and_what_is_very_old_forgotten() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut world = World::with(options()).await;
    world.runtime = Some(Runtime::start(&world.deps));
    active(&world, "acme", Spec { contacts: super::contacts("acme.example"), ..spec("starter", Phase::Active) }).await;
    world.pause().await;
    let away = world.twin(telling(closed)).await;
    let tellers = Tellers::start(&away);
    eventually("it is tried", async || log(&world).await.iter().any(|one| one.attempts >= 1)).await;
    world.skip_ahead(jiff::SignedDuration::from_hours(73));
    away.nudge();
    settled(&world.deps).await;
    let given_up = standing(&world, "t…@acme.example").await;
    assert!(given_up.state == DROPPED && given_up.cause.clone().unwrap().contains("not news"), "{given_up:?}");
    tellers.kill().await;
    world.skip_ahead(jiff::SignedDuration::from_hours(24 * 30));
    let tellers = Tellers::start(&away);
    eventually("it is forgotten", async || log(&world).await.is_empty()).await;
    tellers.kill().await;
    world.stop().await;
}
