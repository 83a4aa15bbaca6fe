//! What a client sees: the same as of PostgreSQL, and its own tenant.

use futures_util::future::join_all;
use tenantry_domain::isolation::Isolation;
use tenantry_gateway::Settings;
use tenantry_testkit::pg::server;

use crate::world::{World, connect};

const LEVELS: [(Isolation, usize); 3] = [(Isolation::Shared, 2), (Isolation::Schema, 2), (Isolation::Database, 2)];

async fn world() -> World {
    World::new(&server().url("postgres"), &LEVELS, Settings::default(), None).await
}

#[tokio::test]
async fn every_tenant_sees_its_own_rows_at_every_level() {
    let world = world().await;
    for tenant in &world.tenants {
        let client = world.client(tenant).await;
        let body = format!("secret of {}", tenant.slug);
        client.execute("INSERT INTO note (body) VALUES ($1)", &[&body]).await.unwrap();
    }
    for tenant in &world.tenants {
        let client = world.client(tenant).await;
        let rows = client.query("SELECT body FROM note", &[]).await.unwrap();
        let bodies: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(bodies, [format!("secret of {}", tenant.slug)]);
        let simple = client.simple_query("SELECT tenant_id FROM note; SELECT 1").await.unwrap();
        assert_eq!(simple.len(), 6, "{simple:?}");
    }
}

#[tokio::test]
async fn transactions_roll_back_and_commit() {
    let world = world().await;
    for tenant in &world.tenants {
        let mut client = world.client(tenant).await;
        let tx = client.transaction().await.unwrap();
        tx.execute("INSERT INTO note (body) VALUES ('gone')", &[]).await.unwrap();
        tx.rollback().await.unwrap();
        let tx = client.build_transaction().isolation_level(tokio_postgres::IsolationLevel::Serializable).start().await;
        let tx = tx.unwrap();
        tx.execute("INSERT INTO note (body) VALUES ('kept')", &[]).await.unwrap();
        let level: String = tx.query_one("SHOW transaction_isolation", &[]).await.unwrap().get(0);
        assert_eq!(level, "serializable");
        tx.commit().await.unwrap();
        let error = client.simple_query("SELECT 1/0").await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "22012");
        let rows = client.query("SELECT body FROM note", &[]).await.unwrap();
        assert_eq!(rows.len(), 1, "{}", tenant.slug);
    }
}

#[tokio::test]
async fn one_server_session_serves_many_tenants_and_clients() {
    let mut settings = Settings::default();
    settings.pool.shared = 1;
    let world = World::new(&server().url("postgres"), &[(Isolation::Shared, 5)], settings, None).await;
    let clients = world.tenants.iter().flat_map(|tenant| [tenant; 4]).map(|tenant| async {
        let client = world.client(tenant).await;
        let statement = client.prepare("SELECT count(*) FROM note WHERE body <> $1").await.unwrap();
        for number in 0..20_i64 {
            let body = format!("{} {number}", tenant.slug);
            client.execute("INSERT INTO note (body) VALUES ($1)", &[&body]).await.unwrap();
            let count: i64 = client.query_one(&statement, &[&"x"]).await.unwrap().get(0);
            assert!(count > number, "{count} of {number}");
        }
        let foreign = client.query("SELECT 1 FROM note WHERE body NOT LIKE $1", &[&format!("{} %", tenant.slug)]).await;
        assert!(foreign.unwrap().is_empty());
    });
    join_all(clients).await;
    let view = world.gateway().view().await;
    assert_eq!(view.pools.len(), 1);
    assert_eq!(view.pools[0].counts.used + view.pools[0].counts.idle, 1);
    let transactions = view.counted.all().transactions;
    assert!(transactions >= 800, "{transactions}");
}

#[tokio::test]
async fn a_service_names_the_tenant_by_the_database() {
    let world = world().await;
    for tenant in &world.tenants {
        let client = connect(&world.dsn_as("service", &tenant.slug)).await.unwrap();
        client.execute("INSERT INTO note (body) VALUES ('x')", &[]).await.unwrap();
        let id: uuid::Uuid = client.query_one("SELECT tenant_id FROM note", &[]).await.unwrap().get(0);
        assert_eq!(id, tenant.id.uuid());
    }
    let error = connect(&world.dsn_as("service", "nobody")).await.map(drop).unwrap_err();
    assert_eq!(error.code().unwrap().code(), "28000");
    let other = &world.tenants[1].slug;
    let error = connect(&world.dsn_as("shared_0", other)).await.map(drop).unwrap_err();
    assert_eq!(error.code().unwrap().code(), "3D000");
}

#[tokio::test]
async fn a_statement_that_could_not_be_prepared_may_be_prepared_again() {
    let world = world().await;
    for tenant in world.tenants.iter().step_by(2) {
        let client = world.client(tenant).await;
        // The driver numbers its statements; what fails and what follows share a pipeline.
        for _ in 0..3 {
            let (wrong, right) = futures_util::join!(client.prepare("SELECT nonsense"), client.prepare("SELECT 1"));
            assert_eq!(wrong.unwrap_err().code().unwrap().code(), "42703");
            let row = client.query_one(&right.unwrap(), &[]).await.unwrap();
            assert_eq!(row.get::<_, i32>(0), 1);
        }
    }
}

#[tokio::test]
async fn nothing_that_follows_a_failed_statement_of_a_query_is_run() {
    let world = world().await;
    for tenant in &world.tenants {
        let client = world.client(tenant).await;
        let queries = [
            "SELECT 1/0; BEGIN; INSERT INTO note (body) VALUES ('x'); COMMIT",
            "INSERT INTO nowhere VALUES (1); BEGIN; INSERT INTO note (body) VALUES ('x'); COMMIT; SELECT 1; BEGIN; COMMIT",
            "BEGIN ISOLATION LEVEL none; INSERT INTO note (body) VALUES ('x')",
            "BEGIN; COMMIT; SELECT 1/0; BEGIN; INSERT INTO note (body) VALUES ('x'); COMMIT",
        ];
        for query in queries {
            let error = client.batch_execute(query).await.unwrap_err();
            let code = error.code().unwrap().code().to_owned();
            assert!(["22012", "42P01", "42601"].contains(&code.as_str()), "{query}: {error:?}");
            // The answer to the next statement is its own, and finds nothing.
            let rows: i64 = client.query_one("SELECT count(*) FROM note", &[]).await.unwrap().get(0);
            assert_eq!(rows, 0, "{query}");
        }
        client.batch_execute("BEGIN; INSERT INTO note (body) VALUES ('kept'); COMMIT").await.unwrap();
        assert_eq!(client.query("SELECT 1 FROM note", &[]).await.unwrap().len(), 1);
    }
}
