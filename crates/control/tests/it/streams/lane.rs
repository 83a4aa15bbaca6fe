//! The statements about a lane: whoever does not hold it writes nothing, and nobody waits for a commit.

use std::time::{Duration, Instant};

use tenantry_control::Subject;
use tenantry_domain::event::Type;
use tenantry_domain::id::ReplicaId;
use tenantry_store::{LineRow, LineStep, Recorded, SinkSay, StoreError, StreamHold};
use tenantry_testkit::nats::Nats;

use super::{Process, STREAM, claimed, execute, lab, settled};
use crate::webhooks::{draft, emit, number};
use crate::world::World;

fn step(line: &LineRow, published: i64) -> LineStep {
    LineStep { id: line.id.clone(), published, at: None }
}

/// A commit that was under way while the sink was made known noted nothing, and is found nevertheless.
#[tokio::test]
async fn a_commit_that_had_not_seen_the_sink_is_found() {
    let world = World::new().await;
    let tenant = draft(&world, "acme").await;
    let store = world.deps.store();
    let conn = store.pool().get().await.unwrap();
    conn.batch_static("BEGIN").await.unwrap();
    let told = "WITH t AS (
            UPDATE tenantry.tenant SET event_seq = event_seq + 1 WHERE id = $1 RETURNING env, id, event_seq
        )
        INSERT INTO tenantry.outbox (env, subject, sequence, id, type, at, correlation_id, causation_id, data)
        SELECT env, id, event_seq, gen_random_uuid(), 'tenant.updated', clock_timestamp(), 'c', 'c', '{}' FROM t";
    assert_eq!(conn.execute(told, &[&tenant.uuid()]).await.unwrap(), 1);
    claimed(&world, false).await;
    assert!(store.stream_missed(STREAM, 10).await.unwrap().is_empty());
    conn.batch_static("COMMIT").await.unwrap();
    conn.release();
    assert!(store.stream_work(STREAM, 10).await.unwrap().is_empty());
    let missed = store.stream_missed(STREAM, 10).await.unwrap();
    let found: Vec<_> = missed.iter().map(|line| (line.id.subject, line.newest - line.published)).collect();
    assert_eq!(found, [(Subject::Tenant(tenant), 1)]);
    // What a commit has noted is not missed.
    emit(&world.deps, &world, Subject::Tenant(tenant), Type::TenantUpdated, 1).await;
    assert!(store.stream_missed(STREAM, 10).await.unwrap().is_empty());
    assert_eq!(store.stream_work(STREAM, 10).await.unwrap()[0].newest, missed[0].newest + 1);
}

#[tokio::test]
async fn whoever_does_not_hold_the_lane_writes_nothing() {
    let world = World::new().await;
    let old = claimed(&world, true).await;
    let store = world.deps.store();
    // As in a database that was restored to an earlier time: another process with the same claim.
    let twin = StreamHold { owner: ReplicaId::from_uuid(uuid::Uuid::now_v7()), ..old.clone() };
    let new = store.stream_claim(STREAM, world.deps.replica(), Duration::from_secs(60)).await.unwrap().unwrap();
    let late = StreamHold { claim: new.claim - 1, ..new.clone() };
    let twin = StreamHold { claim: new.claim, ..twin };
    let lines = store.stream_work(STREAM, 10).await.unwrap();
    let steps: Vec<LineStep> = lines.iter().map(|line| step(line, line.newest)).collect();
    assert!(!steps.is_empty());
    for stranger in [&late, &twin] {
        let nothing = Recorded { is_mine: false, gone: 0 };
        assert_eq!(store.stream_record(stranger, &steps).await.unwrap(), nothing, "{stranger:?}");
        store.stream_published(stranger).await.unwrap();
        assert!(!store.stream_beat(stranger, &SinkSay { state: "stranger", ..SinkSay::default() }).await.unwrap());
        assert!(!store.stream_identify(stranger, world.deps.now()).await.unwrap());
        store.stream_release(stranger, &SinkSay { state: "stranger", ..SinkSay::default() }).await.unwrap();
    }
    assert_eq!(store.stream_work(STREAM, 10).await.unwrap(), lines);
    for sql in [
        "SELECT count(*) FROM tenantry.stream_cursor",
        "SELECT count(*) FROM tenantry.stream_lane WHERE state = 'stranger' OR owner IS NULL OR published_at IS NOT NULL",
        "SELECT count(*) FROM tenantry.stream_sink WHERE stream_made_at IS NOT NULL",
    ] {
        assert_eq!(number(&world, sql).await, 0, "{sql}");
    }
    let gone = i64::try_from(steps.len()).unwrap();
    assert_eq!(store.stream_record(&new, &steps).await.unwrap(), Recorded { is_mine: true, gone });
    let nobody = store.stream_claim("NOBODY", world.deps.replica(), Duration::from_secs(60)).await;
    assert!(matches!(nobody, Err(StoreError::NotFound)));
}

#[tokio::test]
async fn a_line_that_a_commit_holds_is_passed_over() {
    let world = World::new().await;
    draft(&world, "acme").await;
    let hold = claimed(&world, true).await;
    let store = world.deps.store();
    let lines = store.stream_work(STREAM, 10).await.unwrap();
    assert!(lines.len() > 1, "{lines:?}");
    let steps: Vec<LineStep> = lines.iter().map(|line| step(line, line.newest)).collect();
    let conn = store.pool().get().await.unwrap();
    conn.batch_static("BEGIN").await.unwrap();
    let lock = "SELECT FROM tenantry.stream_line WHERE env = $1 AND subject = $2 FOR UPDATE";
    conn.execute(lock, &[&lines[0].id.environment.as_str(), &lines[0].id.subject.uuid()]).await.unwrap();
    let within = tokio::time::timeout(Duration::from_secs(5), store.stream_record(&hold, &steps)).await;
    let others = i64::try_from(lines.len()).unwrap() - 1;
    assert_eq!(within.expect("it waits for nobody").unwrap(), Recorded { is_mine: true, gone: others });
    // It is published, and its line is still there.
    let left = store.stream_work(STREAM, 10).await.unwrap();
    assert_eq!(left, [LineRow { published: lines[0].newest, ..lines[0].clone() }]);
    assert_eq!(store.stream_backlog(STREAM, None).await.unwrap().events, 0);
    conn.batch_static("ROLLBACK").await.unwrap();
    conn.release();
    assert_eq!(store.stream_record(&hold, &steps).await.unwrap(), Recorded { is_mine: true, gone: 1 });
}

/// A line with nothing left to publish that a commit holds stays, and nobody runs in circles about it meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_is_held_is_looked_at_now_and_then() {
    let nats = Nats::start().await;
    let world = World::with(lab(&nats.url())).await;
    let process = Process::start(&world.deps);
    settled(&world).await;
    process.stop().await;
    execute(
        &world,
        "INSERT INTO tenantry.stream_line (sink, env, subject, newest, since)
        SELECT sink, env, subject, published, clock_timestamp() FROM tenantry.stream_cursor LIMIT 1",
    )
    .await;
    let conn = world.deps.store().pool().get().await.unwrap();
    conn.batch_static("BEGIN").await.unwrap();
    conn.batch_static("LOCK TABLE tenantry.stream_line IN ROW EXCLUSIVE MODE").await.unwrap();
    conn.batch_static("SELECT FROM tenantry.stream_line FOR UPDATE").await.unwrap();
    let process = Process::start(&world.deps);
    tokio::time::sleep(Duration::from_millis(1000)).await;
    let commits = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";
    let (before, began) = (number(&world, commits).await, Instant::now());
    tokio::time::sleep(Duration::from_millis(3000)).await;
    let done = number(&world, commits).await - before;
    assert!(done < 200, "{done} transactions in {:?}", began.elapsed());
    conn.batch_static("ROLLBACK").await.unwrap();
    conn.release();
    let until = Instant::now() + Duration::from_secs(10);
    while number(&world, "SELECT count(*) FROM tenantry.stream_line").await > 0 {
        assert!(Instant::now() < until, "the line goes when nobody holds it");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    process.stop().await;
}
