//! An entry that cannot be written takes everything with it.

use std::sync::Arc;
use std::time::Duration;

use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::CellName;
use tenantry_store::{CatalogKind, CatalogPut, IdempotencyKey, NewOperation, Store, StoreError, StoredAnswer, WriteTx};
use tenantry_testkit::pg::server;

use crate::world::{World, at, change, mutation, new_tenant, operation_id, options, permit, spec};

/// Everything that the database holds, as one text per table.
async fn digest(world: &World) -> Vec<String> {
    let conn = world.store.pool().get().await.unwrap();
    let mut digests = Vec::new();
    for table in [
        "tenant",
        "tenant_version",
        "tenant_label",
        "tenant_external_id",
        "audit",
        "outbox",
        "catalog",
        "catalog_version",
        "cell_load",
        "operation",
        "operation_target",
        "idempotency",
        "environment",
        "workflow",
        "journal",
    ] {
        let sql =
            tenantry_pg::Sql::new("SELECT coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM tenantry.")
                .ident(&tenantry_pg::Ident::new(table).unwrap())
                .push(" AS t");
        digests.push(format!("{table} {}", conn.query_sql(&sql, &[]).await.unwrap()[0].get::<_, String>(0)));
    }
    conn.release();
    digests
}

/// Everything that one change can touch.
async fn much(
    store: &Store,
    id: tenantry_domain::id::TenantId,
) -> Result<(WriteTx, Vec<tenantry_store::Entry>), StoreError> {
    let mut tx = store.write(&permit(), at(5)).await?;
    let key = key();
    tx.idempotency().begin(&key).await?;
    let row = tx.tenants().lock(id).await?;
    let mut next = spec("another name");
    next.labels.insert("a".into(), "b".into());
    next.external_ids.insert("s".into(), "1".into());
    tx.tenants().apply(&change(&row, next)).await?;
    let new = new_tenant("globex");
    tx.tenants().create_many(std::slice::from_ref(&new)).await?;
    let put = CatalogPut {
        kind: CatalogKind::Plan,
        name: "pro".into(),
        from_version: 0,
        spec: serde_json::json!({}),
        action: "plan.apply".into(),
        correlation_id: "c".into(),
    };
    tx.catalog().put(&put).await?;
    tx.cells().take(&CellName::parse("eu-1").unwrap(), Isolation::Shared, 1, 10).await?;
    tx.operations().create(&NewOperation {
        id: operation_id(),
        kind: "tenant.update".into(),
        correlation_id: "c".into(),
        request: serde_json::Value::Null,
        targets: vec![(id, 2)],
    });
    let answer = StoredAnswer { status: 200, headers: vec![], body: b"{}".to_vec(), operation: None };
    tx.idempotency().finish(&key, &answer, Duration::from_secs(60));
    let environment = tenantry_store::Entry::environment(
        crate::world::draft("plan.apply", tenantry_domain::audit::Category::Mutation, Some(1)),
        vec![],
    );
    Ok((tx, vec![mutation(id, 2), mutation(new.id, 1), environment]))
}

fn key() -> IdempotencyKey {
    IdempotencyKey { principal: "p".into(), route: "r".into(), key: "k".into(), fingerprint: [1; 32] }
}

#[tokio::test]
async fn without_its_audit_entry_or_event_nothing_is_committed() {
    let world = World::new().await;
    let id = world.create("acme").await.id;
    let before = digest(&world).await;
    let faults = [
        (
            "CREATE FUNCTION tenantry.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
             CREATE TRIGGER fail BEFORE INSERT ON tenantry.audit FOR EACH ROW EXECUTE FUNCTION tenantry.fail()",
            "DROP TRIGGER fail ON tenantry.audit",
        ),
        (
            "CREATE TRIGGER fail BEFORE INSERT ON tenantry.outbox FOR EACH ROW EXECUTE FUNCTION tenantry.fail()",
            "DROP TRIGGER fail ON tenantry.outbox",
        ),
        (
            // At the very end, when COMMIT runs the deferred checks.
            "CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON tenantry.audit DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION tenantry.fail()",
            "DROP TRIGGER fail ON tenantry.audit",
        ),
        (
            // What a full disk looks like to us.
            "CREATE OR REPLACE FUNCTION tenantry.fail() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'full' USING ERRCODE = '53100'; END $$;
             CREATE TRIGGER fail BEFORE INSERT ON tenantry.audit FOR EACH ROW EXECUTE FUNCTION tenantry.fail()",
            "DROP TRIGGER fail ON tenantry.audit",
        ),
        (
            "CREATE OR REPLACE FUNCTION tenantry.fail() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$;
             CREATE TRIGGER fail BEFORE INSERT ON tenantry.audit FOR EACH ROW EXECUTE FUNCTION tenantry.fail()",
            "DROP TRIGGER fail ON tenantry.audit",
        ),
        (
            // The backend dies in the middle of the insert.
            "CREATE OR REPLACE FUNCTION tenantry.fail() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(10); RETURN NEW; END $$;
             CREATE TRIGGER fail BEFORE INSERT ON tenantry.audit FOR EACH ROW EXECUTE FUNCTION tenantry.fail()",
            "DROP TRIGGER fail ON tenantry.audit",
        ),
        (
            "ALTER TABLE tenantry.audit ADD CONSTRAINT full_up CHECK (false) NOT VALID",
            "ALTER TABLE tenantry.audit DROP CONSTRAINT full_up",
        ),
    ];
    for (make, undo) in faults {
        world.sql(make);
        let (tx, entries) = much(&world.store, id).await.unwrap();
        let error = tx.commit(entries).await.unwrap_err();
        assert!(matches!(error, StoreError::Pg(_)), "{make}: {error:?}");
        world.sql(undo);
        assert_eq!(digest(&world).await, before, "{make}");
    }
    // The same change without a fault, to show that it was the fault.
    let (tx, entries) = much(&world.store, id).await.unwrap();
    tx.commit(entries).await.unwrap();
    assert_ne!(digest(&world).await, before);
    assert!(world.store.verify_audit(None, None).await.unwrap().findings.is_empty());
    world.quiet().await;
}

#[tokio::test]
async fn a_login_that_may_not_write_the_audit_changes_nothing() {
    let world = World::new().await;
    let id = world.create("acme").await.id;
    let role = format!("mute_{}", world.database.name());
    world.sql(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT USAGE ON SCHEMA tenantry TO {role};
         GRANT ALL ON ALL TABLES IN SCHEMA tenantry TO {role}; REVOKE INSERT ON tenantry.audit FROM {role}"
    ));
    let url = world.database.url().replace(&format!("postgres:{}@", server().password()), &format!("{role}:x@"));
    let mute = Store::new(options(&url, 2));
    let before = digest(&world).await;
    let (tx, entries) = much(&mute, id).await.unwrap();
    match tx.commit(entries).await {
        Err(StoreError::Pg(error)) => assert_eq!(error.sqlstate(), Some("42501")),
        other => panic!("{other:?}"),
    }
    assert_eq!(digest(&world).await, before);
    drop(mute);
    world.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

/// The answer to COMMIT is lost, once before and once behind the commit record.
#[tokio::test]
async fn a_lost_answer_is_an_unknown_outcome_that_the_kept_answer_resolves() {
    let world = Arc::new(World::new().await);
    let id = world.create("acme").await.id;
    let reader = world.store.read(&crate::world::prod());
    // A deferred trigger runs inside of COMMIT, before its record is written.
    world.sql(
        "CREATE FUNCTION tenantry.die() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(10); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER die AFTER INSERT ON tenantry.audit DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION tenantry.die()",
    );
    let (tx, entries) = much(&world.store, id).await.unwrap();
    assert!(matches!(tx.commit(entries).await, Err(StoreError::UnknownOutcome)));
    assert_eq!(reader.kept_answer(&key(), at(6)).await.unwrap(), None);
    assert_eq!(world.row(id).await.version, 1);
    world.sql("DROP TRIGGER die ON tenantry.audit");
    // The commit is done, and its caller gives up waiting for the answer.
    let (tx, entries) = much(&world.store, id).await.unwrap();
    let commit = tokio::time::timeout(Duration::from_micros(1), tx.commit(entries)).await;
    assert!(commit.is_err());
    let until = std::time::Instant::now() + Duration::from_secs(10);
    let kept = loop {
        if let Some(kept) = reader.kept_answer(&key(), at(6)).await.unwrap() {
            break Some(kept);
        }
        if std::time::Instant::now() > until || world.number("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()").await == 0 {
            break reader.kept_answer(&key(), at(6)).await.unwrap();
        }
    };
    // Whichever way it went, answer and effect went the same way.
    assert_eq!(kept.is_some(), world.row(id).await.version == 2);
    assert!(world.store.verify_audit(None, None).await.unwrap().findings.is_empty());
    world.quiet().await;
}
