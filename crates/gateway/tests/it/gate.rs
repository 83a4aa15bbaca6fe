//! Tenants that are shut, held, moved; and cancel requests.

use std::time::{Duration, Instant};

use tenantry_dataplane::Gate;
use tenantry_domain::gateway::{Mode, Whose};
use tenantry_domain::isolation::Isolation;
use tenantry_gateway::Settings;
use tenantry_gateway::table::{Change, Login, Verifier};
use tenantry_testkit::pg::server;
use tenantry_wire::client;
use tokio::time::timeout;

use crate::raw::{Raw, client_of, code, eventually, sessions, tags};
use crate::world::{WAIT, World, connect, password};

const LEVELS: [(Isolation, usize); 3] = [(Isolation::Shared, 2), (Isolation::Schema, 2), (Isolation::Database, 2)];

async fn world() -> World {
    World::new(&server().url("postgres"), &LEVELS, Settings::default(), None).await
}

#[tokio::test]
async fn a_shut_tenant_loses_its_sessions_and_its_neighbour_none() {
    let world = world().await;
    for pair in world.tenants.chunks(2) {
        let (shut, open) = (world.client(&pair[0]).await, world.client(&pair[1]).await);
        let tx = world.client(&pair[0]).await;
        tx.batch_execute("BEGIN; SELECT count(*) FROM note").await.unwrap();
        world.gate(&pair[0], Gate::Suspended).await;
        world.set_route(&pair[0], |route| route.gate = Gate::Suspended);
        let began = Instant::now();
        for client in [&shut, &tx] {
            while !client.is_closed() {
                assert!(began.elapsed() < WAIT, "{}", pair[0].slug);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        let error = connect(&world.dsn(&pair[0])).await.map(drop).unwrap_err();
        assert!(error.as_db_error().unwrap().message().contains("suspended"), "{error:?}");
        open.query("SELECT 1 FROM note", &[]).await.unwrap();
        world.gate(&pair[0], Gate::Open).await;
        world.set_route(&pair[0], |_| {});
        world.client(&pair[0]).await.query("SELECT 1 FROM note", &[]).await.unwrap();
    }
}

/// Revoked and made again before the gateway heard of either: the name is there all the time.
#[tokio::test]
async fn a_login_that_was_made_again_ends_the_sessions_of_the_one_before() {
    let world = World::new(&server().url("postgres"), &[(Isolation::Shared, 2)], Settings::default(), None).await;
    let (tenant, neighbour) = (&world.tenants[0], &world.tenants[1]);
    let (old, other) = (world.client(tenant).await, world.client(neighbour).await);
    let first = world.table.login(&tenant.slug.replace('-', "_")).unwrap();
    let put = |version: i64| {
        let text = tenantry_pg::scram::verifier(&password(first.name.as_str()).into()).into();
        let verifiers = vec![Verifier { text, until: None }];
        let login = Login { version: Some(version), verifiers, ..(*first).clone() };
        world.table.apply(vec![Change::Login(login.name.clone(), Some(login))]);
    };
    put(2);
    tokio::time::sleep(Duration::from_millis(300)).await;
    old.query("SELECT 1 FROM note", &[]).await.expect("a new password leaves who is there");
    put(4);
    let began = Instant::now();
    while !old.is_closed() {
        assert!(began.elapsed() < WAIT, "the session of a login that is gone goes on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    other.query("SELECT 1 FROM note", &[]).await.unwrap();
    world.client(tenant).await.query("SELECT 1 FROM note", &[]).await.unwrap();
}

#[tokio::test]
async fn the_database_has_the_last_word_about_a_gate() {
    let world = world().await;
    let tenant = &world.tenants[0];
    let client = world.client(tenant).await;
    client.query("SELECT 1 FROM note", &[]).await.unwrap();
    // The gateway has not heard of it.
    world.gate(tenant, Gate::Suspended).await;
    let late = tokio::spawn(async move {
        let rows = client.query("SELECT 1 FROM note", &[]).await;
        (client, rows.map(|rows| rows.len()))
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!late.is_finished(), "it waits for the gateway to hear of it");
    world.gate(tenant, Gate::Open).await;
    let (_, rows) = timeout(WAIT, late).await.unwrap().unwrap();
    assert_eq!(rows.unwrap(), 0, "and goes on as if nothing had been");
}

#[tokio::test]
async fn a_held_tenant_waits_and_its_neighbour_does_not() {
    let world = world().await;
    for pair in world.tenants.chunks(2) {
        let (held, other) = (world.client(&pair[0]).await, world.client(&pair[1]).await);
        timeout(WAIT, world.gateway().hold(pair[0].id, Duration::from_secs(60))).await.unwrap();
        let waiting = tokio::spawn(async move { held.query("SELECT 1 FROM note", &[]).await.map(drop) });
        other.query("SELECT 1 FROM note", &[]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!waiting.is_finished());
        world.gateway().release(pair[0].id).await;
        timeout(WAIT, waiting).await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_hold_waits_for_the_transaction_in_hand() {
    let world = world().await;
    let tenant = &world.tenants[0];
    let client = world.client(tenant).await;
    client.batch_execute("BEGIN; INSERT INTO note (body) VALUES ('in hand')").await.unwrap();
    let hold = world.gateway().hold(tenant.id, Duration::from_secs(60));
    tokio::pin!(hold);
    assert!(timeout(Duration::from_millis(100), &mut hold).await.is_err());
    client.batch_execute("COMMIT").await.unwrap();
    timeout(WAIT, hold).await.unwrap();
    world.gateway().release(tenant.id).await;
    assert_eq!(client.query("SELECT 1 FROM note", &[]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_tenant_with_another_generation_is_found_without_the_client_noticing() {
    let world = world().await;
    for tenant in world.tenants.iter().step_by(2) {
        let mut client = world.client(tenant).await;
        let statement = client.prepare("INSERT INTO note (body) VALUES ($1)").await.unwrap();
        client.execute(&statement, &[&"before"]).await.unwrap();
        let table = format!("UPDATE tenantry.tenant SET epoch = 2 WHERE tenant_id = '{}'", tenant.id.uuid());
        world.by_hand(&tenant.database, &table).await;
        let begun = tokio::spawn(async move {
            // The first statement of a transaction, after what only set it up.
            let tx = client.build_transaction().isolation_level(tokio_postgres::IsolationLevel::RepeatableRead);
            let tx = tx.start().await.unwrap();
            tx.execute(&statement, &[&"after"]).await.unwrap();
            let level: String = tx.query_one("SHOW transaction_isolation", &[]).await.unwrap().get(0);
            tx.commit().await.unwrap();
            (client.query("SELECT body FROM note ORDER BY id", &[]).await.unwrap().len(), level)
        });
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!begun.is_finished(), "nobody knows the new generation yet");
        world.set_route(tenant, |route| route.place.as_mut().unwrap().epoch = 2);
        let (rows, level) = timeout(WAIT, begun).await.unwrap().unwrap();
        assert_eq!((rows, level.as_str()), (2, "repeatable read"), "{}", tenant.slug);
    }
}

#[tokio::test]
async fn a_cancel_request_reaches_its_own_statement_only() {
    let mut settings = Settings::default();
    settings.pool.shared = 2;
    let world = World::new(&server().url("postgres"), &[(Isolation::Shared, 2)], settings, None).await;
    let (one, other) = (world.client(&world.tenants[0]).await, world.client(&world.tenants[1]).await);
    let token = one.cancel_token();
    let foreign = other.cancel_token();
    let began = Instant::now();
    let sleeping = tokio::spawn(async move { one.batch_execute("SELECT pg_sleep(30)").await });
    let neighbour = tokio::spawn(async move { (other.batch_execute("SELECT pg_sleep(1)").await, other) });
    // A request that comes too early hits nobody, either.
    eventually("it runs", WAIT, async || {
        sessions(&world, &world.tenants[0], "state = 'active' AND query LIKE '%pg_sleep(30)%'").await == 1
    })
    .await;
    token.cancel_query(tokio_postgres::NoTls).await.unwrap();
    let error = timeout(WAIT, sleeping).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.code().unwrap().code(), "57014");
    assert!(began.elapsed() < WAIT);
    let (slept, other) = neighbour.await.unwrap();
    slept.unwrap();
    // A request that comes too late hits nobody.
    foreign.cancel_query(tokio_postgres::NoTls).await.unwrap();
    other.query("SELECT 1 FROM note", &[]).await.unwrap();
}

#[tokio::test]
async fn a_client_that_is_looked_for_elsewhere_cancels_nobody() {
    let mut settings = Settings::default();
    settings.pool.shared = 1;
    let world = World::new(&server().url("postgres"), &[(Isolation::Shared, 2)], settings, None).await;
    let (one, other) = (world.client(&world.tenants[0]).await, world.client(&world.tenants[1]).await);
    let token = one.cancel_token();
    one.batch_execute("SELECT 1 FROM note").await.unwrap();
    // The database shuts the tenant, of which the gateway has not heard: it gives the session back and asks again.
    world.gate(&world.tenants[0], Gate::Suspended).await;
    let waiting = tokio::spawn(async move { one.batch_execute("SELECT 1 FROM note").await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let neighbour = tokio::spawn(async move { other.batch_execute("SELECT pg_sleep(2)").await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!waiting.is_finished() && !neighbour.is_finished());
    for _ in 0..10 {
        token.cancel_query(tokio_postgres::NoTls).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    timeout(WAIT, neighbour).await.unwrap().unwrap().expect("the neighbour sleeps to its end");
    world.gate(&world.tenants[0], Gate::Open).await;
    timeout(WAIT, waiting).await.unwrap().unwrap().unwrap();
}

/// A transaction by the extended protocol, without a Sync.
fn put_transaction(out: &mut bytes::BytesMut) {
    for sql in ["BEGIN", "INSERT INTO note (body) VALUES ('x')", "COMMIT"] {
        client::put_parse(out, b"", sql.as_bytes(), &[]);
        client::put_bind(out, b"", b"");
        client::put_execute(out, b"");
    }
    client::put_flush(out);
}

/// Hears the answers to so many transactions.
async fn committed(raw: &mut Raw, count: usize) {
    for _ in 0..count * 3 {
        let heard = timeout(WAIT, raw.until(b'C')).await.unwrap();
        assert_eq!(tags(&heard), "12C");
    }
}

#[tokio::test]
async fn transactions_that_are_sent_without_waiting_wait_for_the_rate_and_for_a_hold() {
    let url = server().url("postgres");
    let world = World::new(&url, &[(Isolation::Shared, 1)], Settings::default(), None).await;
    let tenant = &world.tenants[0];
    world.set_route(tenant, |route| {
        route.rate = "20/s".parse::<tenantry_domain::quantity::Quantity>().unwrap().rate();
    });
    let mut raw = client_of(world.gateway().address().port(), tenant).await;
    let began = Instant::now();
    assert!(raw.say(|out| (0..40).for_each(|_| put_transaction(out))).await);
    committed(&mut raw, 40).await;
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(800), "{took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(raw.say(client::put_sync).await);
    raw.until(b'Z').await;
    // Nor does it matter that the server said before them that a transaction is open.
    raw.query("BEGIN").await;
    let began = Instant::now();
    let put = |out: &mut bytes::BytesMut| {
        client::put_parse(out, b"", b"COMMIT", &[]);
        client::put_bind(out, b"", b"");
        client::put_execute(out, b"");
        (0..40).for_each(|_| put_transaction(out));
    };
    assert!(raw.say(put).await);
    assert_eq!(tags(&timeout(WAIT, raw.until(b'C')).await.unwrap()), "12C");
    committed(&mut raw, 40).await;
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(800), "{took:?}");
    // Between two of them nothing is in hand.
    world.set_route(tenant, |_| {});
    assert!(raw.say(client::put_sync).await);
    raw.until(b'Z').await;
    assert!(raw.say(put_transaction).await);
    committed(&mut raw, 1).await;
    let hold = world.gateway().hold(tenant.id, Duration::from_secs(60));
    tokio::pin!(hold);
    // What was not ended by a Sync may be the beginning of the next one, until that is asked for.
    let _ = timeout(Duration::from_millis(50), &mut hold).await;
    assert!(raw.say(put_transaction).await);
    assert!(timeout(Duration::from_secs(5), &mut hold).await.is_ok(), "nothing is in hand");
    assert!(timeout(Duration::from_millis(300), raw.hear()).await.is_err(), "it is held");
    world.gateway().release(tenant.id).await;
    committed(&mut raw, 1).await;
}

#[tokio::test]
async fn a_pipeline_whose_rate_is_used_up_ends_and_gives_its_session_back() {
    let mut settings = Settings::default();
    (settings.pool.server, settings.pool.wait) = (1, Duration::from_millis(300));
    let world = World::new(&server().url("postgres"), &[(Isolation::Shared, 2)], settings, None).await;
    let (mine, other) = (&world.tenants[0], &world.tenants[1]);
    world.set_route(mine, |route| {
        route.rate = "1/min".parse::<tenantry_domain::quantity::Quantity>().unwrap().rate();
    });
    let neighbour = world.client(other).await;
    let mut raw = client_of(world.gateway().address().port(), mine).await;
    assert!(raw.say(|out| (0..3).for_each(|_| put_transaction(out))).await);
    // What was let in is answered, whatever follows.
    committed(&mut raw, 1).await;
    let heard = timeout(WAIT, raw.until(b'E')).await.unwrap();
    assert_eq!(code(&heard), "53400");
    assert!(raw.hear().await.is_none(), "its connection is over");
    neighbour.simple_query("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn a_plan_bounds_how_often_and_how_long() {
    let url = tenantry_testkit::pg::server().url("postgres");
    let world = World::new(&url, &[(Isolation::Shared, 2)], Settings::default(), None).await;
    let (mine, other) = (&world.tenants[0], &world.tenants[1]);
    world.set_route(mine, |route| {
        route.rate = "20/s".parse::<tenantry_domain::quantity::Quantity>().unwrap().rate();
        route.statement = Some(Duration::from_secs(1));
    });
    let (client, second, neighbour) = (world.client(mine).await, world.client(mine).await, world.client(other).await);
    let began = Instant::now();
    for _ in 0..20 {
        client.simple_query("SELECT 1").await.unwrap();
        second.simple_query("SELECT 1").await.unwrap();
    }
    // Twenty at once, and twenty at twenty a second; the rate is the tenant's, not a client's.
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(800), "{took:?}");
    let began = Instant::now();
    for _ in 0..100 {
        neighbour.simple_query("SELECT 1").await.unwrap();
    }
    // At the same rate it would take four seconds.
    assert!(began.elapsed() < Duration::from_secs(3), "a neighbour was held back: {:?}", began.elapsed());
    assert!(world.gateway().view().await.counted.all().throttled > 0);
    let began = Instant::now();
    let error = client.simple_query("SELECT pg_sleep(20)").await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "57014", "{error}");
    assert!(began.elapsed() < Duration::from_secs(5));
    neighbour.simple_query("SELECT pg_sleep(1.6)").await.unwrap();
}

#[tokio::test]
async fn listening_without_a_session_of_its_own_is_refused_and_not_lost() {
    let url = tenantry_testkit::pg::server().url("postgres");
    let world = World::new(&url, &[(Isolation::Schema, 1)], Settings::default(), None).await;
    let client = world.client(&world.tenants[0]).await;
    for text in ["LISTEN news", " /* a */ listen news;", "SELECT 1; LISTEN news"] {
        let error = client.simple_query(text).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!(error.code().code(), "0A000", "{text}: {error}");
        assert!(error.hint().unwrap().contains("--session"), "{error:?}");
    }
    let error = client.query("LISTEN news", &[]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "0A000", "{error}");
    client.simple_query("NOTIFY news").await.unwrap();
    world.login("stays", Whose::Tenant(world.tenants[0].id), Mode::Session);
    let session = connect(&world.dsn_as("stays", &world.tenants[0].slug)).await.unwrap();
    session.simple_query("LISTEN news").await.unwrap();
}
