//! What happens when a server, a session or a client is gone.

use std::time::{Duration, Instant};

use tenantry_domain::isolation::Isolation;
use tenantry_gateway::Settings;
use tenantry_testkit::pg::{private_server, server};
use tokio::time::timeout;

use crate::world::{WAIT, World};

#[tokio::test]
async fn a_server_that_was_killed_is_found_again_by_the_same_clients() {
    let server = private_server();
    let levels = [(Isolation::Shared, 1), (Isolation::Schema, 1)];
    let world = World::new(&server.url("postgres"), &levels, Settings::default(), None).await;
    for tenant in &world.tenants {
        let client = world.client(tenant).await;
        client.execute("INSERT INTO note (body) VALUES ('kept')", &[]).await.unwrap();
        let running = tokio::spawn(async move { (client.batch_execute("SELECT pg_sleep(30)").await, client) });
        tokio::time::sleep(Duration::from_millis(200)).await;
        server.kill();
        let (error, client) = timeout(WAIT, running).await.unwrap().unwrap();
        assert!(error.unwrap_err().as_db_error().unwrap().hint().unwrap().contains("not known"));
        let error = client.batch_execute("SELECT 1 FROM note").await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "57P03", "{error:?}");
        server.start();
        let began = Instant::now();
        while let Err(error) = client.batch_execute("SELECT 1 FROM note").await {
            assert!(began.elapsed() < WAIT, "{error:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(client.query("SELECT 1 FROM note", &[]).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_session_that_the_server_ends_is_replaced() {
    let world = World::new(&server().url("postgres"), &[(Isolation::Shared, 1)], Settings::default(), None).await;
    let client = world.client(&world.tenants[0]).await;
    for _ in 0..5 {
        client.query("SELECT 1 FROM note", &[]).await.unwrap();
        let role = &world.tenants[0].role;
        let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'");
        world.by_hand("postgres", &end).await;
        // What was unused is replaced without a word, unless the news of its end is still on its way.
        tokio::time::sleep(Duration::from_millis(50)).await;
        client.query("SELECT 1 FROM note", &[]).await.unwrap();
    }
}

#[tokio::test]
async fn what_a_client_runs_ends_with_its_connection() {
    let world = World::new(&server().url("postgres"), &[(Isolation::Shared, 1)], Settings::default(), None).await;
    let tenant = &world.tenants[0];
    let (client, connection) = tokio_postgres::connect(&world.dsn(tenant), tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    let running = tokio::spawn(async move { client.batch_execute("BEGIN; SELECT pg_sleep(60)").await });
    let count = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND state = 'active'", tenant.role);
    let active = async || world.number("postgres", &count).await;
    let began = Instant::now();
    while active().await == 0 {
        assert!(began.elapsed() < WAIT);
    }
    driver.abort();
    running.abort();
    while active().await > 0 {
        assert!(began.elapsed() < WAIT, "it still runs");
    }
}

#[tokio::test]
async fn more_tenants_than_the_server_has_connections_are_all_served() {
    let mut settings = Settings::default();
    settings.pool.server = 3;
    let levels = [(Isolation::Shared, 2), (Isolation::Schema, 6)];
    let world = World::new(&server().url("postgres"), &levels, settings, None).await;
    let clients = world.tenants.iter().map(async |tenant| {
        let client = world.client(tenant).await;
        for _ in 0..5 {
            client.execute("INSERT INTO note (body) VALUES ('x')", &[]).await.unwrap();
        }
        let open: usize =
            world.gateway().view().await.pools.iter().map(|pool| pool.counts.used + pool.counts.idle).sum();
        assert!(open <= 3, "{open} sessions are open");
    });
    timeout(WAIT, futures_util::future::join_all(clients)).await.unwrap();
}
