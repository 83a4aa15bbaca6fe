//! Places of cells, and the catalog that declares them.

use std::sync::Arc;

use serde_json::json;
use tenantry_domain::audit::Category;
use tenantry_domain::cell::{Capacity, CellKind, CellSpec, SecretRef};
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{CellName, RegionName};
use tenantry_domain::placement::Placement;
use tenantry_store::{CatalogKind, CatalogPut, CatalogRow, Entry, StoreError};

use crate::world::{World, draft, permit, prod, transition};

fn cell(name: &str) -> CellName {
    CellName::parse(name).unwrap()
}

fn region() -> RegionName {
    RegionName::parse("eu-west").unwrap()
}

pub async fn put(
    world: &World,
    kind: CatalogKind,
    name: &str,
    from_version: i64,
    spec: serde_json::Value,
) -> Result<CatalogRow, StoreError> {
    let mut tx = world.write().await;
    let put = CatalogPut {
        kind,
        name: name.into(),
        from_version,
        spec,
        action: format!("{}.apply", kind.as_str()),
        correlation_id: "c".into(),
    };
    let row = tx.catalog().put(&put).await?;
    tx.commit(vec![Entry::environment(draft("catalog.apply", Category::Mutation, Some(row.version)), vec![])]).await?;
    Ok(row)
}

async fn put_cell(world: &World, name: &str, places: u32) {
    let spec = CellSpec {
        region: region(),
        kind: CellKind::Pooled,
        database: SecretRef::Env("EU_URL".into()),
        capacity: Capacity { shared: places, schema: places, database: 0 },
        draining: false,
        standbys: Vec::new(),
        encryption: None,
        promises: Default::default(),
    };
    put(world, CatalogKind::Cell, name, 0, serde_json::to_value(spec).unwrap()).await.unwrap();
}

#[tokio::test]
async fn sixty_four_parallel_takes_never_overrun_the_capacity() {
    let world = Arc::new(World::with_connections(24).await);
    put_cell(&world, "eu-1", 50).await;
    let mut ids = Vec::new();
    for number in 0..64 {
        ids.push(world.create(&format!("acme-{number}x")).await.id);
    }
    let mut takers = tokio::task::JoinSet::new();
    for (number, id) in ids.into_iter().enumerate() {
        let world = Arc::clone(&world);
        takers.spawn(async move {
            let mut tx = world.store.write(&permit(), crate::world::at(1)).await.unwrap();
            let row = tx.tenants().lock(id).await.unwrap();
            // Half of them look at the loads first, as placement does.
            if number % 2 == 0 {
                let loads = tx.cells().loads().await.unwrap();
                assert_eq!(loads.len(), 1);
                assert!(loads[0].used.shared <= 50);
            }
            match tx.cells().take(&cell("eu-1"), Isolation::Shared, 1, 50).await {
                Ok(()) => {
                    let generation = row.placement_generation + 1;
                    let place =
                        Placement { region: region(), cell: cell("eu-1"), isolation: Isolation::Shared, generation };
                    tx.tenants().set_placement(id, Some(&place)).unwrap();
                    tx.commit(vec![transition(id)]).await.unwrap();
                    true
                }
                Err(StoreError::NoCapacity) => false,
                Err(other) => panic!("{other:?}"),
            }
        });
    }
    let taken = takers.join_all().await.into_iter().filter(|taken| *taken).count();
    assert_eq!(taken, 50);
    let loads = world.store.read(&prod()).cell_loads().await.unwrap();
    assert_eq!((loads[0].used.shared, loads[0].used.schema), (50, 0));
    assert!(world.store.read(&prod()).miscounted().await.unwrap().is_empty());
    // A counter that was changed by hand is noticed.
    world.sql("UPDATE tenantry.cell_load SET used = 49");
    let wrong = world.store.read(&prod()).miscounted().await.unwrap();
    assert_eq!(wrong, [(cell("eu-1"), Isolation::Shared, 49, 50)]);
}

#[tokio::test]
async fn places_are_given_back_and_never_below_nought() {
    let world = World::new().await;
    put_cell(&world, "eu-1", 4).await;
    put_cell(&world, "eu-2", 4).await;
    let id = world.create("acme").await.id;
    let mut tx = world.write().await;
    tx.cells().take(&cell("eu-1"), Isolation::Schema, 4, 4).await.unwrap();
    assert!(matches!(tx.cells().take(&cell("eu-1"), Isolation::Schema, 1, 4).await, Err(StoreError::NoCapacity)));
    assert!(matches!(tx.cells().take(&cell("eu-2"), Isolation::Schema, 5, 4).await, Err(StoreError::NoCapacity)));
    tx.cells().release(&cell("eu-1"), Isolation::Schema, 3).await.unwrap();
    tx.cells().take(&cell("eu-1"), Isolation::Schema, 2, 4).await.unwrap();
    tx.commit(vec![transition(id)]).await.unwrap();
    let loads = world.store.read(&prod()).cell_loads().await.unwrap();
    let used: Vec<_> = loads.iter().map(|load| (load.name.as_str(), load.used.schema)).collect();
    assert_eq!(used, [("eu-1", 3), ("eu-2", 0)]);
    let mut tx = world.write().await;
    assert!(tx.cells().release(&cell("eu-1"), Isolation::Schema, 9).await.is_err());
}

#[tokio::test]
async fn documents_are_versioned_locked_and_removed() {
    let world = World::new().await;
    let reader = world.store.read(&prod());
    let first = put(&world, CatalogKind::Plan, "pro", 0, json!({ "users": 1 })).await.unwrap();
    assert_eq!(first.version, 1);
    assert!(matches!(
        put(&world, CatalogKind::Plan, "pro", 0, json!({})).await,
        Err(StoreError::StaleVersion { current: 1 })
    ));
    let second = put(&world, CatalogKind::Plan, "pro", 1, json!({ "users": 2 })).await.unwrap();
    assert_eq!((second.version, second.id), (2, first.id));
    assert!(matches!(
        put(&world, CatalogKind::Plan, "pro", 1, json!({})).await,
        Err(StoreError::StaleVersion { current: 2 })
    ));
    assert!(matches!(
        put(&world, CatalogKind::Plan, "gone", 4, json!({})).await,
        Err(StoreError::StaleVersion { current: 0 })
    ));
    put(&world, CatalogKind::Plan, "basic", 0, json!({})).await.unwrap();
    let names: Vec<_> = reader.catalog_list(CatalogKind::Plan).await.unwrap().into_iter().map(|row| row.name).collect();
    assert_eq!(names, ["basic", "pro"]);
    let version = reader.catalog_version(CatalogKind::Plan, "pro", 1).await.unwrap().unwrap();
    assert_eq!((version.spec, version.author.as_str()), (Some(json!({ "users": 1 })), "operator:olga"));
    assert!(reader.catalog(CatalogKind::Region, "pro").await.unwrap().is_none());
    // In use, then removed, then made again: versions go on, the id is another one.
    world.create("acme").await;
    let mut tx = world.write().await;
    assert_eq!(tx.catalog().users(CatalogKind::Plan, "standard").await.unwrap(), 1);
    assert_eq!(tx.catalog().users(CatalogKind::Region, "eu-west").await.unwrap(), 1);
    assert_eq!(tx.catalog().users(CatalogKind::Cell, "eu-1").await.unwrap(), 0);
    assert!(matches!(
        tx.catalog().delete(CatalogKind::Plan, "pro", 1).await,
        Err(StoreError::StaleVersion { current: 2 })
    ));
    assert!(matches!(tx.catalog().delete(CatalogKind::Plan, "none", 1).await, Err(StoreError::NotFound)));
    assert_eq!(tx.catalog().lock(CatalogKind::Plan, "pro").await.unwrap().unwrap().version, 2);
    tx.catalog().delete(CatalogKind::Plan, "pro", 2).await.unwrap();
    assert!(tx.catalog().get(CatalogKind::Plan, "pro").await.unwrap().is_none());
    tx.commit(vec![Entry::environment(draft("plan.delete", Category::Mutation, Some(3)), vec![])]).await.unwrap();
    let removal = reader.catalog_version(CatalogKind::Plan, "pro", 3).await.unwrap().unwrap();
    assert_eq!((removal.spec, removal.action.as_str()), (None, "plan.delete"));
    assert!(reader.catalog_version(CatalogKind::Plan, "pro", 9).await.unwrap().is_none());
    let again = put(&world, CatalogKind::Plan, "pro", 0, json!({ "users": 9 })).await.unwrap();
    assert_eq!(again.version, 4);
    assert_ne!(again.id, first.id);
    assert!(world.store.verify_audit(None, None).await.unwrap().findings.is_empty());
}

#[tokio::test]
async fn of_many_parallel_puts_of_one_version_one_wins() {
    let world = Arc::new(World::new().await);
    put(&world, CatalogKind::App, "chat", 0, json!({})).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..30 {
        let world = Arc::clone(&world);
        writers.spawn(async move { put(&world, CatalogKind::App, "chat", 1, json!({ "n": number })).await });
    }
    let outcomes = writers.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(
        outcomes
            .iter()
            .filter_map(|outcome| outcome.as_ref().err())
            .all(|error| matches!(error, StoreError::StaleVersion { current: 2 }))
    );
}
