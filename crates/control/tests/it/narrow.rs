//! Whoever holds a connection to our database waits for no other one: a full pool would stop everybody for good.

use std::time::Duration;

use tenantry_control::{manifests, tenants};
use tenantry_domain::manifest::Manifest;
use tenantry_domain::placement::{APART, ORIGIN};
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_domain::tenant::{Slug, Spec};

use crate::world::{World, spec};

/// What makes a place hard to find: users somewhere, and a group whose tenants are kept apart.
fn demanding() -> Spec {
    let mut spec = spec("standard", Phase::Active);
    spec.labels.insert(ORIGIN.into(), "eu-west".into());
    spec.labels.insert(APART.into(), "siblings".into());
    spec.settings.insert("locale".into(), "de-DE".into());
    spec
}

#[tokio::test]
async fn plans_and_creations_need_one_connection() {
    let world = World::new().await;
    let (cx, deps) = (world.cx(), &world.deps);
    let pool = deps.store().pool();
    let mut others = Vec::new();
    while others.len() + 1 < pool.status().max {
        others.push(pool.get().await.unwrap());
    }
    let slug = |text: &str| Slug::parse(text).unwrap();
    let wanted = [Manifest::Tenant { slug: slug("acme"), spec: demanding() }];
    let patience = Duration::from_secs(5);
    let planned =
        tokio::time::timeout(patience, manifests::plan(&cx, deps, &wanted)).await.expect("it waits for another");
    assert!(planned.unwrap()[0].placement.is_some());
    let created = tokio::time::timeout(patience, tenants::create(&cx, deps, slug("globex"), demanding())).await;
    created.expect("it waits for another").unwrap();
    // A plan of a tenant that is there finds it by the same connection.
    let again = [Manifest::Tenant { slug: slug("globex"), spec: demanding() }];
    let planned =
        tokio::time::timeout(patience, manifests::plan(&cx, deps, &again)).await.expect("it waits for another");
    planned.unwrap();
    others.into_iter().for_each(tenantry_pg::Conn::release);
    world.stop().await;
}
