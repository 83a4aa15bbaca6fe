//! Statements that go on without their client: what they take stays taken until the server is done with them.

use std::time::Duration;

use tenantry_domain::isolation::Isolation;
use tenantry_gateway::Settings;
use tenantry_testkit::pg::server;
use tenantry_wire::client;
use tokio::time::{sleep, timeout};

use crate::raw::{client_of, code, eventually, sessions};
use crate::world::{WAIT, World};

/// It catches every cancel request.
const DEAF: &str =
    "DO $$BEGIN LOOP BEGIN PERFORM pg_sleep(30); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END$$";

#[tokio::test]
async fn a_statement_that_does_not_end_keeps_its_place() {
    let mut settings = Settings::default();
    (settings.pool.shared, settings.pool.per_tenant) = (3, 2);
    settings.pool.wait = Duration::from_millis(300);
    let world = World::new(&server().url("postgres"), &[(Isolation::Shared, 2)], settings, None).await;
    let (tenant, port) = (&world.tenants[0], world.gateway().address().port());
    let running = async || sessions(&world, tenant, "state = 'active'").await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(client_of(port, tenant).await);
    }
    for mut raw in clients {
        assert!(raw.say(|out| client::put_query(out, DEAF.as_bytes())).await);
        let _ = timeout(Duration::from_secs(1), raw.hear()).await;
        drop(raw);
        sleep(Duration::from_millis(200)).await;
        let running = running().await;
        assert!(running <= 2, "{running} statements run in the places of two");
    }
    assert_eq!(running().await, 2);
    // The tenant has used up what is its own, and its neighbour has the rest.
    let mut other = client_of(port, &world.tenants[1]).await;
    assert_eq!(code(&other.query("SELECT 1 FROM note").await), "");
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'active' AND usename = ";
    world.by_hand("postgres", &format!("{end}'{}'", tenant.role)).await;
    // Once the server is done with them the places are free.
    let mut own = client_of(port, tenant).await;
    eventually("the places are free", WAIT, async || code(&own.query("SELECT 1 FROM note").await).is_empty()).await;
    let used = async || world.gateway().view().await.pools.iter().map(|pool| pool.counts.used).sum::<usize>();
    eventually("all places are free", WAIT, async || used().await == 0).await;
}
