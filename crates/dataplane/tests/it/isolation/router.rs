//! The router: whose connection it gives to whom, in what state, and how many.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tenantry_dataplane::router::{Router, RouterOptions};
use tenantry_dataplane::tx::TenantTxError;
use tenantry_pg::{PoolOptions, Sql, TxMode};

use crate::isolation::attack::{Transcript, enter, neighbour};
use crate::isolation::world::{DATABASE, Party, SCHEMA, SHARED, SHARED_SIGNED, World, run};

const PID: &str = "SELECT pg_backend_pid()";

/// A statement that stays prepared in the driver.
const OWN_ROWS: &str = "SELECT count(*), count(*) FILTER (WHERE body LIKE '%' || $1 || '%') FROM messages";

async fn counts(world: &World, party: &Party) -> (i64, i64) {
    let tx = enter(world, party).await;
    let row = tx.query_one(OWN_ROWS, &[&party.canary]).await.unwrap();
    tx.commit().await.unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn tenants_take_turns_on_one_connection() {
    for setting in [SHARED, SHARED_SIGNED] {
        let world = World::new(setting).await;
        let tx = enter(&world, &world.a).await;
        let pid: i32 = tx.query_one(PID, &[]).await.unwrap().get(0);
        tx.commit().await.unwrap();
        for _ in 0..5 {
            for party in [&world.a, &world.b, &world.b] {
                assert_eq!(counts(&world, party).await, (240, 240));
            }
        }
        let tx = enter(&world, &world.b).await;
        assert_eq!(tx.query_one(PID, &[]).await.unwrap().get::<_, i32>(0), pid, "it was one connection all the time");
        assert_eq!(tx.tenant(), world.b.door.tenant);
    }
}

#[tokio::test]
async fn a_statement_prepared_by_one_tenant_is_not_run_by_another() {
    for setting in [SHARED, SHARED_SIGNED] {
        let world = World::new(setting).await;
        // B's statement is prepared on the connection; A then puts its own under every name that the driver may use.
        assert_eq!(counts(&world, &world.b).await, (240, 240));
        let hijack = "DO $$ DECLARE n int; BEGIN FOR n IN 0..200 LOOP
                BEGIN EXECUTE 'DEALLOCATE s' || n; EXCEPTION WHEN OTHERS THEN NULL; END;
                EXECUTE 'PREPARE s' || n || '(text) AS SELECT pg_notify(''gossip'', min(body)) IS NULL, 1::bigint FROM messages';
            END LOOP; END $$; LISTEN gossip";
        for _ in 0..2 {
            let tx = enter(&world, &world.a).await;
            tx.batch(&Sql::new(hijack)).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(counts(&world, &world.b).await, (240, 240));
        }
        let mut transcript = Transcript::default();
        neighbour(&world, &mut transcript).await;
        assert!(transcript.leaks.is_empty(), "{:?}", transcript.leaks);
    }
}

#[tokio::test]
async fn a_tenant_that_left_a_mess_finds_a_clean_session() {
    for setting in [SHARED, SCHEMA, DATABASE] {
        let world = World::new(setting).await;
        let tx = enter(&world, &world.a).await;
        tx.batch(&Sql::new("SET search_path = nowhere; SET default_transaction_read_only = on")).await.unwrap();
        tx.commit().await.unwrap();
        let tx = enter(&world, &world.a).await;
        assert_eq!(tx.execute("UPDATE users SET display_name = display_name", &[]).await.unwrap(), 4);
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn a_limit_of_a_millisecond_does_not_shut_the_next_tenant_out() {
    for setting in [SHARED, SHARED_SIGNED] {
        let world = World::new(setting).await;
        for _ in 0..20 {
            let tx = enter(&world, &world.a).await;
            // Much to clean, and no time for it: the locks alone take longer than the limit allows.
            tx.batch(&Sql::new("SELECT pg_advisory_lock(n) FROM generate_series(1, 4000) n")).await.unwrap();
            // Either may fall to that limit.
            let _ = tx.batch(&Sql::new("SET statement_timeout = 1; SET lock_timeout = 1")).await;
            let _ = tx.commit().await;
            enter(&world, &world.b).await.rollback().await.unwrap();
        }
    }
}

#[tokio::test]
async fn settings_of_the_login_do_not_win() {
    let world = World::new(SHARED).await;
    let tx = enter(&world, &world.a).await;
    // Open to every login for itself; kept by the server for all later sessions.
    tx.batch(&Sql::new(
        "ALTER ROLE CURRENT_USER SET search_path = nowhere; ALTER ROLE CURRENT_USER SET default_transaction_read_only = on;
         ALTER ROLE CURRENT_USER SET row_security = off; ALTER ROLE CURRENT_USER SET statement_timeout = 1;
         ALTER ROLE CURRENT_USER SET standard_conforming_strings = off; ALTER ROLE CURRENT_USER SET role = 'none'",
    ))
    .await
    .unwrap();
    tx.commit().await.unwrap();
    world.router.close();
    let mut transcript = Transcript::default();
    neighbour(&world, &mut transcript).await;
    assert!(transcript.leaks.is_empty(), "{:?}", transcript.leaks);
}

#[tokio::test]
async fn read_only_and_serializable_transactions_get_in() {
    for setting in [SHARED, SHARED_SIGNED, SCHEMA, DATABASE] {
        let world = World::new(setting).await;
        for mode in [TxMode::RepeatableReadReadOnly, TxMode::Serializable, TxMode::ReadCommitted] {
            let tx = world.router.enter_with(&world.b.door, mode).await.unwrap();
            assert_eq!(tx.query_one("SELECT count(*) FROM users", &[]).await.unwrap().get::<_, i64>(0), 4);
            tx.commit().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_share_of_the_common_login_is_not_exceeded() {
    let world = World::new(SHARED).await;
    let pool = PoolOptions { wait: Duration::from_millis(200), ..PoolOptions::default() };
    let router = Router::new(RouterOptions { shared: 3, per_tenant: 2, pool, ..RouterOptions::default() });
    let (_one, _two) = (router.enter(&world.a.door).await.unwrap(), router.enter(&world.a.door).await.unwrap());
    assert!(matches!(router.enter(&world.a.door).await.err(), Some(TenantTxError::Busy)));
    let other = router.enter(&world.b.door).await.unwrap();
    drop(_one);
    router.enter(&world.a.door).await.unwrap().commit().await.unwrap();
    other.commit().await.unwrap();
}

#[tokio::test]
async fn pools_are_bounded_and_a_lost_database_is_unknown() {
    let world = World::new(DATABASE).await;
    let router = Router::new(RouterOptions { pools: 1, ..RouterOptions::default() });
    for party in [&world.a, &world.b, &world.a, &world.b] {
        router.enter(&party.door).await.unwrap().commit().await.unwrap();
        assert_eq!(router.pools(), 1);
    }
    // Held open, it is not closed for another one's sake.
    let held = router.enter(&world.a.door).await.unwrap();
    router.enter(&world.b.door).await.unwrap().commit().await.unwrap();
    held.commit().await.unwrap();
    run("postgres", &format!("DROP DATABASE {} WITH (FORCE)", world.b.database)).await;
    assert!(matches!(router.enter(&world.b.door).await.err(), Some(TenantTxError::Unknown)));
    let mut door = world.a.door.clone();
    door.target = door.target.with_user(&world.a.login, &"wrong".into());
    router.forget(&world.a.door.target);
    assert!(matches!(router.enter(&door).await.err(), Some(TenantTxError::Refused(_))));
    router.enter(&world.a.door).await.unwrap().commit().await.unwrap();
}

#[tokio::test]
async fn connections_that_died_unused_are_not_noticed() {
    let world = World::new(SHARED).await;
    let router = Router::new(RouterOptions { shared: 4, ..RouterOptions::default() });
    let open = futures_util::future::join_all((0..4).map(|_| router.enter(&world.a.door))).await;
    for tx in open {
        tx.unwrap().commit().await.unwrap();
    }
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}'", world.a.login);
    run("postgres", &end).await;
    for _ in 0..4 {
        router.enter(&world.b.door).await.unwrap().commit().await.unwrap();
    }
}

/// Polls a future so many times and drops it; says whether it came to its end.
async fn until(polls: u64, work: impl Future<Output = ()>) -> bool {
    let mut work = Box::pin(work);
    let mut left = polls;
    std::future::poll_fn(|cx| {
        if left == 0 {
            return std::task::Poll::Ready(false);
        }
        left -= 1;
        work.as_mut().poll(cx).map(|()| true)
    })
    .await
}

/// Transactions of both tenants, dropped at random: nobody ever sees a row of the other, and all connections come
/// back in a usable state.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_dropped_at_random_show_nothing_foreign() {
    let world = World::new(SHARED).await;
    let router = Router::new(RouterOptions { shared: 2, per_tenant: 2, ..RouterOptions::default() });
    let (world, router) = (Arc::new(world), Arc::new(router));
    let (finished, dropped) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let tasks = (0..4_u64).map(|task| {
        let (world, router, finished, dropped) =
            (Arc::clone(&world), Arc::clone(&router), Arc::clone(&finished), Arc::clone(&dropped));
        tokio::spawn(async move {
            for round in 0..150_u64 {
                let party = if (task + round).is_multiple_of(2) { &world.a } else { &world.b };
                let work = async {
                    let tx = router.enter(&party.door).await.unwrap();
                    let row = tx.query_one(OWN_ROWS, &[&party.canary]).await.unwrap();
                    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (240, 240));
                    tx.execute("UPDATE users SET status = status", &[]).await.unwrap();
                    tx.commit().await.unwrap();
                };
                // Each third one runs to its end; the others are dropped at one of their awaits.
                let polls = if round % 3 == 0 { u64::MAX } else { (task * 7 + round * 5) % 11 };
                if until(polls, work).await { &finished } else { &dropped }.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    for task in futures_util::future::join_all(tasks).await {
        task.unwrap();
    }
    let (finished, dropped) = (finished.load(Ordering::Relaxed), dropped.load(Ordering::Relaxed));
    assert!(finished > 40 && dropped > 40, "{finished} finished, {dropped} dropped: the test does not test");
    for party in [&world.a, &world.b] {
        router.enter(&party.door).await.unwrap().commit().await.unwrap();
    }
}
