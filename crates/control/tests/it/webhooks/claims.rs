//! Two processes and one lane: who lost it changes nothing about what the next one recorded. And what the gauges say.

use std::time::Duration;

use tenantry_control::Subject;
use tenantry_domain::event::Type;
use tenantry_domain::webhook::Standing;
use tenantry_store::{DueRow, Fate, LaneChange, LaneId, Order, Outcome};
use tenantry_testkit::receivers::Mood;

use crate::world::World;

use super::{Process, emit, lab, number, simple, taken, until};

/// Lets the lane belong to another process, as a claim does after the patience.
const TAKE: &str = "UPDATE tenantry.webhook_lane SET owner = $1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_comes_after_the_lane_was_lost_changes_nothing() {
    let (world, tenant, receiver, made, _) = simple(5).await;
    let twin = world.twin(lab(5)).await;
    receiver.set(Mood::Hang);
    let first = Process::start(&world.deps);
    // It has its requests in hand, and will learn after 600 ms that nobody answers.
    emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 1).await;
    until("both are in hand", 20, || receiver.count() == 2).await;
    receiver.set(Mood::Ok);
    let conn = world.deps.store().pool().get().await.unwrap();
    conn.execute(TAKE, &[&twin.replica().uuid()]).await.unwrap();
    conn.release();
    let second = Process::start(&twin);
    until("the second one delivers", 20, || taken(&receiver.got(), tenant).len() == 2).await;
    let failed = "SELECT count(*) FROM tenantry.webhook_attempt WHERE outcome = 'failed'";
    let began = std::time::Instant::now();
    while number(&world, failed).await < 2 {
        assert!(began.elapsed().as_secs() < 20, "the first one's attempts are in the log");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let found = tenantry_control::webhooks::get(&world.cx(), &world.deps, made.id).await.unwrap();
    assert_eq!((found.standing, found.failing_since), (Standing::Active, None));
    let lane = "SELECT count(*) FROM tenantry.webhook_lane WHERE failures = 0 AND paused_until IS NULL AND delivered_at IS NOT NULL";
    assert_eq!(number(&world, lane).await, 1);
    assert_eq!(number(&world, "SELECT count(*) FROM tenantry.webhook_queue").await, 0);
    assert_eq!(receiver.count(), 4, "nothing was sent a third time");
    first.stop().await;
    second.stop().await;
}

fn outcome(row: &DueRow, fate: Fate) -> Outcome {
    Outcome {
        id: uuid::Uuid::now_v7(),
        event: row.event.id,
        kind: row.event.kind,
        subject: row.event.subject,
        sequence: row.event.sequence,
        attempt: row.attempts + 1,
        at: row.event.at,
        took: Duration::from_millis(1),
        fate,
        word: if fate == Fate::Delivered { "delivered" } else { "failed" },
        status: Some(200),
        fault: None,
        answer: None,
        is_replay: false,
    }
}

#[tokio::test]
async fn whoever_does_not_hold_the_lane_records_nothing_but_the_log() {
    let (world, _, _, made, _) = simple(5).await;
    let (store, patience) = (world.deps.store(), Duration::from_secs(60));
    let (first, second) = (world.deps.replica(), world.twin(lab(5)).await.replica());
    let lane = LaneId { environment: world.environment.clone(), endpoint: made.id };
    for replica in [first, second] {
        store.webhook_beat(replica).await.unwrap();
    }
    let lanes = std::slice::from_ref(&lane);
    assert_eq!(store.webhook_claim(first, patience, lanes).await.unwrap(), lanes);
    assert!(store.webhook_claim(second, patience, lanes).await.unwrap().is_empty(), "its holder reports in time");
    let due = store.webhook_due(&lane, Order::Longest, 10).await.unwrap();
    assert_eq!(due.len(), 1);
    // The first one is silent for longer than the patience.
    tokio::time::sleep(Duration::from_millis(20)).await;
    store.webhook_beat(second).await.unwrap();
    assert_eq!(store.webhook_claim(second, Duration::from_millis(10), lanes).await.unwrap(), lanes);
    let failing = LaneChange { failures: 7, has_success: false, pause: Some(Duration::from_secs(60)) };
    for fate in
        [Fate::Again(Duration::from_secs(60)), Fate::Delivered, Fate::Dead(tenantry_domain::webhook::Cause::Attempts)]
    {
        let late = outcome(&due[0], fate);
        assert!(!store.webhook_record(first, &lane, &[late], Some(failing)).await.unwrap(), "{fate:?}");
        let untouched =
            "SELECT count(*) FROM tenantry.webhook_queue WHERE attempts = 0 AND due_at <= clock_timestamp()";
        assert_eq!(number(&world, untouched).await, 1, "{fate:?}");
    }
    assert_eq!(number(&world, "SELECT count(*) FROM tenantry.webhook_dead").await, 0);
    assert_eq!(number(&world, "SELECT failures::bigint FROM tenantry.webhook_lane").await, 0);
    assert_eq!(number(&world, "SELECT count(*) FROM tenantry.webhook_attempt").await, 3, "what was sent is in the log");
    let well = LaneChange { has_success: true, ..LaneChange::default() };
    assert!(store.webhook_record(second, &lane, &[outcome(&due[0], Fate::Delivered)], Some(well)).await.unwrap());
    assert_eq!(number(&world, "SELECT count(*) FROM tenantry.webhook_queue").await, 0);
}

#[tokio::test]
async fn the_gauges_say_how_much_waits_and_since_when() {
    let (world, tenant, _, _, _) = simple(5).await;
    assert_eq!(world.deps.store().webhook_backlog().await.unwrap().0, 1, "its own `created`");
    emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 2500).await;
    let conn = world.deps.store().pool().get().await.unwrap();
    // Those that failed once are older, and a replay is the oldest of all; among the others one is an hour old.
    for (change, sequences) in [
        ("attempts = 1, due_at = clock_timestamp() - interval '2 hours'", 1..1500),
        ("is_replay = true, due_at = clock_timestamp() - interval '3 hours'", 1500..1600),
        ("due_at = clock_timestamp() - interval '1 hour'", 2400..2401),
    ] {
        let sql = format!(
            "UPDATE tenantry.webhook_queue SET {change} WHERE sequence >= {} AND sequence < {}",
            sequences.start, sequences.end
        );
        conn.batch_static(Box::leak(sql.into_boxed_str())).await.unwrap();
    }
    conn.release();
    let (waiting, oldest) = world.deps.store().webhook_backlog().await.unwrap();
    assert_eq!(waiting, 2501);
    assert!((3600.0..3660.0).contains(&oldest), "{oldest}");
}

/// How often the queue was read as a whole, and through its indexes.
async fn scans(world: &World) -> (i64, i64) {
    let sql = "SELECT COALESCE(seq_scan, 0), COALESCE(idx_scan, 0) FROM pg_stat_user_tables
        WHERE relid = 'tenantry.webhook_queue'::regclass";
    let conn = world.deps.store().pool().get().await.unwrap();
    let row = conn.query_one(sql, &[]).await.unwrap();
    conn.release();
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn a_full_queue_is_read_through_its_indexes_whatever_was_planned_for_an_empty_one() {
    let (world, _, _, made, _) = simple(5).await;
    let (store, replica, patience) = (world.deps.store(), world.deps.replica(), Duration::from_secs(60));
    let lane = LaneId { environment: world.environment.clone(), endpoint: made.id };
    store.webhook_beat(replica).await.unwrap();
    store.webhook_claim(replica, patience, std::slice::from_ref(&lane)).await.unwrap();
    let conn = store.pool().get().await.unwrap();
    conn.batch_static("VACUUM ANALYZE tenantry.webhook_queue").await.unwrap();
    // As often as it takes to have plans that are kept.
    let round = async || {
        assert!(store.webhook_lane(replica, &lane).await.unwrap().is_some());
        store.webhook_work(replica, patience, 10).await.unwrap();
        for order in [Order::Longest, Order::Turns(None)] {
            let due = store.webhook_due(&lane, order, 10).await.unwrap();
            let again = outcome(&due[0], Fate::Again(Duration::ZERO));
            assert!(store.webhook_record(replica, &lane, &[again], None).await.unwrap());
        }
    };
    for _ in 0..8 {
        round().await;
    }
    let fill = "INSERT INTO tenantry.webhook_queue (env, endpoint, subject, sequence, due_at, queued_at)
        SELECT env, gen_random_uuid(), subject, 1000 + n, clock_timestamp(), clock_timestamp()
        FROM tenantry.webhook_queue, generate_series(1, 20000) AS n";
    assert_eq!(conn.execute(fill, &[]).await.unwrap(), 20_000);
    // The filling itself read the queue: it is counted now, not in a while.
    conn.batch_static("SELECT pg_stat_force_next_flush()").await.unwrap();
    conn.batch_static("SELECT").await.unwrap();
    conn.release();
    let before = scans(&world).await;
    for _ in 0..4 {
        round().await;
    }
    let began = std::time::Instant::now();
    loop {
        round().await;
        let now = scans(&world).await;
        assert_eq!(now.0, before.0, "the whole queue was read");
        if now.1 > before.1 + 40 {
            break;
        }
        assert!(began.elapsed().as_secs() < 30, "the server counts: {before:?}, {now:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How many entries of the indexes of the queue and of the dead were read.
const ENTRIES: &str = "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes
    WHERE relid IN ('tenantry.webhook_queue'::regclass, 'tenantry.webhook_dead'::regclass)";

/// A row is found by its key, however many others wait for the same endpoint, and by a plan made when none did.
#[tokio::test]
async fn what_is_written_down_costs_the_same_however_much_waits() {
    const WAITING: i64 = 4000;
    let (world, _, _, made, _) = simple(5).await;
    let (store, replica, patience) = (world.deps.store(), world.deps.replica(), Duration::from_secs(60));
    let lane = LaneId { environment: world.environment.clone(), endpoint: made.id };
    store.webhook_beat(replica).await.unwrap();
    store.webhook_claim(replica, patience, std::slice::from_ref(&lane)).await.unwrap();
    let conn = store.pool().get().await.unwrap();
    let first = store.webhook_due(&lane, Order::Longest, 1).await.unwrap().remove(0);
    conn.batch_static("DELETE FROM tenantry.webhook_queue").await.unwrap();
    conn.batch_static("VACUUM ANALYZE tenantry.webhook_queue, tenantry.webhook_dead").await.unwrap();
    for attempt in 1..=8 {
        let again = Outcome { attempt, ..outcome(&first, Fate::Again(Duration::ZERO)) };
        assert!(store.webhook_record(replica, &lane, &[again], None).await.unwrap());
    }
    for fill in [
        "INSERT INTO tenantry.webhook_queue (env, endpoint, subject, sequence, due_at, queued_at)
        SELECT env, id, $2, n, clock_timestamp(), clock_timestamp()
        FROM tenantry.webhook_endpoint, generate_series(1, $1::bigint) AS n",
        "INSERT INTO tenantry.webhook_dead (env, endpoint, subject, sequence, attempts, cause, queued_at, died_at)
        SELECT env, id, $2, n, 1, 'attempts', clock_timestamp(), clock_timestamp()
        FROM tenantry.webhook_endpoint, generate_series(1, $1::bigint) AS n",
    ] {
        assert_eq!(
            conn.execute(fill, &[&WAITING, &first.event.subject.uuid()]).await.unwrap(),
            u64::try_from(WAITING).unwrap()
        );
    }
    conn.batch_static("SELECT pg_stat_force_next_flush()").await.unwrap();
    conn.batch_static("SELECT").await.unwrap();
    conn.release();
    let before = number(&world, ENTRIES).await;
    let outcomes: Vec<Outcome> = (1..=300)
        .map(|n| {
            let fate = match n % 3 {
                0 => Fate::Delivered,
                1 => Fate::Dead(tenantry_domain::webhook::Cause::Attempts),
                _ => Fate::Again(Duration::from_secs(60)),
            };
            Outcome { sequence: n, attempt: 1, ..outcome(&first, fate) }
        })
        .collect();
    assert!(store.webhook_record(replica, &lane, &outcomes, None).await.unwrap());
    let began = std::time::Instant::now();
    loop {
        // The connection tells what it read, at most once a second, when it has done something again.
        assert!(store.webhook_record(replica, &lane, &[], None).await.unwrap());
        let read = number(&world, ENTRIES).await - before;
        assert!(read < WAITING, "{read} entries were read for 300 outcomes");
        if read >= 300 {
            break;
        }
        assert!(began.elapsed().as_secs() < 30, "the server counts: {read}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Whoever is not sure to have written it down does it again.
    for _ in 0..2 {
        for (sql, count) in [
            ("SELECT count(*) FROM tenantry.webhook_queue", WAITING - 200),
            ("SELECT count(*) FROM tenantry.webhook_queue WHERE attempts = 1", 100),
            ("SELECT count(*) FROM tenantry.webhook_queue WHERE due_at > clock_timestamp() + interval '50 s'", 100),
            ("SELECT count(*) FROM tenantry.webhook_dead", WAITING - 100),
            ("SELECT count(*) FROM tenantry.webhook_dead WHERE status = 200", 100),
        ] {
            assert_eq!(number(&world, sql).await, count, "{sql}");
        }
        assert!(store.webhook_record(replica, &lane, &outcomes, None).await.unwrap());
    }
}
