//! What happens when a server, a session or a client is gone.

use std::path::Path;
use std::time::{Duration, Instant};

use tenantry_domain::isolation::Isolation;
use tenantry_gateway::Settings;
use tenantry_testkit::pg::{private_server, server};
use tenantry_wire::client;
use tokio::time::timeout;

use crate::raw::{client_of, eventually, sessions};
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
        let of = format!("FROM pg_stat_activity WHERE usename = '{}'", world.tenants[0].role);
        let process = world.number("postgres", &format!("SELECT pid::int8 {of}")).await;
        world.by_hand("postgres", &format!("SELECT pg_terminate_backend(pid) {of}")).await;
        // What was unused is replaced without a word, unless the news of its end is still on its way: its process closes the
        // connection last of all.
        let began = Instant::now();
        while Path::new(&format!("/proc/{process}")).exists() {
            assert!(began.elapsed() < WAIT, "the session does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
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

/// A statement by the extended protocol, without its end.
fn put(out: &mut bytes::BytesMut, sql: &str) {
    client::put_parse(out, b"", sql.as_bytes(), &[]);
    client::put_bind(out, b"", b"");
    client::put_execute(out, b"");
}

/// A transaction in which the server session is lost, all of it sent before any answer.
const LOST: [&str; 5] = [
    "BEGIN",
    "INSERT INTO note (body) VALUES ('first')",
    "SELECT pg_sleep(60)",
    "INSERT INTO note (body) VALUES ('second')",
    "COMMIT",
];

#[tokio::test]
async fn a_transaction_is_lost_as_a_whole_with_its_session() {
    let world = World::new(&server().url("postgres"), &[(Isolation::Shared, 1)], Settings::default(), None).await;
    let tenant = &world.tenants[0];
    for form in ["queries", "synced", "begun in one pipeline"] {
        let mut raw = client_of(world.gateway().address().port(), tenant).await;
        let sent = raw.say(|out| {
            for (place, sql) in LOST.iter().enumerate() {
                match form {
                    "queries" => client::put_query(out, sql.as_bytes()),
                    _ => put(out, sql),
                }
                // The transaction begins, and nothing has said so, when its session is lost.
                if form == "synced" || form == "begun in one pipeline" && place >= 2 {
                    client::put_sync(out);
                }
            }
        });
        assert!(sent.await);
        eventually("it sleeps", WAIT, async || {
            sessions(&world, tenant, "query LIKE '%pg_sleep%' AND state = 'active'").await == 1
        })
        .await;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'active' AND usename = ";
        world.by_hand("postgres", &format!("{end}'{}'", tenant.role)).await;
        let said = raw.rest(WAIT).await.expect("the connection ends");
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("FATAL") && said.contains("is not known"), "{form}: {said:?}");
        let other = world.client(tenant).await;
        let kept: i64 = other.query_one("SELECT count(*) FROM note", &[]).await.unwrap().get(0);
        assert_eq!(kept, 0, "{form}");
    }
}

#[tokio::test]
async fn a_transaction_that_is_refused_is_refused_as_a_whole() {
    let mut settings = Settings::default();
    settings.pool.shared = 1;
    settings.pool.wait = Duration::from_millis(400);
    let world = World::new(&server().url("postgres"), &[(Isolation::Shared, 1)], settings, None).await;
    let tenant = &world.tenants[0];
    let holder = world.client(tenant).await;
    for form in ["queries", "one query", "synced", "behind a Close"] {
        let mut raw = client_of(world.gateway().address().port(), tenant).await;
        holder.batch_execute("BEGIN; SELECT 1 FROM note").await.unwrap();
        let statements = ["BEGIN", "INSERT INTO note (body) VALUES ('outside')", "COMMIT"];
        let sent = raw.say(|out| {
            match form {
                "one query" => {
                    client::put_query(out, b"BEGIN; SELECT 1");
                    return client::put_query(out, statements[1].as_bytes());
                }
                "behind a Close" => client::put_close(out, client::Kind::Statement, b"old"),
                _ => {}
            }
            for sql in statements {
                match form {
                    "queries" => client::put_query(out, sql.as_bytes()),
                    _ => {
                        put(out, sql);
                        client::put_sync(out);
                    }
                }
            }
        });
        assert!(sent.await);
        // The BEGIN is refused by now, and what follows it would be waiting for a place.
        tokio::time::sleep(Duration::from_millis(600)).await;
        holder.batch_execute("COMMIT").await.unwrap();
        let said = raw.rest(WAIT).await.expect("the connection ends");
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("FATAL") && said.contains("53300"), "{form}: {said:?}");
        let kept: i64 = holder.query_one("SELECT count(*) FROM note", &[]).await.unwrap().get(0);
        assert_eq!(kept, 0, "{form}");
    }
    // Whatever begins no transaction is refused by itself, and the client goes on.
    let mut raw = client_of(world.gateway().address().port(), tenant).await;
    holder.batch_execute("BEGIN; SELECT 1 FROM note").await.unwrap();
    assert_eq!(crate::raw::code(&raw.query("SELECT 1").await), "53300");
    raw.say(|out| {
        put(out, "SELECT 1");
        client::put_sync(out);
    })
    .await;
    assert_eq!(crate::raw::code(&raw.until(b'Z').await), "53300");
    holder.batch_execute("COMMIT").await.unwrap();
    assert_eq!(crate::raw::code(&raw.query("SELECT 1").await), "");
}
