//! What the queue costs: the same however much waits, by plans that were made when nothing did.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use tenantry_store::Among;

use crate::webhooks::number;
use crate::world::World;

/// Entries of indexes and rows of tables that were read.
const READ: &str = "
    SELECT (
        SELECT sum(idx_tup_read) FROM pg_stat_user_indexes
        WHERE relname IN ('notification', 'notice', 'outbox', 'tenant', 'incident', 'incident_update')
    )::bigint + (
        SELECT sum(seq_tup_read) FROM pg_stat_user_tables
        WHERE relname IN ('notification', 'notice', 'outbox', 'tenant', 'incident', 'incident_update')
    )::bigint";

const LEASE: Duration = Duration::from_secs(60);

/// One notification of each tenant and of each incident; half of all are about nobody in particular.
const FILL: [&str; 5] = [
    "INSERT INTO tenantry.tenant
    SELECT (jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid(), 'slug', 'a' || n, 'slug_skeleton', 'a' || n))).*
    FROM tenantry.tenant AS t, generate_series(1, $1::bigint / 2) AS n",
    "INSERT INTO tenantry.incident (env, id, severity, title, phase, updates, created_at, created_by, updated_at)
    SELECT env, gen_random_uuid(), 'major', 'x', 'resolved', 1, now(), 'x', now()
    FROM tenantry.tenant WHERE $1::bigint > 0 AND slug <> 'acme'",
    "INSERT INTO tenantry.incident_update (env, incident, number, phase, message, at, author)
    SELECT env, id, 1, 'resolved', 'x', now(), 'x' FROM tenantry.incident WHERE $1::bigint > 0",
    "INSERT INTO tenantry.outbox (env, subject, sequence, id, type, at, correlation_id, causation_id, data)
    SELECT env, id, 1, gen_random_uuid(), 'tenant.activated', now(), 'x', 'x', '{}' FROM (
        SELECT env, id FROM tenantry.tenant WHERE slug <> 'acme' UNION ALL SELECT env, id FROM tenantry.incident
    ) AS s WHERE $1::bigint > 0",
    "INSERT INTO tenantry.notification (env, id, event, kind, tenant, incident, number, channel, address, address_key, due_at,
        created_at)
    SELECT o.env, gen_random_uuid(), o.id, 'welcome', t.id, i.id, CASE WHEN i.id IS NULL THEN NULL ELSE 1 END, 'mail', 'x', o.id,
        now() - interval '1 hour', now() - interval '1 hour'
    FROM tenantry.outbox AS o LEFT JOIN tenantry.tenant AS t ON t.env = o.env AND t.id = o.subject
    LEFT JOIN tenantry.incident AS i ON i.env = o.env AND i.id = o.subject
    WHERE $1::bigint > 0 AND o.correlation_id = 'x'",
];

#[tokio::test]
async fn what_is_taken_and_written_down_costs_the_same_however_much_waits() {
    const WAITING: i64 = 6000;
    const ROUNDS: i64 = 10;
    let world = World::new().await;
    crate::members::tenant(&world, "acme", "starter").await;
    let (store, reader) = (world.deps.store(), world.deps.store().read(&world.environment));
    let acme = Among::One(world.tenant("acme").await.id);
    let long_ago = world.deps.now() - SignedDuration::from_hours(9000);
    let conn = store.pool().get().await.unwrap();
    let one = "INSERT INTO tenantry.notification (env, id, event, kind, channel, address, address_key, due_at, created_at)
        SELECT env, gen_random_uuid(), id, 'welcome', 'mail', 'x', 'x', now() - interval '2 hours', now() FROM tenantry.outbox LIMIT 1";
    conn.execute(one, &[]).await.unwrap();
    conn.batch_static("VACUUM ANALYZE").await.unwrap();
    let round = async |most: i64| {
        let claimed = store.claim_notifications(world.deps.now(), LEASE, most, (true, false)).await.unwrap();
        assert_eq!(i64::try_from(claimed.rows.len()), Ok(most.min(i64::try_from(claimed.taken).unwrap())));
        for (number, row) in claimed.rows.iter().enumerate() {
            match number % 3 {
                0 => {
                    store.notification_later(row, world.deps.now() - SignedDuration::from_hours(1), "x").await.unwrap()
                }
                1 => store.notification_sent(row, world.deps.now()).await.unwrap(),
                _ => store.notification_dropped(row, world.deps.now(), "x").await.unwrap(),
            }
            // Whoever lost it changes nothing, by the same plan.
            let late = tenantry_store::OutgoingRow { attempt: 99, ..row.clone() };
            store.notification_sent(&late, world.deps.now()).await.unwrap();
            store.notification_dropped(&late, world.deps.now(), "y").await.unwrap();
        }
        store.forget_notifications(long_ago, 10).await.unwrap();
        store.notes(10, 0).await.unwrap();
        assert_eq!(reader.audience(&acme, None, 1).await.unwrap().len(), 1);
    };
    // As often as it takes to have plans that are kept.
    for _ in 0..8 {
        round(1).await;
    }
    conn.batch_static("DELETE FROM tenantry.notification").await.unwrap();
    for fill in FILL {
        assert!(conn.execute(fill, &[&WAITING]).await.unwrap() >= u64::try_from(WAITING / 2).unwrap(), "{fill}");
    }
    assert_eq!(number(&world, "SELECT count(*) FROM tenantry.notification").await, WAITING);
    conn.batch_static("SELECT pg_stat_force_next_flush()").await.unwrap();
    conn.batch_static("SELECT").await.unwrap();
    conn.release();
    let before = number(&world, READ).await;
    for _ in 0..ROUNDS {
        round(30).await;
    }
    let began = Instant::now();
    loop {
        // The connection tells what it read, at most once a second, when it has done something again.
        store.claim_notifications(world.deps.now(), LEASE, 0, (true, false)).await.unwrap();
        let read = number(&world, READ).await - before;
        // Of rows that moved on, entries stay for a while. Read as a whole for each, they would be millions.
        assert!(read < WAITING * 10, "{read} entries were read for {} notifications", ROUNDS * 30);
        // Each is found in the queue twice, and what belongs to it once.
        if read >= ROUNDS * 30 * 4 {
            break;
        }
        assert!(began.elapsed().as_secs() < 30, "the server counts: {read}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let sent = "SELECT count(*) FROM tenantry.notification WHERE sent_at IS NOT NULL AND dropped_at IS NULL";
    let dropped = "SELECT count(*) FROM tenantry.notification WHERE dropped_at IS NOT NULL AND cause = 'x'";
    assert_eq!((number(&world, sent).await, number(&world, dropped).await), (100, 100));
    world.stop().await;
}
