//! Looks ahead: they answer as a change would, nothing of them lasts, and nobody waits for them.

use std::time::Duration;

use serde_json::json;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::CellName;
use tenantry_store::{CatalogKind, CatalogPut, StoreError};

use crate::cells::put;
use crate::world::{World, at, change, mutation, new_tenant, permit};

fn region(from_version: i64, description: &str) -> CatalogPut {
    CatalogPut {
        kind: CatalogKind::Region,
        name: "eu-west".into(),
        from_version,
        spec: json!({ "description": description }),
        action: "region.apply".into(),
        correlation_id: "c".into(),
    }
}

#[tokio::test]
async fn nobody_waits_for_a_look_ahead_and_nothing_of_it_lasts() {
    let world = World::new().await;
    put(&world, CatalogKind::Region, "eu-west", 0, json!({})).await.unwrap();
    let acme = world.create("acme").await;
    let mut look = world.store.look_ahead(&permit(), at(1)).await.unwrap();
    assert_eq!(look.tenants().ids(std::slice::from_ref(&acme.slug)).await.unwrap(), [acme.id]);
    let row = look.tenants().lock_many(&[acme.id]).await.unwrap().remove(0);
    assert!(look.workflows().open_of(acme.id).await.unwrap().is_none());
    let mut spec = row.spec.clone();
    spec.aliases.push("old-1".into());
    let changed = look.tenants().apply(&change(&row, spec)).await.unwrap();
    assert_eq!(changed.version, 2);
    let globex = look.tenants().create_many(&[new_tenant("globex")]).await.unwrap().remove(0);
    let locked = look.catalog().lock(CatalogKind::Region, "eu-west").await.unwrap().unwrap();
    assert_eq!(look.catalog().put(&region(locked.version, "West")).await.unwrap().version, 2);
    // What it would have written is what it sees.
    let seen = look.catalog().get(CatalogKind::Region, "eu-west").await.unwrap().unwrap();
    assert_eq!((seen.version, &seen.spec["description"]), (2, &json!("West")));
    assert!(matches!(
        look.catalog().put(&region(1, "again")).await.unwrap_err(),
        StoreError::StaleVersion { current: 2 }
    ));

    // Others change all of it meanwhile.
    let others = async {
        world.bump(acme.id, 2).await.unwrap();
        world.create("globex").await;
        put(&world, CatalogKind::Region, "eu-west", 1, json!({ "description": "East" })).await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(20), others).await.expect("somebody waits for it");

    let entries = vec![mutation(acme.id, 2), mutation(globex.id, 1)];
    assert!(matches!(look.commit(entries).await.unwrap_err(), StoreError::Aborted));
    assert!(world.row(acme.id).await.spec.aliases.is_empty());
    assert_eq!(world.number("SELECT count(*) FROM tenantry.tenant_alias").await, 0);
    world.quiet().await;
}

/// Names are refused as a change would be refused them, also those that it gave up or took itself.
#[tokio::test]
async fn a_look_ahead_knows_whose_names_are_whose() {
    let world = World::new().await;
    let mut holder = new_tenant("holder");
    holder.spec.external_ids.insert("stripe".into(), "cus_1".into());
    holder.spec.aliases.push("old-1".into());
    let holder = world.create_from(holder, 0).await.unwrap();
    let named = |name: &str, alias: &str| {
        let mut new = new_tenant(name);
        new.spec.aliases.push(alias.into());
        new
    };
    let mut external = new_tenant("second");
    external.spec.external_ids.insert("stripe".into(), "cus_1".into());
    for (new, expected) in [
        (vec![new_tenant("h0lder")], "the name `h0lder` is taken"),
        (vec![new_tenant("globex-1"), new_tenant("gl0bex-l")], "the name `gl0bex-l` is taken"),
        (vec![external], "the external id `stripe:cus_1` belongs to another tenant"),
        (vec![named("second", "old-1")], "the alias `old-1` belongs to another tenant"),
        (vec![named("second", "new-1"), named("third", "new-1")], "the alias `new-1` belongs to another tenant"),
    ] {
        let mut look = world.store.look_ahead(&permit(), at(1)).await.unwrap();
        assert_eq!(look.tenants().create_many(&new).await.unwrap_err().to_string(), expected);
        look.rollback().await;
        let mut tx = world.write().await;
        assert_eq!(tx.tenants().create_many(&new).await.unwrap_err().to_string(), expected);
        tx.rollback().await;
    }
    let mut look = world.store.look_ahead(&permit(), at(1)).await.unwrap();
    let row = look.tenants().lock(holder.id).await.unwrap();
    let mut spec = row.spec.clone();
    spec.aliases.clear();
    look.tenants().apply(&change(&row, spec)).await.unwrap();
    look.tenants().create_many(&[named("second", "old-1")]).await.unwrap();
    let refused = look.tenants().create_many(&[named("third", "old-1")]).await.unwrap_err();
    assert_eq!(refused.to_string(), "the alias `old-1` belongs to another tenant");
    look.rollback().await;
    world.quiet().await;
}

#[tokio::test]
async fn places_that_a_look_ahead_takes_are_gone_for_itself_alone() {
    let world = World::new().await;
    let spec = json!({ "region": "eu-west", "database": { "env": "EU_URL" }, "capacity": { "shared": 2 } });
    put(&world, CatalogKind::Cell, "eu-1", 0, spec).await.unwrap();
    let cell = CellName::parse("eu-1").unwrap();
    let mut look = world.store.look_ahead(&permit(), at(1)).await.unwrap();
    look.cells().regions_change().await.unwrap();
    look.cells().promises_stay().await.unwrap();
    look.cells().take(&cell, Isolation::Shared, 2, 2).await.unwrap();
    assert_eq!(look.cells().loads().await.unwrap()[0].used.shared, 2);
    let full = look.cells().take(&cell, Isolation::Shared, 1, 2).await.unwrap_err();
    assert!(matches!(full, StoreError::NoCapacity), "{full}");
    // Nobody else finds them taken, or waits for the lock of regions.
    let mut tx = world.write().await;
    tx.cells().regions_stay().await.unwrap();
    assert_eq!(tx.cells().loads().await.unwrap()[0].used.shared, 0);
    tx.rollback().await;
    look.cells().release(&cell, Isolation::Shared, 1).await.unwrap();
    assert_eq!(look.cells().seen().await.unwrap()[0].used.shared, 1);
    look.rollback().await;
    world.quiet().await;
}
