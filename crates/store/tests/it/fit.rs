//! Whether a process and a database belong together.

use tenantry_store::SchemaFit;

use crate::world::World;

#[tokio::test]
async fn tables_that_are_too_old_or_too_new_are_told_as_such() {
    let world = World::new().await;
    assert_eq!(world.store.schema_fit().await.unwrap(), SchemaFit::Fits);
    // What a newer release added is no reason to stop.
    world.sql("INSERT INTO tenantry.migration (version, name, checksum) VALUES (9000, 'later', '')");
    assert_eq!(world.store.schema_fit().await.unwrap(), SchemaFit::Fits);
    world.sql("UPDATE tenantry.installation SET least_version = 9000");
    assert!(matches!(world.store.schema_fit().await.unwrap(), SchemaFit::Newer { least: 9000, .. }));
    world.sql("DELETE FROM tenantry.migration WHERE version > 24");
    assert!(matches!(world.store.schema_fit().await.unwrap(), SchemaFit::Older { version: 24, .. }));
}

#[tokio::test]
async fn the_first_print_stays_until_somebody_says_otherwise() {
    let world = World::new().await;
    assert_eq!(world.store.root_print().await.unwrap(), None);
    assert!(world.store.hold_root_print(&[1; 32]).await.unwrap());
    assert!(world.store.hold_root_print(&[1; 32]).await.unwrap());
    assert!(!world.store.hold_root_print(&[2; 32]).await.unwrap());
    assert_eq!(world.store.root_print().await.unwrap(), Some(vec![1; 32]));
    world.store.replace_root_print(&[2; 32]).await.unwrap();
    assert!(world.store.hold_root_print(&[2; 32]).await.unwrap());
}

/// Two first starts at once with different keys: one of them is refused.
#[tokio::test]
async fn of_two_first_prints_one_wins() {
    let world = World::new().await;
    let (one, two) = tokio::join!(world.store.hold_root_print(&[1; 32]), world.store.hold_root_print(&[2; 32]));
    assert_ne!(one.unwrap(), two.unwrap());
}

/// A migration that waits for a lock does not keep others from the table, and goes on when it is free.
#[tokio::test(flavor = "multi_thread")]
async fn migrations_wait_in_turns() {
    let world = World::new().await;
    world.sql(
        "DELETE FROM tenantry.migration WHERE version = 27;
         ALTER TABLE tenantry.installation DROP COLUMN root_print, DROP COLUMN least_version",
    );
    let reader = world.again(2);
    let tx = reader.pool().begin().await.unwrap();
    tx.execute("SELECT FROM tenantry.installation", &[]).await.unwrap();
    let migrating = tokio::spawn({
        let store = world.again(2);
        async move { store.migrate().await }
    });
    let blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'tenantry.installation'::regclass";
    let began = std::time::Instant::now();
    while world.number(blocked).await == 0 {
        assert!(began.elapsed().as_secs() < 10, "it never waited");
    }
    let asked = std::time::Instant::now();
    world.store.ping().await.unwrap();
    assert!(asked.elapsed().as_secs() < 5, "a reader waited {:?} behind the migration", asked.elapsed());
    tx.rollback().await.unwrap();
    assert_eq!(migrating.await.unwrap().unwrap().applied, [27]);
}
