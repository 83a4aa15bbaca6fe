//! A tenant that is changed while it is being onboarded.

use std::time::{Duration, Instant};

use tenantry_control::tenants::edit::Expected;
use tenantry_control::view::OperationStatus;
use tenantry_control::{Refusal, manifests, tenants};
use tenantry_domain::app::{self, Migrations};
use tenantry_domain::manifest::Manifest;
use tenantry_domain::name::{AppName, RegionName};
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_domain::tenant::profile::SizeClass;
use tenantry_domain::tenant::{Slug, Spec};
use tenantry_store::TenantKey;

use crate::world::{World, name, spec};

/// An app whose structure takes long and does not come about in the end.
fn slow(world: &str) -> Manifest {
    let command = "sleep 3; exit 7".to_owned();
    let spec = app::Spec {
        migrations: Migrations::Exec { command, directory: None },
        tenant_key: None,
        reference_tables: vec![],
        rollout: tenantry_domain::rollout::Strategy::default(),
    };
    Manifest::App { name: AppName::parse(world).unwrap(), spec }
}

/// Its place is taken before it has a state. What would move it is refused from then on, and what it takes of the cell stays
/// right when its size changes and the workflow is undone.
#[tokio::test]
async fn who_is_being_onboarded_stays_where_its_place_is() {
    let world = World::running().await;
    let (cx, deps) = (world.cx(), &world.deps);
    manifests::apply(&cx, deps, &[slow("slow")]).await.unwrap();
    let own = Spec { app: AppName::parse("slow").unwrap(), ..spec("standard", Phase::Active) };
    let new = tenants::create(&cx, deps, Slug::parse("acme").unwrap(), own.clone()).await.unwrap();
    let began = Instant::now();
    let placed = async || {
        let id = world.tenant("acme").await.id;
        deps.store().read(&world.environment).tenant(TenantKey::Id(id)).await.unwrap().unwrap().placement.is_some()
    };
    while !placed().await {
        assert!(began.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let acme = name("acme");
    let change = async |spec: Spec| tenants::update(&cx, deps, &acme, Expected::Any, spec).await.map(|_| ());
    let app = Spec { app: AppName::parse("notes").unwrap(), ..own.clone() };
    assert!(matches!(change(app).await.unwrap_err(), Refusal::Moves { field: "spec.app", .. }));
    let level = Spec { plan: spec("enterprise", Phase::Active).plan, ..own.clone() };
    assert!(matches!(change(level).await.unwrap_err(), Refusal::Moves { field: "spec.plan", .. }));
    let mut region = own.clone();
    region.residency.allowed_regions = vec![RegionName::parse("us-east").unwrap()];
    assert!(change(region).await.is_err());
    let mut large = own;
    large.business.size = SizeClass::Large;
    change(large).await.unwrap();
    let operation = world.ended(new.operation.unwrap()).await;
    assert_ne!(operation.status, OperationStatus::Completed, "{operation:#?}");
    assert!(!placed().await, "its place was given back");
    let wrong = deps.store().read(&world.environment).miscounted().await.unwrap();
    assert!(wrong.is_empty(), "{wrong:?}");
    world.stop().await;
}
