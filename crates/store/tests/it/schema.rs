//! What holds of the tables themselves.

use tenantry_store::Store;
use tenantry_testkit::pg::server;

use crate::world::{World, mutation, options};

async fn texts(world: &World, sql: &'static str) -> Vec<String> {
    let conn = world.store.pool().get().await.unwrap();
    let rows = conn.query(sql, &[]).await.unwrap();
    conn.release();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Tables without an environment, and why that is right.
const WITHOUT_ENVIRONMENT: [&str; 7] = [
    "environment",  // it is the environment
    "installation", // one row for all of them
    "migration",    // the ledger of the schema itself
    "replica",      // a process serves all of them
    "stream_lane",  // a stream takes the events of all of them
    "stream_sink",
    "webhook_pump", // so does one that sends
];

/// Tables that are evidence.
const APPEND_ONLY: [&str; 5] = ["audit", "catalog_version", "journal", "outbox", "tenant_version"];

#[tokio::test]
async fn every_table_belongs_to_an_environment_or_is_a_known_exception() {
    let world = World::new().await;
    let without = texts(
        &world,
        "SELECT t.tablename::text FROM pg_tables AS t WHERE t.schemaname = 'tenantry' AND NOT EXISTS (
            SELECT FROM information_schema.columns AS c
            WHERE c.table_schema = t.schemaname AND c.table_name = t.tablename AND c.column_name = 'env'
        ) ORDER BY 1",
    )
    .await;
    assert_eq!(without, WITHOUT_ENVIRONMENT);
    // Where it is, it is owed, except for a token that reaches all of them, and it leads the primary key or stands
    // beside an id that is unique everywhere.
    let nullable = texts(
        &world,
        "SELECT table_name::text FROM information_schema.columns
         JOIN pg_tables ON schemaname = table_schema AND tablename = table_name
         WHERE table_schema = 'tenantry' AND column_name = 'env' AND is_nullable = 'YES'",
    )
    .await;
    assert_eq!(nullable, ["token"]);
    let global_keys = texts(
        &world,
        "SELECT c.relname::text FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid
         JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
         WHERE c.relnamespace = 'tenantry'::regnamespace AND i.indisprimary AND a.attname <> 'env' ORDER BY 1",
    )
    .await;
    assert_eq!(
        global_keys,
        [
            "environment",
            "installation",
            "journal",
            "mail",
            "migration",
            "replica",
            "stream_lane",
            "stream_sink",
            "token",
            "webhook_pump",
            "workflow"
        ]
    );
}

#[tokio::test]
async fn no_column_could_hold_a_password() {
    let world = World::new().await;
    let suspects = texts(
        &world,
        "SELECT table_name || '.' || column_name FROM information_schema.columns
         WHERE table_schema = 'tenantry' AND column_name ~* '(pass|pwd|secret|credential|private|url|uri|dsn|conn|cert|salt)'",
    ).await;
    assert_eq!(suspects, [] as [&str; 0]);
    // A credential's only trace is a digest of fixed length.
    assert_eq!(
        world
            .number("SELECT count(*) FROM pg_constraint WHERE conrelid = 'tenantry.token'::regclass AND pg_get_constraintdef(oid) LIKE '%octet_length(hash) = 32%'")
            .await,
        1
    );
}

#[tokio::test]
async fn evidence_cannot_be_changed_by_anybody_who_means_no_harm() {
    let world = World::new().await;
    let id = world.create("acme").await.id;
    let conn = world.store.pool().get().await.unwrap();
    for statement in [
        "UPDATE tenantry.audit SET entry = entry",
        "DELETE FROM tenantry.audit",
        "TRUNCATE tenantry.audit",
        "UPDATE tenantry.outbox SET data = data",
        "DELETE FROM tenantry.outbox",
        "TRUNCATE tenantry.outbox",
        "UPDATE tenantry.tenant_version SET spec = spec",
        "DELETE FROM tenantry.tenant_version",
        "TRUNCATE tenantry.tenant_version",
        "UPDATE tenantry.catalog_version SET spec = spec",
        "DELETE FROM tenantry.catalog_version",
        "TRUNCATE tenantry.catalog_version",
        "UPDATE tenantry.journal SET fact = fact",
        "DELETE FROM tenantry.journal",
        "TRUNCATE tenantry.journal",
    ] {
        let error = conn.execute(statement, &[]).await.unwrap_err();
        assert_eq!(error.sqlstate(), Some("TN101"), "{statement}");
    }
    conn.release();
    assert_eq!(world.row(id).await.audit_seq, 1);
    let guarded = texts(
        &world,
        "SELECT c.relname::text FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
         WHERE t.tgname = 'append_only' AND t.tgenabled = 'O' ORDER BY 1",
    )
    .await;
    assert_eq!(guarded, APPEND_ONLY);
}

#[tokio::test]
async fn the_serving_role_can_work_and_cannot_change_evidence() {
    let world = World::new().await;
    let role = format!("serve_{}", world.database.name());
    world.sql(&format!("CREATE ROLE {role} LOGIN PASSWORD 'x' IN ROLE tenantry_serve"));
    let url = world.database.url().replace(&format!("postgres:{}@", server().password()), &format!("{role}:x@"));
    let serving = Store::new(options(&url, 4));
    let served = World { store: serving, database: world.database.clone() };
    let id = served.create("acme").await.id;
    served.bump(id, 1).await.unwrap();
    let workflow = served.start(id, tenantry_domain::workflow::Kind::Onboard).await;
    let claimed = served
        .store
        .claim(crate::world::replica_id(), crate::world::at(9), std::time::Duration::from_secs(9), 5)
        .await
        .unwrap();
    assert_eq!(claimed[0].workflow.id, workflow);
    served.store.prune(crate::world::at(0), crate::world::at(0)).await.unwrap();
    // Days of usage events are tables, which it makes and drops through a function that can do just that.
    served.store.usage_days("2026-09-01", "2026-09-22").await.unwrap();
    served.store.usage_days("2026-09-20", "2026-09-22").await.unwrap();
    let conn = served.store.pool().get().await.unwrap();
    for table in APPEND_ONLY {
        for right in ["UPDATE", "DELETE", "TRUNCATE", "TRIGGER"] {
            let name = format!("tenantry.{table}");
            let row = conn.query_one("SELECT has_table_privilege($1::text, $2::text)", &[&name, &right]).await.unwrap();
            assert!(!row.get::<_, bool>(0), "{right} on {table}");
        }
    }
    conn.release();
    served.quiet().await;
    drop(served);
    world.sql(&format!("DROP ROLE {role}"));
}

#[tokio::test]
async fn migrating_twice_and_at_once_is_migrating_once() {
    let database = server().database();
    let stores: Vec<Store> = (0..4).map(|_| Store::new(options(&database.url(), 2))).collect();
    let runs = futures_util::future::join_all(stores.iter().map(Store::migrate)).await;
    let applied: usize = runs.iter().map(|run| run.as_ref().unwrap().applied.len()).sum();
    assert_eq!(applied, 27);
    assert!(stores[0].migrate().await.unwrap().applied.is_empty());
    let installation = stores[0].installation().await.unwrap();
    assert_eq!(stores[1].installation().await.unwrap(), installation);
    stores[0].ping().await.unwrap();
    let names: Vec<String> =
        stores[0].environments().await.unwrap().into_iter().map(|row| row.name.to_string()).collect();
    assert_eq!(names, ["prod"]);
}

#[tokio::test]
async fn environments_are_apart() {
    use tenantry_domain::name::EnvironmentName;
    let world = World::new().await;
    let staging = EnvironmentName::parse("staging").unwrap();
    assert!(world.store.ensure_environment(&staging).await.unwrap());
    assert!(!world.store.ensure_environment(&staging).await.unwrap());
    let here = world.create("acme").await;
    let permit = crate::world::permit_in(staging.clone());
    let mut tx = world.store.write(&permit, crate::world::at(0)).await.unwrap();
    let there = tx.tenants().create_many(&[crate::world::new_tenant("acme")]).await.unwrap().remove(0);
    tx.commit(vec![mutation(there.id, 1)]).await.unwrap();
    assert!(world.store.read(&staging).tenant(here.id).await.unwrap().is_none());
    assert_eq!(world.store.read(&staging).tenant(here.slug.clone().into_key()).await.unwrap().unwrap().id, there.id);
    let mut tx = world.store.write(&permit, crate::world::at(0)).await.unwrap();
    assert!(matches!(tx.tenants().lock(here.id).await, Err(tenantry_store::StoreError::NotFound)));
    drop(tx);
    let nowhere = crate::world::permit_in(EnvironmentName::parse("moon").unwrap());
    let refused = world.store.write(&nowhere, crate::world::at(0)).await;
    assert!(matches!(refused, Err(tenantry_store::StoreError::EnvironmentNotFound)));
}

trait IntoKey {
    fn into_key(self) -> tenantry_store::TenantKey;
}

impl IntoKey for tenantry_domain::tenant::Slug {
    fn into_key(self) -> tenantry_store::TenantKey {
        tenantry_store::TenantKey::Slug(self)
    }
}
