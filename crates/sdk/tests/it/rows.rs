//! Transactions of tenants at every level.

use tenantry_sdk::{CommitError, Error, PgKind, Sql, Tenant, Tenantry};

use crate::world::{LEVELS, World};

async fn bodies(tenantry: &Tenantry, tenant: &Tenant) -> Vec<String> {
    let tx = tenantry.begin_read(tenant).await.unwrap();
    let rows = tx.query("SELECT body FROM notes ORDER BY body", &[]).await.unwrap();
    tx.rollback().await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn rows_stay_with_their_tenant_at_every_level() {
    let world = World::new().await;
    let tenantry = world.tenantry();
    let factory = world.factory(&tenantry);
    for level in LEVELS {
        let (one, other) = (factory.make(level).await.unwrap().tenant, factory.make(level).await.unwrap().tenant);
        let route = tenantry.route(&one).await.unwrap();
        assert_eq!((route.tenant, route.isolation.as_str()), (one.id(), level));
        for (tenant, body) in [(&one, "one"), (&other, "other")] {
            let tx = tenantry.begin(tenant).await.unwrap();
            assert_eq!(tx.tenant(), tenant);
            tx.execute("INSERT INTO notes (body) VALUES ($1)", &[&body]).await.unwrap();
            tx.commit().await.unwrap();
        }
        assert_eq!(
            (bodies(&tenantry, &one).await, bodies(&tenantry, &other).await),
            (vec!["one".into()], vec!["other".into()])
        );

        // What is not committed did not happen: rolled back, or dropped.
        for is_dropped in [false, true] {
            let tx = tenantry.begin(&one).await.unwrap();
            tx.execute("DELETE FROM notes", &[]).await.unwrap();
            if is_dropped {
                drop(tx);
            } else {
                tx.rollback().await.unwrap();
            }
        }
        assert_eq!(bodies(&tenantry, &one).await, ["one"], "{level}");

        // A row with the other tenant's id is refused, by insert and by update; and a read transaction cannot write.
        for sql in ["INSERT INTO notes (tenant_id, body) VALUES ($1, 'x')", "UPDATE notes SET tenant_id = $1"] {
            let tx = tenantry.begin(&one).await.unwrap();
            let refused = tx.execute(sql, &[&other.uuid()]).await.unwrap_err();
            assert_eq!(refused.kind(), PgKind::Permission, "{level}: {sql}");
            let lost = tx.commit().await.unwrap_err();
            assert!(matches!(lost, Error::Commit(CommitError::Refused(_))), "a failed statement is not forgotten");
        }
        let tx = tenantry.begin_read(&one).await.unwrap();
        assert_eq!(tx.execute("DELETE FROM notes", &[]).await.unwrap_err().sqlstate(), Some("25006"));
        drop(tx);

        // SQL that somebody injects stays inside, also when it ends the transaction.
        let tx = tenantry.begin(&one).await.unwrap();
        let injected = format!("COMMIT; BEGIN; SELECT set_config('tenantry.context', '{}', false)", other.uuid());
        let _ = tx.batch(&Sql::script(&injected)).await;
        let seen = tx.query_sql(&Sql::new("SELECT body FROM notes"), &[]).await.map_or(0, |rows| rows.len());
        assert_eq!(seen, 0, "{level}: outside of an entered transaction nothing is seen");
        drop(tx);
        assert_eq!((bodies(&tenantry, &one).await.len(), bodies(&tenantry, &other).await.len()), (1, 1));
    }
    factory.close().await.unwrap();
    tenantry.close();
    world.end().await;
}

#[tokio::test]
async fn who_is_not_open_is_not_let_in_and_the_database_has_the_last_word() {
    let world = World::new().await;
    let tenantry = world.tenantry();
    let factory = world.factory(&tenantry);
    for level in LEVELS {
        let made = factory.make(level).await.unwrap();
        let tenant = made.tenant.clone();
        assert_eq!(bodies(&tenantry, &tenant).await.len(), 0);
        factory.suspend(&made).await.unwrap();
        assert!(matches!(tenantry.begin(&tenant).await, Err(Error::TenantSuspended(_))), "{level}");
        factory.resume(&made).await.unwrap();
        assert_eq!(bodies(&tenantry, &tenant).await.len(), 0);

        // The control plane is away and knows nothing of it: the gate is shut on the cell.
        let home = home_of(&tenantry, &tenant).await;
        let gate = |letter: &str| {
            format!("UPDATE tenantry.tenant SET state = '{letter}' WHERE tenant_id = '{}'", tenant.uuid())
        };
        World::sql(&home, &gate("s")).await;
        let error = tenantry.begin(&tenant).await.unwrap_err();
        assert!(matches!(error, Error::TenantSuspended(_)), "{level}: {error}");
        world.set_line(false);
        let error = tenantry.begin(&tenant).await.unwrap_err();
        assert!(matches!(error, Error::TenantSuspended(_)), "{level}: {error}");
        World::sql(&home, &gate("a")).await;
        assert_eq!(bodies(&tenantry, &tenant).await.len(), 0, "{level}: served from memory");
        world.set_line(true);
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;

        factory.suspend(&made).await.unwrap();
        factory.archive(&made).await.unwrap();
        let gone = crate::world::until("it is archived", || async {
            tenantry.begin(&tenant).await.err().filter(|error| matches!(error, Error::TenantGone(_)))
        });
        assert_eq!(gone.await.status(), 410);
        factory.remove(&made).await.unwrap();
        let gone = crate::world::until("it is deleted", || async {
            tenantry.begin(&tenant).await.err().filter(|error| matches!(error, Error::TenantNotFound(_)))
        });
        assert_eq!(gone.await.status(), 404);
    }
    world.end().await;
}

/// The database that holds the register which `seal.enter` reads for a tenant.
async fn home_of(tenantry: &Tenantry, tenant: &Tenant) -> String {
    tenantry.route(tenant).await.unwrap().database
}
