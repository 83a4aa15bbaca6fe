//! Futures dropped at any moment never hand on a connection that is not clean.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tenantry_pg::{Pool, PoolOptions};

use crate::{fresh, pool_of, target};

/// Small numbers without a library: a linear congruential generator with a fixed seed.
struct Dice(AtomicU64);

impl Dice {
    fn roll(&self, below: u64) -> u64 {
        let step =
            |seed: u64| Some(seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
        let seed = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).unwrap();
        (seed >> 33) % below
    }
}

/// One borrower's work; it may be dropped at each of its awaits.
async fn work(pool: &Pool, who: i64, dice: u64) {
    let Ok(tx) = pool.begin().await else { return };
    let found = tx.query("SELECT who FROM work WHERE pid = pg_backend_pid() AND open", &[]).await.unwrap();
    assert!(found.is_empty(), "an open transaction was handed on");
    assert_eq!(
        tx.query_one("SELECT current_setting('tn.who', true)", &[])
            .await
            .unwrap()
            .get::<_, Option<String>>(0)
            .unwrap_or_default(),
        ""
    );
    tx.execute("SELECT set_config('tn.who', $1, true)", &[&who.to_string()]).await.unwrap();
    tx.execute("INSERT INTO work VALUES ($1, pg_backend_pid(), true)", &[&who]).await.unwrap();
    if dice.is_multiple_of(3) {
        tx.query("SELECT pg_sleep(0.02)", &[]).await.unwrap();
    }
    let own =
        tx.query_one("SELECT count(*), min(who), current_setting('tn.who') FROM work WHERE open", &[]).await.unwrap();
    assert_eq!((own.get::<_, i64>(0), own.get::<_, i64>(1), own.get::<_, String>(2)), (1, who, who.to_string()));
    tx.execute("UPDATE work SET open = false WHERE open", &[]).await.unwrap();
    if dice.is_multiple_of(5) { tx.rollback().await.unwrap() } else { tx.commit().await.unwrap() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_drops_with_a_pool_of_one() {
    let db = fresh();
    let pool = pool_of(&db, 1);
    let watch = pool_of(&db, 1);
    watch.get().await.unwrap().batch_static("CREATE TABLE work (who bigint, pid int, open bool)").await.unwrap();
    let dice = Dice(AtomicU64::new(20_261_120));
    let (mut finished, mut dropped) = (0, 0);
    let start = std::time::Instant::now();
    work(&pool, -2, 1).await;
    let usual = u64::try_from(start.elapsed().as_micros()).unwrap().max(1_000);
    for who in 0..600 {
        // From «before the first byte» to «long after the last», most of them in between.
        let limit = Duration::from_micros(dice.roll(usual) * dice.roll(8) / 2);
        match tokio::time::timeout(limit, work(&pool, who, dice.roll(1_000))).await {
            Ok(()) => finished += 1,
            Err(_) => dropped += 1,
        }
    }
    assert!(finished > 30 && dropped > 30, "{finished} finished, {dropped} dropped: the test does not test");
    // The last one is whole again, and none that was not committed left a trace.
    work(&pool, -1, 1).await;
    let open = watch.get().await.unwrap().query_one("SELECT count(*) FROM work WHERE open", &[]).await.unwrap();
    assert_eq!(open.get::<_, i64>(0), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_poll_of_a_transaction_can_be_the_last() {
    let db = fresh();
    let pool = pool_of(&db, 1);
    pool.get().await.unwrap().batch_static("CREATE TABLE work (who bigint, pid int, open bool)").await.unwrap();
    let mut finished = false;
    for polls in 0.. {
        let mut future = Box::pin(work(&pool, polls, 1));
        let mut left = polls;
        let ended = std::future::poll_fn(|cx| {
            if left == 0 {
                return std::task::Poll::Ready(false);
            }
            left -= 1;
            future.as_mut().poll(cx).map(|()| true)
        })
        .await;
        drop(future);
        if ended {
            finished = true;
            break;
        }
        work(&pool, 1_000 + polls, 1).await;
    }
    assert!(finished);
}

#[tokio::test]
async fn a_dropped_query_is_cancelled_on_the_server() {
    let db = fresh();
    let pool = pool_of(&db, 1);
    let conn = pool.get().await.unwrap();
    let pid: i32 = conn.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let limit = Duration::from_millis(100);
    tokio::time::timeout(limit, conn.query("SELECT pg_sleep(600)", &[])).await.unwrap_err();
    // Released by mistake: it still does not come back.
    conn.release();
    let conn = pool.get().await.unwrap();
    assert_ne!(conn.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get::<_, i32>(0), pid);
    let alive = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1";
    let start = std::time::Instant::now();
    while conn.query_one(alive, &[&pid]).await.unwrap().get::<_, i64>(0) > 0 {
        assert!(start.elapsed() < Duration::from_secs(10), "the server still runs it");
    }
}

#[tokio::test]
async fn a_half_read_copy_is_not_seen_by_the_next() {
    let db = fresh();
    let pool = pool_of(&db, 1);
    let conn = pool.get().await.unwrap();
    let copy =
        conn.copy_out(&tenantry_pg::Sql::new("COPY (SELECT generate_series(1, 200000)) TO STDOUT")).await.unwrap();
    drop(copy);
    conn.release();
    let conn = pool.get().await.unwrap();
    assert_eq!(conn.query_one("SELECT 7", &[]).await.unwrap().get::<_, i32>(0), 7);
}

#[tokio::test]
async fn a_borrower_dropped_while_it_waits_leaves_its_place() {
    let db = fresh();
    let pool = Pool::new(target(&db.url()), PoolOptions { max: 1, ..PoolOptions::default() });
    let held = pool.get().await.unwrap();
    for _ in 0..20 {
        assert!(tokio::time::timeout(Duration::from_millis(1), pool.get()).await.is_err());
    }
    held.release();
    pool.get().await.unwrap();
}
