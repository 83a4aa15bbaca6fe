//! What is not true any more, is nobody's, or cannot leave at all: it ends, and nobody is called because of it.

use tenantry_control::notify;
use tenantry_control::tenants::{self, DeleteOutcome, DeleteRequest, Expected};
use tenantry_control::{NotificationState, Runtime};
use tenantry_domain::tenant::lifecycle::{Phase, SuspensionReason};
use tenantry_domain::tenant::spec::Suspension;
use tenantry_testkit::mail::Sink;

use super::{DROPPED, Tellers, active, eventually, log, settled, standing, telling, wanted};
use crate::members::mail::TMP;
use crate::members::{OWNER, add, remove};
use crate::world::{World, name, options};

/// A port at which nobody is.
fn closed() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Lets everything that is on its way be tried once, in vain.
async fn tried(world: &World) {
    let tellers = Tellers::start(&world.twin(telling(closed())).await);
    eventually("all is tried", async || {
        let waiting = world.deps.store().notifications_waiting().await.unwrap();
        waiting.notes == 0 && log(world).await.iter().all(|one| one.attempts > 0)
    })
    .await;
    tellers.kill().await;
    world.skip_ahead(super::LEASE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_word_that_was_overtaken_does_not_leave() {
    let sink = Sink::start(TMP).await;
    let mut world = World::running().await;
    active(&world, "acme", wanted("Acme", "acme.example")).await;
    let change = async |spec: tenantry_domain::tenant::Spec| {
        let accepted = tenants::update(&world.cx(), &world.deps, &name("acme"), Expected::Any, spec).await.unwrap();
        world.done(accepted.operation).await;
    };
    let active_spec = wanted("Acme", "acme.example");
    let suspension = Some(Suspension { reason: SuspensionReason::Commercial, note: None });
    let suspended = tenantry_domain::tenant::Spec { state: Phase::Suspended, suspension, ..active_spec.clone() };
    change(suspended.clone()).await;
    tried(&world).await;
    change(active_spec.clone()).await;
    tried(&world).await;
    change(suspended).await;
    tried(&world).await;
    change(active_spec).await;
    world.pause().await;
    let tellers = Tellers::start(&world.twin(telling(sink.port)).await);
    settled(&world.deps).await;
    tellers.kill().await;
    // Both suspensions are over. That it is served holds of both words; neither of them is wrong.
    let told = sink.subjects_to("money@acme.example");
    assert!(told.iter().all(|subject| subject == "Acme can be used again") && !told.is_empty(), "{told:?}");
    let causes: Vec<String> = log(&world).await.into_iter().filter_map(|one| one.cause).collect();
    let count = |cause: &str| causes.iter().filter(|one| *one == cause).count();
    assert_eq!(count("the tenant is not suspended any more"), 2, "{causes:?}");
    // The first word that it is served may have been looked at during the second suspension.
    assert!(count("the tenant is not served any more") + 2 == causes.len() && causes.len() < 4, "{causes:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_was_taken_back_is_not_told() {
    let sink = Sink::start(TMP).await;
    let mut world = World::running().await;
    active(&world, "acme", wanted("Acme", "acme.example")).await;
    let acme = name("acme");
    for state in [Phase::Suspended, Phase::Archived] {
        let reason = SuspensionReason::Commercial;
        let suspension = (state == Phase::Suspended).then_some(Suspension { reason, note: None });
        let spec = tenantry_domain::tenant::Spec { state, suspension, ..wanted("Acme", "acme.example") };
        let accepted = tenants::update(&world.cx(), &world.deps, &acme, Expected::Any, spec).await.unwrap();
        world.done(accepted.operation).await;
    }
    let tellers = Tellers::start(&world.twin(telling(sink.port)).await);
    settled(&world.deps).await;
    tellers.kill().await;
    let before = sink.mails().len();
    let request = DeleteRequest {
        confirm: "acme".into(),
        reason: Some("They asked for it.".into()),
        grace: Some(jiff::SignedDuration::from_hours(48)),
        dry_run: false,
    };
    let deleted = tenants::delete(&world.cx(), &world.deps, &acme, Expected::Any, request).await.unwrap();
    assert!(matches!(deleted, DeleteOutcome::Accepted(_)));
    tried(&world).await;
    tenants::undelete(&world.cx(), &world.deps, &acme, Expected::Any).await.unwrap();
    world.pause().await;
    let tellers = Tellers::start(&world.twin(telling(sink.port)).await);
    settled(&world.deps).await;
    tellers.kill().await;
    assert_eq!(sink.mails().len(), before);
    let last = log(&world).await.remove(0);
    assert!(last.state == DROPPED && last.cause.clone().unwrap().contains("taken back"), "{last:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_left_while_the_mail_waited_does_not_get_it() {
    let sink = Sink::start(TMP).await;
    let mut world = World::with(options()).await;
    let draft = tenantry_domain::tenant::Spec { state: Phase::Draft, ..wanted("Acme", "acme.example") };
    let slug = tenantry_domain::tenant::Slug::parse("acme").unwrap();
    tenants::create(&world.cx(), &world.deps, slug, draft).await.unwrap();
    add(&world, "acme", "olga", OWNER).await;
    let adam = add(&world, "acme", "adam", "admin").await;
    world.runtime = Some(Runtime::start(&world.deps));
    let accepted = tenants::activate(&world.cx(), &world.deps, &name("acme"), Expected::Any).await.unwrap();
    world.done(accepted.operation).await;
    tried(&world).await;
    remove(&world, "acme", None, adam).await.unwrap();
    world.pause().await;
    let tellers = Tellers::start(&world.twin(telling(sink.port)).await);
    settled(&world.deps).await;
    tellers.kill().await;
    assert_eq!((sink.mails_to("olga@example.com").len(), sink.mails_to("tech@acme.example").len()), (1, 1));
    assert_eq!(sink.mails().len(), 2);
    let adam = standing(&world, "a…@example.com").await;
    assert!(adam.state == DROPPED && adam.cause.clone().unwrap().contains("not told of this tenant"), "{adam:?}");
    world.stop().await;
}

/// An installation that can tell nobody does not call anybody at night for it; and a way that is switched off takes what waited for
/// it along, once that is no news any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_leave_calls_nobody_and_ends() {
    let mut world = World::running().await;
    active(&world, "acme", wanted("Acme", "acme.example")).await;
    assert_eq!(notify::waiting(&world.deps).await, None, "no way, no gauge");
    let telling = world.twin(telling(closed())).await;
    let (waiting, _) = notify::waiting(&telling).await.unwrap();
    assert!(waiting.notes > 0);
    tried(&world).await;
    let only_chat = world.twin(super::chat::chatting("http://127.0.0.1:9/x", true)).await;
    world.pause().await;
    world.skip_ahead(jiff::SignedDuration::from_hours(73));
    let tellers = Tellers::start(&only_chat);
    eventually("it ends", async || log(&world).await.iter().all(|one| one.state == NotificationState::Dropped)).await;
    tellers.kill().await;
    let ended = log(&world).await;
    assert!(!ended.is_empty() && ended.iter().all(|one| one.cause.clone().unwrap().contains("not news")), "{ended:?}");
    let (waiting, seconds) = notify::waiting(&only_chat).await.unwrap();
    assert_eq!((waiting.notes, waiting.queued, seconds), (0, 0, 0.0));
    world.stop().await;
}

/// What a later release wrote is left to it, and holds up nothing: fewer are looked at together than there are here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_holds_up_nothing_else() {
    let sink = Sink::start(TMP).await;
    let mut world = World::running().await;
    active(&world, "acme", wanted("Acme", "acme.example")).await;
    add(&world, "acme", "olga", OWNER).await;
    world.pause().await;
    let conn = world.deps.store().pool().get().await.unwrap();
    for sql in [
        "INSERT INTO tenantry.outbox (env, subject, sequence, id, type, at, correlation_id, causation_id, data)
        SELECT env, gen_random_uuid(), 1, gen_random_uuid(), 'tenant.enchanted', at - interval '1 hour', 'x', 'x', '{}'
        FROM tenantry.notice, generate_series(1, 120)",
        "INSERT INTO tenantry.notice (env, id, at)
        SELECT env, id, at FROM tenantry.outbox WHERE type = 'tenant.enchanted'",
        "INSERT INTO tenantry.notification (env, id, event, kind, channel, address, address_key, due_at, created_at)
        SELECT env, gen_random_uuid(), id, 'enchanted', 'mail', 'x@x.example', 'x@x.example', at, at
        FROM tenantry.outbox WHERE type = 'tenant.enchanted'",
        "UPDATE tenantry.tenant SET spec = jsonb_set(spec, '{contacts}', '7')",
    ] {
        assert!(conn.execute(sql, &[]).await.unwrap() > 0);
    }
    conn.release();
    let tellers = Tellers::start(&world.twin(telling(sink.port)).await);
    // Noted, and not only received: between the two the sender writes that it went.
    let counted = async || {
        let waiting = world.deps.store().notifications_waiting().await.unwrap();
        (waiting.notes, waiting.queued)
    };
    eventually("who can be told is told", async || counted().await == (120, 120)).await;
    assert_eq!(sink.mails_to("olga@example.com").len(), 1);
    tellers.kill().await;
    assert_eq!(counted().await, (120, 120));
    world.stop().await;
}
