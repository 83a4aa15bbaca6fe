//! The administrator's console, by a driver that knows nothing of it.

use std::time::{Duration, Instant};

use tenantry_domain::isolation::Isolation;
use tenantry_gateway::{Settings, admin};
use tokio_postgres::SimpleQueryMessage;

use crate::world::{World, connect, password};

async fn world() -> World {
    let url = tenantry_testkit::pg::server().url("postgres");
    World::new(&url, &[(Isolation::Shared, 2)], Settings::default(), None).await
}

fn rows(messages: &[SimpleQueryMessage]) -> Vec<Vec<String>> {
    let row = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|place| row.get(place).unwrap_or_default().to_owned()).collect())
        }
        _ => None,
    };
    messages.iter().filter_map(row).collect()
}

#[tokio::test]
async fn an_administrator_sees_holds_releases_and_ends() {
    let world = world().await;
    let (mine, other) = (&world.tenants[0], &world.tenants[1]);
    let client = world.client(mine).await;
    client.execute("INSERT INTO note (body) VALUES ('x')", &[]).await.unwrap();
    let console = connect(&world.dsn_as(admin::NAME, admin::NAME)).await.unwrap();
    // The driver closes its statement after the answer.
    let mut sessions = Vec::new();
    for _ in 0..100 {
        sessions = rows(&console.simple_query("show sessions").await.unwrap());
        if sessions.iter().all(|session| session[5] == "idle") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    assert!(sessions[0][1].ends_with(&mine.slug), "{sessions:?}");
    assert_eq!(sessions[0][5], "idle");
    // The extended protocol knows the columns before the rows.
    let pools = console.query("SHOW POOLS", &[]).await.unwrap();
    assert_eq!((pools.len(), pools[0].get::<_, &str>("idle")), (1, "1"));
    for table in ["help", "tenants", "holds", "stats", "feed", "settings", "version"] {
        let found = console.simple_query(&format!("SHOW {table};")).await.unwrap();
        assert!(table == "holds" || !rows(&found).is_empty(), "{table}");
    }

    console.simple_query(&format!("HOLD {} 30", mine.slug)).await.unwrap();
    assert_eq!(rows(&console.simple_query("SHOW HOLDS").await.unwrap()).len(), 1);
    let began = Instant::now();
    let waiting = client.query_one("SELECT count(*) FROM note", &[]);
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut waiting).await.is_err(), "it was not held");
    // Neighbours go on.
    world.client(other).await.query_one("SELECT 1", &[]).await.unwrap();
    console.simple_query(&format!("RELEASE {}", mine.id)).await.unwrap();
    assert_eq!(waiting.await.unwrap().get::<_, i64>(0), 1);
    assert!(began.elapsed() >= Duration::from_millis(300));

    console.simple_query(&format!("KILL {}", sessions[0][0])).await.unwrap();
    let error = client.query_one("SELECT 1", &[]).await.unwrap_err();
    assert!(error.is_closed() || error.code().is_some_and(|code| code.code() == "57P01"), "{error}");
}

#[tokio::test]
async fn the_console_refuses_with_a_hint_and_goes_on() {
    let world = world().await;
    let console = connect(&world.dsn_as(admin::NAME, admin::NAME)).await.unwrap();
    for (text, code) in [
        ("SELECT * FROM note", "42601"),
        ("HOLD nobody", "42704"),
        ("KILL 123456", "42704"),
        ("HOLD shared-0 100000", "42601"),
        ("RELOAD", "55000"),
    ] {
        let error = console.simple_query(text).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), code, "{text}: {error}");
    }
    let error = console.query("SHOW $1", &[&"x"]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "42601");
    assert_eq!(console.query("SHOW VERSION", &[]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn nobody_but_the_administrator_gets_a_console() {
    let world = world().await;
    let port = world.gateway().address().port();
    let wrong = connect(&format!("postgres://tenantry:wrong@127.0.0.1:{port}/tenantry")).await.err().unwrap();
    assert_eq!(wrong.code().unwrap().code(), "28P01");
    // A tenant's login and its password do not open it, by whatever name.
    let mine = &world.tenants[0];
    let password = password(&mine.slug.replace('-', "_")).replace(' ', "%20");
    let wrong = connect(&format!("postgres://tenantry:{password}@127.0.0.1:{port}/tenantry")).await.err().unwrap();
    assert_eq!(wrong.code().unwrap().code(), "28P01");
    assert!(connect(&world.dsn_as(&mine.slug.replace('-', "_"), "tenantry")).await.is_err());
}
