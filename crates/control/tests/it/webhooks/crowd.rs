//! Endpoints that others must not suffer from: one that is gone, one that is disabled, one with what nobody here can read, and a
//! tenant with many of them.

use std::time::{Duration, Instant};

use tenantry_control::Subject;
use tenantry_control::tenants::edit::Expected;
use tenantry_control::webhooks::{self, Replay, Wanted};
use tenantry_domain::event::Type;
use tenantry_domain::webhook::Terms;
use tenantry_store::LaneId;
use tenantry_testkit::receivers::{Mood, Receiver};

use super::{Process, draft, emit, endpoint, lab, number, simple, taken, terms, until, wanted};
use crate::world::{World, name};

const WAITING: &str = "SELECT count(*) FROM tenantry.webhook_queue";

async fn until_number(world: &World, sql: &'static str, expected: i64) {
    let began = Instant::now();
    loop {
        let found = number(world, sql).await;
        if found == expected {
            return;
        }
        assert!(began.elapsed().as_secs() < 20, "{found} and not {expected}: {sql}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_an_endpoint_that_is_gone_holds_up_nobody() {
    let world = World::with(lab(5)).await;
    let tenant = draft(&world, "acme").await;
    let receiver = Receiver::start(Mood::Ok).await;
    endpoint(&world, wanted(&receiver.url())).await;
    let (gone, _) = endpoint(&world, wanted("http://127.0.0.1:9/x")).await;
    let store = world.deps.store();
    let conn = store.pool().get().await.unwrap();
    let fill = "INSERT INTO tenantry.webhook_queue (env, endpoint, subject, sequence, due_at, queued_at)
        SELECT $1, $2, '00000000-0000-0000-0000-000000000000', 1000 + n, clock_timestamp(), clock_timestamp()
        FROM generate_series(1, 12000) AS n";
    conn.execute(fill, &[&world.environment.as_str(), &gone.id.uuid()]).await.unwrap();
    conn.release();
    webhooks::delete(&world.cx(), &world.deps, gone.id, Expected::Any).await.unwrap();
    store.webhook_beat(world.deps.replica()).await.unwrap();
    let before = number(&world, WAITING).await;
    let work = store.webhook_work(world.deps.replica(), Duration::from_secs(60), 10).await.unwrap();
    let swept: Vec<&LaneId> = work.iter().filter(|one| one.is_gone).map(|one| &one.lane).collect();
    assert_eq!((work.len(), swept.len(), swept[0].endpoint), (2, 1, gone.id));
    assert_eq!(number(&world, WAITING).await, before, "a look changes nothing");
    assert_eq!(store.webhook_sweep(swept[0], 3000).await.unwrap(), 3000);
    // One that is there is not swept, whoever asks for it.
    let there = work.iter().find(|one| !one.is_gone).unwrap();
    assert_eq!(store.webhook_sweep(&there.lane, 10).await.unwrap(), 0);
    // Somebody has one of its rows for longer than anybody should wait.
    let holder = store.pool().begin().await.unwrap();
    let lock = "SELECT FROM tenantry.webhook_queue WHERE endpoint = $1 ORDER BY sequence DESC LIMIT 1 FOR UPDATE";
    assert_eq!(holder.query(lock, &[&gone.id.uuid()]).await.unwrap().len(), 1);
    let process = Process::start(&world.deps);
    emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 5).await;
    until("others are sent to", 3, || taken(&receiver.got(), tenant).len() == 5).await;
    until_number(&world, WAITING, 1).await;
    holder.rollback().await.unwrap();
    until_number(&world, WAITING, 0).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_has_no_more_than_its_share_of_the_places() {
    let mut options = lab(5);
    options.webhooks.in_hand = (16, 8);
    let world = World::with(options).await;
    let (acme, globex) = (draft(&world, "acme").await, draft(&world, "globex").await);
    let (busy, other) =
        (Receiver::start(Mood::Slow(Duration::from_millis(250))).await, Receiver::start(Mood::Ok).await);
    for _ in 0..6 {
        endpoint(&world, Wanted { tenant: Some(name("acme")), ..wanted(&busy.url()) }).await;
    }
    endpoint(&world, Wanted { tenant: Some(name("globex")), ..wanted(&other.url()) }).await;
    emit(&world.deps, &world, Subject::Tenant(acme), Type::TenantUpdated, 20).await;
    let process = Process::start(&world.deps);
    until("the busy one is sent to", 20, || busy.count() > 0).await;
    until("globex has its own", 20, || other.count() == 1).await;
    let in_hand = || world.deps.outbound().stats().counted().in_hand;
    let (began, mut most) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_millis(800) {
        most = most.max(in_hand());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // One more once it is known to be slow: of both kinds of places it has an eighth.
    assert!((2..=3).contains(&most), "an eighth of the places: {most}");
    let began = Instant::now();
    emit(&world.deps, &world, Subject::Tenant(globex), Type::TenantUpdated, 1).await;
    until("another tenant does not wait", 10, || other.count() == 2).await;
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    busy.set(Mood::Ok);
    until_number(&world, WAITING, 0).await;
    process.stop().await;
}

/// In one thread, so that a loop that never waits is seen by whoever else wants to do something.
#[tokio::test]
async fn a_process_that_cannot_report_itself_waits_in_rest() {
    let world = World::with(lab(5)).await;
    let tenant = draft(&world, "acme").await;
    let receiver = Receiver::start(Mood::Ok).await;
    let wants = Terms { rate: Some(1), ..terms() };
    endpoint(&world, Wanted { terms: wants, ..wanted(&receiver.url()) }).await;
    emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 40).await;
    let process = Process::start(&world.deps);
    until("one is sent, and the others wait for the pace", 20, || receiver.count() == 1).await;
    // Nobody's report comes through.
    let holder = world.deps.store().pool().begin().await.unwrap();
    holder.query("SELECT FROM tenantry.webhook_pump FOR UPDATE", &[]).await.unwrap();
    let (began, mut last, mut longest) = (Instant::now(), Instant::now(), Duration::ZERO);
    while began.elapsed() < Duration::from_millis(2500) {
        tokio::time::sleep(Duration::from_millis(5)).await;
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    let count = receiver.count();
    assert!(count <= 3, "nothing is sent by a process that does not report itself: {count}");
    assert!(longest < Duration::from_millis(500), "nobody else got the thread for {longest:?}");
    holder.rollback().await.unwrap();
    until("it goes on", 20, || receiver.count() > count).await;
    process.stop().await;
}

#[tokio::test]
async fn a_replay_ends_when_its_endpoint_is_disabled() {
    let (world, tenant, _, made, _) = simple(3).await;
    emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 3).await;
    webhooks::replay(&world.cx(), &world.deps, made.id, Replay::default()).await.unwrap();
    let (store, replica, patience) = (world.deps.store(), world.deps.replica(), Duration::from_secs(60));
    let work = async || store.webhook_work(replica, patience, 10).await.unwrap().len();
    assert_eq!(work().await, 1);
    webhooks::disable(&world.cx(), &world.deps, made.id, Expected::Any).await.unwrap();
    let replays = webhooks::replays(&world.cx(), &world.deps, made.id).await.unwrap();
    assert!(replays.len() == 1 && replays[0].ended_at.is_some(), "{replays:?}");
    assert_eq!(work().await, 1, "what waits is to be given up");
    let conn = store.pool().get().await.unwrap();
    conn.batch_static("DELETE FROM tenantry.webhook_queue").await.unwrap();
    assert_eq!(work().await, 0);
    // One of an earlier release that was left open makes no work either.
    conn.batch_static("UPDATE tenantry.webhook_replay SET ended_at = NULL").await.unwrap();
    conn.release();
    assert_eq!(work().await, 0, "an endpoint that is disabled gets nothing");
    webhooks::enable(&world.cx(), &world.deps, made.id, Expected::Any).await.unwrap();
    assert_eq!(work().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_look_said_long_ago_is_not_sent_however_long_the_look_took() {
    let (world, _, receiver, _, _) = simple(3).await;
    let store = world.deps.store();
    // A look knows that the endpoint is active, and waits for what is due.
    let holder = store.pool().begin().await.unwrap();
    holder.batch_static("LOCK TABLE tenantry.outbox IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let process = Process::start(&world.deps);
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'tenantry.outbox'::regclass
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    until_number(&world, waits, 1).await;
    let conn = store.pool().get().await.unwrap();
    let disable = "UPDATE tenantry.webhook_endpoint SET is_listening = false, disabled_at = clock_timestamp(), disabled_why = 'asked'";
    conn.batch_static(disable).await.unwrap();
    conn.release();
    let disabled = Instant::now();
    until("the two seconds are over", 5, || disabled.elapsed() > Duration::from_millis(2300)).await;
    holder.rollback().await.unwrap();
    until_number(&world, "SELECT count(*) FROM tenantry.webhook_dead", 1).await;
    assert_eq!(receiver.count(), 0, "nothing is sent to an endpoint that has been disabled for more than two seconds");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_later_release_hold_up_nobody_and_wait_for_whoever_can_read_them() {
    for fifo in [false, true] {
        let world = World::with(lab(5)).await;
        let tenant = draft(&world, "acme").await;
        let receiver = Receiver::start(Mood::Ok).await;
        let (made, _) = endpoint(&world, Wanted { terms: Terms { fifo, ..terms() }, ..wanted(&receiver.url()) }).await;
        let conn = world.deps.store().pool().get().await.unwrap();
        // More than a look brings, the longest due, and of subjects that come before all others.
        let write = "INSERT INTO tenantry.outbox (env, subject, sequence, id, type, at, correlation_id, causation_id, data)
            SELECT $1, ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, 1, gen_random_uuid(), 'tenant.teleported',
                clock_timestamp(), 'c', 'c', '{}'
            FROM generate_series(1, 200) AS n";
        assert_eq!(conn.execute(write, &[&world.environment.as_str()]).await.unwrap(), 200);
        let fill = "INSERT INTO tenantry.webhook_queue (env, endpoint, subject, sequence, due_at, queued_at)
            SELECT env, $1, subject, sequence, clock_timestamp() - interval '1 hour', clock_timestamp()
            FROM tenantry.outbox WHERE type = 'tenant.teleported'";
        assert_eq!(conn.execute(fill, &[&made.id.uuid()]).await.unwrap(), 200);
        conn.release();
        let process = Process::start(&world.deps);
        emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 40).await;
        until("what is known arrives", 20, || taken(&receiver.got(), tenant).len() == 40).await;
        // A process of the later release finds the lane free.
        until_number(&world, "SELECT count(*) FROM tenantry.webhook_lane WHERE owner IS NULL", 1).await;
        let held = "SELECT count(*) FROM tenantry.webhook_lane WHERE owner IS NOT NULL";
        let began = Instant::now();
        let mut free = 0;
        while began.elapsed() < Duration::from_millis(1500) {
            free += i32::from(number(&world, held).await == 0);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(free >= 10, "it is left free for about a second: {free}");
        emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 1).await;
        until("what comes later arrives as well", 20, || taken(&receiver.got(), tenant).len() == 41).await;
        until_number(&world, WAITING, 200).await;
        process.stop().await;
    }
}

#[tokio::test]
async fn lanes_that_nobody_has_come_first_and_the_longest_due_of_them() {
    let world = World::with(lab(5)).await;
    let (store, replica, patience) = (world.deps.store(), world.deps.replica(), Duration::from_secs(60));
    let mut made = Vec::new();
    for _ in 0..4 {
        made.push(endpoint(&world, wanted("http://127.0.0.1:9/x")).await.0.id);
    }
    let conn = store.pool().get().await.unwrap();
    for (place, hours) in [(0, 2.0), (1, 4.0), (2, 1.0), (3, 3.0)] {
        let age = "UPDATE tenantry.webhook_queue SET due_at = clock_timestamp() - $2::float8 * interval '1 hour' WHERE endpoint = $1";
        assert!(conn.execute(age, &[&made[place].uuid(), &hours]).await.unwrap() > 0);
    }
    conn.release();
    store.webhook_beat(replica).await.unwrap();
    let order = async |limit| {
        let work = store.webhook_work(replica, patience, limit).await.unwrap();
        work.iter().map(|one| made.iter().position(|id| *id == one.lane.endpoint).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(order(2).await, [1, 3]);
    let lane = LaneId { environment: world.environment.clone(), endpoint: made[1] };
    store.webhook_claim(replica, patience, std::slice::from_ref(&lane)).await.unwrap();
    assert_eq!(order(10).await, [3, 0, 2, 1]);
}
