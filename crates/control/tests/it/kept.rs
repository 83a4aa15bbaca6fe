//! What works without being asked goes on working.

use std::time::{Duration, Instant};

use tenantry_control::Runtime;
use tenantry_testkit::pg;

use crate::world::{World, options};

/// A full server at the start of a process is no reason to be deaf for its whole life.
#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_found_the_database_away_listens_when_it_is_back() {
    let world = World::new().await;
    let deps = world.process(options()).await;
    let (server, name) = (pg::server(), world.database());
    server.sql("postgres", &format!("ALTER DATABASE \"{name}\" ALLOW_CONNECTIONS false"));
    server.sql("postgres", &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"));
    let runtime = Runtime::start(&deps);
    // Long enough for the first try to fail; a slow machine makes the test easier, not wrong.
    tokio::time::sleep(Duration::from_millis(700)).await;
    server.sql("postgres", &format!("ALTER DATABASE \"{name}\" ALLOW_CONNECTIONS true"));
    let listening =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN%'";
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < Duration::from_secs(20), "nobody listens");
        if let Ok(conn) = world.deps.store().pool().get().await {
            let found = conn.query_one(listening, &[]).await.map(|row| row.get::<_, i64>(0));
            conn.release();
            if found.is_ok_and(|count| count > 0) {
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    runtime.shutdown(&deps).await.unwrap();
}

/// What is kept for a time is not kept for ever.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_served_its_time_is_forgotten() {
    let mut world = World::new().await;
    let sql = "INSERT INTO tenantry.slug_quarantine 
        (env, slug_skeleton, slug, tenant, until)
        VALUES ($1, 'initech', 'initech', gen_random_uuid(), now() - interval '1 day')";
    let pool = world.deps.store().pool();
    let conn = pool.get().await.unwrap();
    conn.execute(sql, &[&world.environment.as_str()]).await.unwrap();
    conn.release();
    world.runtime = Some(Runtime::start(&world.deps));
    let began = Instant::now();
    loop {
        let conn = world.deps.store().pool().get().await.unwrap();
        let left: i64 = conn.query_one("SELECT count(*) FROM tenantry.slug_quarantine", &[]).await.unwrap().get(0);
        conn.release();
        if left == 0 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "it is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.stop().await;
}
