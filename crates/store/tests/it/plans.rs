//! Versions of plans at the tables: what comes over from an earlier release, and what no writer gets past.

use serde_json::json;
use tenantry_domain::audit::Category;
use tenantry_store::{CatalogKind, CatalogPut, Entry, StoreError};

use crate::world::{World, draft, prod};

async fn put(world: &World, name: &str, from_version: i64, spec: serde_json::Value) -> Result<i64, StoreError> {
    let mut tx = world.write().await;
    let put = CatalogPut {
        kind: CatalogKind::Plan,
        name: name.into(),
        from_version,
        spec,
        action: "manifests.apply".into(),
        correlation_id: "c-1".into(),
    };
    let version = tx.catalog().put(&put).await?.version;
    let audit = draft("manifests.apply", Category::Mutation, Some(version));
    tx.commit(vec![Entry::environment(audit, Vec::new())]).await?;
    Ok(version)
}

/// PLAN-01: what an earlier release left comes over: tenants have the newest version, one of two defaults stays it.
#[tokio::test]
async fn a_catalog_of_an_earlier_release_comes_over() {
    let world = World::new().await;
    // As the release before had it.
    world.sql(
        "DROP TRIGGER plan_written ON tenantry.catalog; DROP FUNCTION tenantry.plan_written();
         ALTER TABLE tenantry.catalog DROP COLUMN floor CASCADE, DROP COLUMN is_default CASCADE;
         DROP INDEX tenantry.tenant_plan_version;
         ALTER TABLE tenantry.tenant DROP COLUMN plan_version CASCADE;
         DROP TABLE tenantry.storage_turn;
         ALTER TABLE tenantry.installation DROP COLUMN root_print, DROP COLUMN least_version;
         DELETE FROM tenantry.migration WHERE version >= 25",
    );
    let is_default = json!({ "isolation": "shared", "default": true });
    for name in ["b", "a", "standard"] {
        for version in [0, 1] {
            let text = json!({ "isolation": "shared", "default": name != "standard", "support": version.to_string() });
            put(&world, name, version, text).await.unwrap();
        }
    }
    world.sql(
        "INSERT INTO tenantry.tenant (env, id, slug, slug_skeleton, display_name, words, app, plan, version, observed_version,
             requested, phase, state, spec, weight, created_at, updated_at, created_by, is_unsettled)
         SELECT 'prod', '019300a0-5b1c-7d60-9a3e-0d2f4c6b8a90', 'old', 'old', 'Old', ' old', 'chat', 'standard', 1, 1, 'draft',
             'draft', '{\"phase\": \"draft\"}', '{}', 1, now(), now(), 'operator:olga', false",
    );
    world.store.migrate().await.unwrap();
    let of =
        "SELECT p.version FROM tenantry.tenant AS t JOIN tenantry.catalog AS p ON p.env = t.env AND p.name = t.plan
        WHERE least(greatest(t.plan_version, p.floor), p.version) = p.version";
    assert_eq!(world.number(of).await, 2, "it has the newest version");
    assert_eq!(world.number("SELECT count(*) FROM tenantry.catalog WHERE is_default").await, 1);
    let refused = put(&world, "b", 2, json!({ "isolation": "shared", "default": true, "support": "3" })).await;
    assert!(matches!(refused, Err(StoreError::DefaultTaken)), "{refused:?}");
    assert_eq!(put(&world, "a", 2, json!({ "isolation": "shared", "default": false })).await.unwrap(), 3);
    assert_eq!(put(&world, "b", 2, is_default).await.unwrap(), 3);
}

/// The floor follows from the texts alone: a version that keeps leaves it, one that tenants follow to raises it, and a plan
/// that is made again begins with its own.
#[tokio::test]
async fn the_floor_follows_from_the_texts() {
    let world = World::new().await;
    let text = |tenants: &str, number: i64| json!({ "isolation": "shared", "tenants": tenants, "support": number.to_string() });
    let floor = async || world.number("SELECT floor FROM tenantry.catalog WHERE name = 'team'").await;
    for (from, tenants, expected) in [(0, "keep", 1), (1, "keep", 1), (2, "follow", 3), (3, "keep", 3), (4, "keep", 3)]
    {
        assert_eq!(put(&world, "team", from, text(tenants, from)).await.unwrap(), from + 1);
        assert_eq!(floor().await, expected, "{from}");
    }
    let mut tx = world.write().await;
    tx.catalog().delete(CatalogKind::Plan, "team", 5).await.unwrap();
    let audit = draft("catalog.delete", Category::Mutation, Some(6));
    tx.commit(vec![Entry::environment(audit, Vec::new())]).await.unwrap();
    assert_eq!(put(&world, "team", 0, text("keep", 9)).await.unwrap(), 7);
    assert_eq!(floor().await, 7, "nobody can have a version of the plan that was removed");
    let found = world.store.read(&prod()).plan_versions("team", i64::MAX, 3).await.unwrap();
    let found: Vec<_> = found.iter().map(|row| (row.version, row.spec.is_some())).collect();
    assert_eq!(found, [(7, true), (6, false), (5, true)]);
}
