//! Session mode: a client that keeps its server session has all of PostgreSQL, and leaves nothing behind.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use tenantry_domain::gateway::{Mode, Whose};
use tenantry_domain::isolation::Isolation;
use tenantry_gateway::Settings;
use tokio_postgres::AsyncMessage;

use crate::raw::eventually;
use crate::world::{WAIT, World, connect};

const LEVELS: [(Isolation, usize); 2] = [(Isolation::Schema, 1), (Isolation::Database, 1)];

async fn world(own: usize) -> World {
    let mut settings = Settings::default();
    settings.pool.own = own;
    settings.pool.wait = Duration::from_millis(500);
    let world = World::new(&tenantry_testkit::pg::server().url("postgres"), &LEVELS, settings, None).await;
    for tenant in &world.tenants {
        world.login(&format!("stays_{}", tenant.level.as_str()), Whose::Tenant(tenant.id), Mode::Session);
    }
    world
}

fn dsn(world: &World, place: usize) -> String {
    let tenant = &world.tenants[place];
    world.dsn_as(&format!("stays_{}", tenant.level.as_str()), &tenant.slug)
}

/// Waits until clients hold so many server sessions.
async fn in_hand(world: &World, many: usize) {
    eventually("places are given back", WAIT, async || {
        let view = world.gateway().view().await;
        view.pools.iter().map(|pool| pool.counts.used).sum::<usize>() == many
    })
    .await;
}

#[tokio::test]
async fn what_a_session_has_lasts_as_long_as_its_client() {
    let world = world(4).await;
    for place in 0..2 {
        let client = connect(&dsn(&world, place)).await.unwrap();
        client.batch_execute("SET statement_timeout = '7s'; PREPARE one AS SELECT 1").await.unwrap();
        client
            .batch_execute("BEGIN; DECLARE held CURSOR WITH HOLD FOR SELECT generate_series(1, 3); COMMIT")
            .await
            .unwrap();
        client.batch_execute("SELECT pg_advisory_lock(42)").await.unwrap();
        let pid = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get::<_, i32>(0);
        // Another client of the same tenant takes turns on another session.
        world.client(&world.tenants[place]).await.simple_query("SELECT 1").await.unwrap();
        client.batch_execute("EXECUTE one; FETCH ALL FROM held").await.unwrap();
        assert_eq!(client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get::<_, i32>(0), pid);
        let timeout = client.query_one("SHOW statement_timeout", &[]).await.unwrap();
        assert_eq!(timeout.get::<_, &str>(0), "7s");
        // Each of its transactions is the tenant's, also the one behind a COMMIT in a pipeline of its own.
        client.batch_execute("INSERT INTO note (body) VALUES ('a'); BEGIN; INSERT INTO note (body) VALUES ('b'); COMMIT; SELECT * FROM note").await.unwrap();
        assert_eq!(client.query_one("SELECT count(*) FROM note", &[]).await.unwrap().get::<_, i64>(0), 2);
        drop(client);
        // The next one finds a session that is as new.
        let next = connect(&dsn(&world, place)).await.unwrap();
        let error = next.batch_execute("EXECUTE one").await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "26000");
        let error = next.batch_execute("FETCH ALL FROM held").await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "34000");
        // Its session may be on its way out while the next one has another.
        let began = std::time::Instant::now();
        while !next.query_one("SELECT pg_try_advisory_lock(42)", &[]).await.unwrap().get::<_, bool>(0) {
            assert!(began.elapsed().as_secs() < 10, "the lock of the client before is held");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let timeout = next.query_one("SHOW statement_timeout", &[]).await.unwrap();
        assert_ne!(timeout.get::<_, &str>(0), "7s");
    }
}

#[tokio::test]
async fn notifications_reach_a_client_that_is_idle() {
    let world = world(4).await;
    for place in 0..2 {
        let dsn = dsn(&world, place);
        let (client, mut connection) = tokio_postgres::connect(&dsn, tokio_postgres::NoTls).await.unwrap();
        let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let mut messages = stream::poll_fn(move |cx| connection.poll_message(cx));
        tokio::spawn(async move {
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notification(note) = message {
                    let _ = sender.send(note.payload().to_owned());
                }
            }
        });
        client.batch_execute("LISTEN news").await.unwrap();
        let other = world.client(&world.tenants[place]).await;
        other.batch_execute("NOTIFY news, 'hello'").await.unwrap();
        assert_eq!(tokio::time::timeout(WAIT, heard.recv()).await.unwrap().unwrap(), "hello");
        client.simple_query("SELECT 1").await.unwrap();
    }
}

#[tokio::test]
async fn sessions_that_stay_count_and_a_full_house_says_so() {
    let world = world(2).await;
    let (first, second) = (connect(&dsn(&world, 0)).await.unwrap(), connect(&dsn(&world, 0)).await.unwrap());
    for client in [&first, &second] {
        client.simple_query("SELECT 1").await.unwrap();
    }
    let third = connect(&dsn(&world, 0)).await;
    let error = match third {
        Ok(third) => third.simple_query("SELECT 1").await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.code().unwrap().code(), "53300", "{error}");
    drop(first);
    in_hand(&world, 1).await;
    connect(&dsn(&world, 0)).await.unwrap().simple_query("SELECT 1").await.unwrap();
    // Ended from outside, it gives its place back as well.
    let view = world.gateway().view().await;
    for session in &view.sessions {
        // One that was dropped just now may be gone by itself.
        world.gateway().kill(session.id).await;
    }
    assert!(second.simple_query("SELECT 1").await.is_err());
    in_hand(&world, 0).await;
    let again = [connect(&dsn(&world, 0)).await.unwrap(), connect(&dsn(&world, 0)).await.unwrap()];
    for client in &again {
        client.simple_query("SELECT 1").await.unwrap();
    }
}

#[tokio::test]
async fn a_hold_holds_sessions_that_stay() {
    let world = world(4).await;
    let tenant = &world.tenants[0];
    let client = connect(&dsn(&world, 0)).await.unwrap();
    client.batch_execute("PREPARE one AS SELECT 1").await.unwrap();
    assert!(world.gateway().hold(tenant.id, Duration::from_secs(60)).await, "nothing is in hand");
    let waiting = client.batch_execute("BEGIN; EXECUTE one; COMMIT");
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut waiting).await.is_err(), "it is not held");
    world.gateway().release(tenant.id).await;
    tokio::time::timeout(WAIT, waiting).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_session_that_lost_its_binding_keeps_all_else() {
    let world = world(4).await;
    for place in 0..2 {
        let client = connect(&dsn(&world, place)).await.unwrap();
        client.batch_execute("PREPARE one AS SELECT 1").await.unwrap();
        // There is another session that could be taken instead.
        world.client(&world.tenants[place]).await.simple_query("SELECT 1").await.unwrap();
        for _ in 0..2 {
            client.batch_execute("DISCARD SEQUENCES").await.unwrap();
            client.batch_execute("EXECUTE one; SELECT 1 FROM note").await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_transaction_after_a_lost_binding_begins_again_where_it_was() {
    let world = world(4).await;
    for place in 0..2 {
        // There is no second place that it could begin in.
        world.set_route(&world.tenants[place], |route| route.connections = Some(1));
        let client = connect(&dsn(&world, place)).await.unwrap();
        // What drivers send when a connection goes back to a pool of their own. The client has run nothing yet.
        client.batch_execute("DISCARD ALL").await.unwrap();
        for sql in ["BEGIN", "SELECT 1 FROM note", "COMMIT"] {
            client.batch_execute(sql).await.unwrap();
        }
        let pid = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get::<_, i32>(0);
        for discard in ["DISCARD ALL", "DISCARD SEQUENCES"] {
            client.batch_execute(discard).await.unwrap();
            for sql in ["BEGIN", "INSERT INTO note (body) VALUES ('a')", "COMMIT"] {
                client.batch_execute(sql).await.unwrap();
            }
            client.batch_execute(discard).await.unwrap();
            client.batch_execute("BEGIN; INSERT INTO note (body) VALUES ('b'); ROLLBACK").await.unwrap();
        }
        assert_eq!(client.query_one("SELECT count(*) FROM note", &[]).await.unwrap().get::<_, i64>(0), 2);
        assert_eq!(client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get::<_, i32>(0), pid);
    }
}

#[tokio::test]
async fn a_session_that_stays_ends_when_its_tenant_moves() {
    let world = world(4).await;
    for place in 0..2 {
        let tenant = &world.tenants[place];
        let client = connect(&dsn(&world, place)).await.unwrap();
        client.batch_execute("SELECT pg_advisory_lock(43)").await.unwrap();
        let table = format!("UPDATE tenantry.tenant SET epoch = 2 WHERE tenant_id = '{}'", tenant.id.uuid());
        world.by_hand(&tenant.database, &table).await;
        world.set_route(tenant, |route| route.place.as_mut().unwrap().epoch = 2);
        let error = client.batch_execute("SELECT 1 FROM note").await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "57P01", "{error}");
        let next = connect(&dsn(&world, place)).await.unwrap();
        next.batch_execute("SELECT 1 FROM note").await.unwrap();
    }
}
