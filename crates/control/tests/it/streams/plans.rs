//! Plans that were made while nothing waited are as good when a lot does.

use std::time::{Duration, Instant};

use tenantry_store::{LineId, LineStep, StreamHold, Subject};

use super::{STREAM, claimed};
use crate::webhooks::number;
use crate::world::World;

/// How many entries of the indexes of lines and cursors were read, and rows without an index.
const ENTRIES: &str = "SELECT (
        SELECT sum(idx_tup_read) FROM pg_stat_user_indexes
        WHERE relid IN ('tenantry.stream_line'::regclass, 'tenantry.stream_cursor'::regclass)
    )::bigint + (
        SELECT sum(seq_tup_read) FROM pg_stat_user_tables
        WHERE relid IN ('tenantry.stream_line'::regclass, 'tenantry.stream_cursor'::regclass)
    )::bigint";

const WAITING: i64 = 4000;
const STEPS: i64 = 64;

/// As the publisher works: looks at what waits longest, and writes down how far it came.
async fn round(world: &World, hold: &StreamHold, steps: &[LineStep]) {
    let store = world.deps.store();
    store.stream_work(STREAM, 64).await.unwrap();
    assert!(store.stream_record(hold, steps).await.unwrap().is_mine);
}

#[tokio::test]
async fn what_is_written_down_costs_the_same_however_much_waits() {
    let world = World::new().await;
    let hold = claimed(&world, false).await;
    let conn = world.deps.store().pool().get().await.unwrap();
    conn.batch_static("DELETE FROM tenantry.stream_line").await.unwrap();
    conn.batch_static("VACUUM ANALYZE tenantry.stream_line, tenantry.stream_cursor").await.unwrap();
    let id = |place: i64| LineId {
        environment: world.environment.clone(),
        subject: Subject::from_uuid(uuid::Uuid::from_u128(u128::try_from(place).unwrap())),
    };
    // As often as it takes to have plans that are kept.
    for _ in 0..8 {
        round(&world, &hold, &[LineStep { id: id(1), published: 0, at: None }]).await;
    }
    let fill = "INSERT INTO tenantry.stream_line (sink, env, subject, newest, since)
        SELECT $1, $2, lpad(to_hex(n), 32, '0')::uuid, 3, clock_timestamp() FROM generate_series(1, $3::bigint) AS n";
    let filled = conn.execute(fill, &[&STREAM, &world.environment.as_str(), &WAITING]).await.unwrap();
    assert_eq!(filled, u64::try_from(WAITING).unwrap());
    conn.batch_static("SELECT pg_stat_force_next_flush()").await.unwrap();
    conn.batch_static("SELECT").await.unwrap();
    conn.release();
    let before = number(&world, ENTRIES).await;
    let at = Some(world.deps.now());
    let steps: Vec<LineStep> = (1..=STEPS)
        .map(|place| LineStep { id: id(place), published: if place % 2 == 0 { 3 } else { 2 }, at })
        .collect();
    round(&world, &hold, &steps).await;
    let began = Instant::now();
    loop {
        // The connection tells what it read, at most once a second, when it has done something again.
        assert!(world.deps.store().stream_record(&hold, &[]).await.unwrap().is_mine);
        let read = number(&world, ENTRIES).await - before;
        assert!(read < WAITING, "{read} entries were read for {STEPS} steps");
        if read >= STEPS {
            break;
        }
        assert!(began.elapsed().as_secs() < 30, "the server counts: {read}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for (sql, count) in [
        ("SELECT count(*) FROM tenantry.stream_line", WAITING - STEPS / 2),
        ("SELECT count(*) FROM tenantry.stream_cursor WHERE published = 3", STEPS / 2),
        (
            "SELECT count(*) FROM tenantry.stream_cursor AS c JOIN tenantry.stream_line USING (sink, env, subject) WHERE published = 2",
            STEPS / 2,
        ),
    ] {
        assert_eq!(number(&world, sql).await, count, "{sql}");
    }
    let waits = world.deps.store().stream_backlog(STREAM, None).await.unwrap();
    assert_eq!((waits.events, waits.subjects), ((WAITING - STEPS) * 3 + STEPS / 2, WAITING - STEPS / 2));
}
