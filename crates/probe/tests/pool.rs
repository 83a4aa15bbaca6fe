//! Attacks on the router's pool: futures dropped at random awaits, and whatever one borrower can leave for the next.
//!
//! `TENANTRY_CANCEL` sets the number of requests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs, dead_code)]

#[path = "it/world.rs"]
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::{SinkExt as _, StreamExt as _, pin_mut};
use tenantry_dataplane::{RouterOptions, TenantTxError};
use tenantry_domain::isolation::Isolation;
use tenantry_pg::{PoolOptions, Session, Sql};

use crate::world::{World, admin};

const REQUESTS: u64 = 20_000;
const TENANTS: usize = 50;
const WORKERS: u64 = 8;

/// One connection for everybody.
fn one_connection() -> RouterOptions {
    let pool = PoolOptions { wait: Duration::from_secs(30), ..RouterOptions::default().pool };
    RouterOptions { shared: 1, own: 1, pool, ..RouterOptions::default() }
}

fn canary(index: usize) -> String {
    format!("canary-{index:03}-feed")
}

async fn seed(world: &World) {
    for (index, tenant) in world.tenants.iter().enumerate() {
        let tx = world.router.enter(&tenant.door).await.unwrap();
        let sql = format!("INSERT INTO counters (name) VALUES ('{0}'), ('{0}-two')", canary(index));
        tx.batch(&Sql::script(&sql)).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// A request as an application has it; whatever it learns is looked at.
async fn request(world: &World, index: usize, kind: u64, leaks: &AtomicU64, done: &AtomicU64) {
    let Ok(tx) = world.router.enter(&world.tenants[index].door).await else { return };
    let own = canary(index);
    let look = |text: &str| {
        // A line may be a part of a COPY's answer, so the own canary is taken out first.
        leaks.fetch_add(u64::from(text.replace(&own, "").contains("canary-")), Ordering::AcqRel);
    };
    match kind % 6 {
        0 => {
            for row in tx.query("SELECT name FROM counters", &[]).await.unwrap_or_default() {
                look(row.get::<_, String>(0).as_str());
            }
        }
        1 => {
            let stream =
                tx.copy_out(&Sql::new("COPY (SELECT c.name FROM counters c, generate_series(1, 300)) TO STDOUT")).await;
            if let Ok(stream) = stream {
                pin_mut!(stream);
                while let Some(Ok(bytes)) = stream.next().await {
                    look(&String::from_utf8_lossy(&bytes));
                }
            }
        }
        2 => {
            let _ =
                tx.batch(&Sql::new("DECLARE held CURSOR WITH HOLD FOR SELECT name FROM counters; LISTEN gossip")).await;
        }
        3 => {
            let _ = tx.execute("UPDATE counters SET reading = reading + 1", &[]).await;
        }
        4 => {
            let _ = tx.query("SELECT name, pg_sleep(0.0005) FROM counters", &[]).await;
        }
        // What another tenant's cursor or statement would answer.
        _ => {
            for question in ["FETCH ALL FROM held", "SELECT name FROM counters"] {
                let answers = tx.simple(&Sql::new(question)).await;
                for answer in answers.into_iter().flatten() {
                    if let tenantry_pg::SimpleQueryMessage::Row(row) = answer {
                        look(row.get(0).unwrap_or_default());
                    }
                }
                let _ = tx.batch(&Sql::new("ROLLBACK; BEGIN")).await;
            }
        }
    }
    if kind.is_multiple_of(3) {
        let _ = tx.rollback().await;
    } else {
        let _ = tx.commit().await;
    }
    done.fetch_add(1, Ordering::AcqRel);
}

fn mixed(number: u64) -> u64 {
    let mixed = (number ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 20
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn futures_dropped_anywhere_leave_nothing() {
    let world = Arc::new(World::new(&[(Isolation::Shared, TENANTS)], one_connection()).await);
    seed(&world).await;
    let total = std::env::var("TENANTRY_CANCEL").ok().and_then(|text| text.parse().ok()).unwrap_or(REQUESTS);
    let (leaks, done, next) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let began = Instant::now();
    let work = async || {
        loop {
            let number = next.fetch_add(1, Ordering::AcqRel);
            if number >= total {
                return;
            }
            let random = mixed(number);
            let index = usize::try_from(random % TENANTS as u64).unwrap();
            let one = request(&world, index, random >> 8, &leaks, &done);
            if random >> 3 & 1 == 0 {
                one.await;
            } else {
                // Dropped at whichever await it has reached by then.
                let patience = Duration::from_micros(random >> 5 & 2047);
                let _ = tokio::time::timeout(patience, one).await;
            }
            if number % 100_000 == 99_999 {
                println!("pool: {} requests, {:.0}/s", number + 1, (number + 1) as f64 / began.elapsed().as_secs_f64());
            }
        }
    };
    join_all((0..WORKERS).map(|_| work())).await;
    let finished = done.load(Ordering::Acquire);
    println!(
        "pool: {total} requests of {TENANTS} tenants on one connection, {finished} finished, {} dropped, {:.0}/s",
        total - finished,
        total as f64 / began.elapsed().as_secs_f64()
    );
    assert_eq!(leaks.load(Ordering::Acquire), 0, "foreign canaries");
    assert!(finished > total / 4 && finished < total, "{finished} of {total} finished");
    // Nobody is stuck: every tenant gets in, one after another, and sees its two rows.
    for (index, tenant) in world.tenants.iter().enumerate() {
        let tx =
            tokio::time::timeout(Duration::from_secs(10), world.router.enter(&tenant.door)).await.unwrap().unwrap();
        let sql = "SELECT count(*), count(*) FILTER (WHERE name LIKE $1 || '%') FROM counters";
        let row = tx.query_one(sql, &[&canary(index)]).await.unwrap();
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (2, 2));
        tx.commit().await.unwrap();
    }
}

/// A thing to leave behind, and a question whose answer would show it.
const LEFTOVERS: &[(&str, &str, &str)] = &[
    ("temporary table", "CREATE TEMP TABLE counters (name text)", "SELECT 'there' WHERE pg_my_temp_schema() <> 0"),
    ("prepared statement", "PREPARE mine AS SELECT 1", "SELECT name FROM pg_prepared_statements WHERE from_sql"),
    (
        "held cursor",
        "DECLARE held CURSOR WITH HOLD FOR SELECT name FROM counters",
        "SELECT name FROM pg_cursors WHERE is_holdable",
    ),
    ("channel", "LISTEN gossip", "SELECT * FROM pg_listening_channels()"),
    ("advisory lock", "SELECT pg_advisory_lock(42)", "SELECT 'held' WHERE pg_advisory_unlock(42)"),
    (
        "setting of ours",
        "SET app.tenant_id = 'left'",
        "SELECT 'left' WHERE current_setting('app.tenant_id', true) <> ''",
    ),
    (
        "server's setting",
        "SET work_mem = '7MB'",
        "SELECT setting FROM pg_settings WHERE name = 'work_mem' AND source = 'session'",
    ),
    ("search path", "SET search_path = nowhere", "SELECT 'lost' WHERE current_setting('search_path') LIKE '%nowhere%'"),
    ("sequence", "SELECT nextval('app.invoice_numbers')", "SELECT currval('app.invoice_numbers')"),
    ("row security", "SET row_security = off", "SELECT 'off' WHERE current_setting('row_security') <> 'on'"),
    (
        "time limit",
        "SET statement_timeout = '17min'",
        "SELECT 'left' WHERE current_setting('statement_timeout') = '17min'",
    ),
];

async fn answers(tx: &Session, question: &'static str) -> Vec<String> {
    let rows = tx.simple(&Sql::new(question)).await.unwrap_or_default();
    let row = |answer| match answer {
        tenantry_pg::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
        _ => None,
    };
    rows.into_iter().filter_map(row).collect()
}

#[tokio::test]
async fn what_one_borrower_leaves_the_next_does_not_find() {
    let world = World::new(&[(Isolation::Shared, 2)], one_connection()).await;
    seed(&world).await;
    for (name, leave, question) in LEFTOVERS {
        for again in [false, true] {
            let tx = world.router.enter(&world.a().door).await.unwrap();
            let left = tx.batch(&Sql::new(leave)).await.is_ok();
            if left {
                tx.commit().await.unwrap();
            } else {
                assert_eq!(*name, "temporary table", "{name} cannot even be left");
                tx.rollback().await.unwrap();
            }
            // The same tenant gets a clean session as well.
            let next = if again { world.a() } else { world.b() };
            let tx = world.router.enter(&next.door).await.unwrap();
            assert_eq!(answers(&tx, question).await, [""; 0], "{name}");
            tx.rollback().await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_questions_see_what_is_left() {
    // On a session that nobody cleans each leftover shows: the test above can fail.
    let world = World::new(&[(Isolation::Shared, 1)], one_connection()).await;
    let session = admin(&world.a().database).await;
    session.batch(&Sql::new("SET search_path = app")).await.unwrap();
    for (name, leave, question) in LEFTOVERS {
        session.batch(&Sql::new(leave)).await.unwrap();
        assert_ne!(answers(&session, question).await, [""; 0], "{name}");
    }
}

#[tokio::test]
async fn a_transaction_left_open_is_not_handed_on() {
    let world = World::new(&[(Isolation::Shared, 2)], one_connection()).await;
    seed(&world).await;
    for ending in ["COMMIT; BEGIN; SELECT 1", "ROLLBACK; BEGIN", "COMMIT AND CHAIN", "SELECT 1 / 0", "SAVEPOINT mine"] {
        let tx = world.router.enter(&world.a().door).await.unwrap();
        let _ = tx.batch(&Sql::new(ending)).await;
        drop(tx);
        let tx = world.router.enter(&world.b().door).await.unwrap();
        let rows = tx.query("SELECT name FROM counters ORDER BY name", &[]).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>(), [canary(1), canary(1) + "-two"]);
        assert_eq!(
            tx.query_one("SELECT session_user <> current_user, tenantry.current_tenant()", &[])
                .await
                .unwrap()
                .get::<_, uuid::Uuid>(1),
            world.b().id
        );
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn a_copy_read_by_half_is_not_read_on() {
    let world = World::new(&[(Isolation::Shared, 2)], one_connection()).await;
    seed(&world).await;
    for _ in 0..20 {
        let tx = world.router.enter(&world.a().door).await.unwrap();
        let stream = tx
            .copy_out(&Sql::new("COPY (SELECT name FROM counters, generate_series(1, 100000)) TO STDOUT"))
            .await
            .unwrap();
        {
            pin_mut!(stream);
            assert!(stream.next().await.unwrap().unwrap().starts_with(b"canary-000"));
        }
        // The answer is still coming in.
        let rolled_back = tx.rollback().await;
        drop(rolled_back);
        let tx = world.router.enter(&world.b().door).await.unwrap();
        let rows = tx.query("SELECT name FROM counters", &[]).await.unwrap();
        assert_eq!(rows.len(), 2);
        assert!(rows.iter().all(|row| row.get::<_, String>(0).starts_with(&canary(1))));
        let half = tx.copy_in(&Sql::new("COPY counters (name) FROM STDIN")).await;
        if let Ok(sink) = half {
            pin_mut!(sink);
            let _ = sink.send(bytes::Bytes::from_static(b"half a li")).await;
        }
        drop(tx);
    }
}

#[tokio::test]
async fn whoever_waits_too_long_is_told() {
    let pool = PoolOptions { wait: Duration::from_millis(50), ..RouterOptions::default().pool };
    let world = World::new(&[(Isolation::Shared, 2)], RouterOptions { pool, ..one_connection() }).await;
    let held = world.router.enter(&world.a().door).await.unwrap();
    assert!(matches!(world.router.enter(&world.b().door).await, Err(TenantTxError::Busy)));
    held.rollback().await.unwrap();
    world.router.enter(&world.b().door).await.unwrap().rollback().await.unwrap();
}
