//! Who waits for a connection, how long, and beside whom.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tenantry_dataplane::router::{Router, RouterOptions};
use tenantry_dataplane::tx::TenantTxError;
use tenantry_pg::PoolOptions;

use crate::isolation::world::{SCHEMA, SHARED, World};

fn router(shared: usize, per_tenant: usize) -> Router {
    let pool = PoolOptions { wait: Duration::from_secs(20), ..PoolOptions::default() };
    Router::new(RouterOptions { shared, per_tenant, own: per_tenant, pool, ..RouterOptions::default() })
}

/// All connections are common, and one tenant asks for sixty transactions: another's first one waits for one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_one_tenant_delays_another_by_one_turn() {
    let world = World::new(SHARED).await;
    let router = Arc::new(router(1, 1));
    let held = router.enter(&world.a.door).await.unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let crowd: Vec<_> = (0..60)
        .map(|_| {
            let (router, door, done) = (Arc::clone(&router), world.a.door.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let tx = router.enter(&door).await.unwrap();
                tx.query_one("SELECT pg_sleep(0.005) IS NULL", &[]).await.unwrap();
                done.fetch_add(1, Ordering::SeqCst);
                tx.commit().await.unwrap();
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let late = {
        let (router, door, done) = (Arc::clone(&router), world.b.door.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            let tx = router.enter(&door).await.unwrap();
            let before = done.load(Ordering::SeqCst);
            tx.commit().await.unwrap();
            before
        })
    };
    tokio::time::sleep(Duration::from_millis(200)).await;
    held.commit().await.unwrap();
    let before = late.await.unwrap();
    assert!(before <= 2, "{before} of the crowd came first");
    for one in crowd {
        one.await.unwrap();
    }
}

#[tokio::test]
async fn a_line_that_is_too_long_refuses_at_once() {
    for setting in [SHARED, SCHEMA] {
        let world = World::new(setting).await;
        let router = Arc::new(router(2, 1).with_waiting(2));
        let held = router.enter(&world.a.door).await.unwrap();
        let wait = || {
            let (router, door) = (Arc::clone(&router), world.a.door.clone());
            tokio::spawn(async move { router.enter(&door).await.unwrap().commit().await.unwrap() })
        };
        let waiting = [wait(), wait()];
        tokio::time::sleep(Duration::from_millis(100)).await;
        let began = std::time::Instant::now();
        let refused = router.enter(&world.a.door).await.err().unwrap();
        assert!(matches!(refused, TenantTxError::Overloaded), "{refused:?}");
        assert!(began.elapsed() < Duration::from_secs(5), "it waited");
        assert!(refused.to_string().contains("too many callers"));
        // The neighbour's line is another one.
        router.enter(&world.b.door).await.unwrap().commit().await.unwrap();
        held.commit().await.unwrap();
        for one in waiting {
            one.await.unwrap();
        }
        router.enter(&world.a.door).await.unwrap().commit().await.unwrap();
    }
}

/// A plan's bound on connections holds on a common login too, and what it leaves is for others.
#[tokio::test]
async fn the_plans_bound_holds() {
    let world = World::new(SHARED).await;
    let pool = PoolOptions { wait: Duration::from_millis(150), ..PoolOptions::default() };
    let router = Router::new(RouterOptions { shared: 3, per_tenant: 3, pool, ..RouterOptions::default() });
    let mut door = world.a.door.clone();
    door.connections = Some(1);
    let held = router.enter(&door).await.unwrap();
    assert!(matches!(router.enter(&door).await.err(), Some(TenantTxError::Busy)));
    let others = [router.enter(&world.b.door).await.unwrap(), router.enter(&world.b.door).await.unwrap()];
    assert!(matches!(router.enter(&world.b.door).await.err(), Some(TenantTxError::Busy)), "three in all");
    held.commit().await.unwrap();
    for tx in others {
        tx.commit().await.unwrap();
    }
}
