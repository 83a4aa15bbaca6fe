//! Plan, apply, roll back; drift found and repaired; nothing written when nothing differs.

use std::time::{Duration, Instant};

use tenantry_control::tenants::edit::Expected;
use tenantry_control::view::Outcome;
use tenantry_control::{Refusal, manifests, tenants};
use tenantry_domain::code::Code;
use tenantry_domain::manifest::Manifest;
use tenantry_domain::tenant::Slug;
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_testkit::pg;

use crate::world::{World, name, spec};

fn tenant(slug: &str, plan: &str) -> Manifest {
    Manifest::Tenant { slug: Slug::parse(slug).unwrap(), spec: spec(plan, Phase::Active) }
}

/// MAN-12: what the preview says is what then runs.
#[tokio::test(flavor = "multi_thread")]
async fn the_preview_equals_the_steps_that_run() {
    let world = World::running().await;
    let (cx, deps) = (world.cx(), &world.deps);
    let wanted = [tenant("acme", "standard")];
    let planned = manifests::plan(&cx, deps, &wanted).await.unwrap();
    assert_eq!(planned[0].outcome, Outcome::Created);
    assert!(planned[0].placement.is_some());
    assert!(matches!(tenants::get(&cx, deps, &name("acme")).await, Err(Refusal::NoTenant(_))), "a plan writes nothing");
    let applied = manifests::apply(&cx, deps, &wanted).await.unwrap();
    let operation = world.ended(applied.operation.unwrap()).await;
    let ran: Vec<_> = operation.workflows[0].steps.iter().map(|step| step.name).collect();
    let foreseen: Vec<_> = planned[0].steps.iter().map(|step| step.name).collect();
    assert_eq!(ran, foreseen);
    // The same manifest again changes nothing.
    let again = manifests::apply(&cx, deps, &wanted).await.unwrap();
    assert_eq!(again.objects[0].outcome, Outcome::Unchanged);
    assert!(again.operation.is_none());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_applied_compared_and_rolled_back() {
    let world = World::running().await;
    let (cx, deps) = (world.cx(), &world.deps);
    world.active("acme", "starter").await;
    let mut wanted = spec("starter", Phase::Active);
    wanted.display_name = "Acme AG".into();
    let edit = [Manifest::Tenant { slug: Slug::parse("acme").unwrap(), spec: wanted }];
    let planned = manifests::plan(&cx, deps, &edit).await.unwrap();
    assert_eq!(planned[0].changes[0].path, "displayName");
    let applied = manifests::apply(&cx, deps, &edit).await.unwrap();
    world.done(applied.operation).await;
    let changes = tenants::compare(&cx, deps, &name("acme"), 1, 2).await.unwrap();
    assert_eq!(changes.len(), 1);
    let back = tenants::rollback(&cx, deps, &name("acme"), Expected::Version(2), 1).await.unwrap();
    world.done(back.operation).await;
    let tenant = world.tenant("acme").await;
    assert_eq!((tenant.version, tenant.spec.display_name.as_str()), (3, "Acme GmbH"));
    assert!(tenants::compare(&cx, deps, &name("acme"), 1, 3).await.unwrap().is_empty());
    // A level cannot be changed in place.
    let moved =
        tenants::update(&cx, deps, &name("acme"), Expected::Any, spec("standard", Phase::Active)).await.unwrap_err();
    assert!(matches!(moved, Refusal::Moves { field: "spec.plan", .. }), "{moved}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn references_and_doubles_are_refused_by_field_path() {
    let world = World::new().await;
    let (cx, deps) = (world.cx(), &world.deps);
    let refused =
        manifests::apply(&cx, deps, &[tenant("acme", "starter"), tenant("globex", "nowhere")]).await.unwrap_err();
    assert_eq!(refused.fields()[0].field, "documents[1].spec.plan");
    assert!(matches!(tenants::get(&cx, deps, &name("acme")).await, Err(Refusal::NoTenant(_))), "all or nothing");
    let refused =
        manifests::apply(&cx, deps, &[tenant("acme", "starter"), tenant("acme", "standard")]).await.unwrap_err();
    assert_eq!(refused.fields()[0].field, "documents[1].metadata.name");
    // Collisions with what is there already name the document, too.
    let with_id = |slug: &str, plan: &str| {
        let mut spec = spec(plan, Phase::Draft);
        spec.external_ids.insert("stripe".into(), "cus_1".into());
        Manifest::Tenant { slug: Slug::parse(slug).unwrap(), spec }
    };
    manifests::apply(&cx, deps, &[with_id("first", "starter")]).await.unwrap();
    let refused =
        manifests::apply(&cx, deps, &[tenant("acme", "starter"), with_id("second", "starter")]).await.unwrap_err();
    assert_eq!(refused.code(), Code::ExternalIdTaken);
    assert_eq!(refused.fields()[0].field, "documents[1].spec.externalIds.stripe");
    let refused =
        manifests::apply(&cx, deps, &[tenant("acme", "starter"), tenant("f1rst", "starter")]).await.unwrap_err();
    assert_eq!(refused.code(), Code::SlugTaken);
    assert_eq!(refused.fields()[0].field, "documents[1].metadata.name");
    world.stop().await;
}

/// MAN-03: a policy dropped by hand is found and put back, at each level.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_policy_is_reported_and_repaired() {
    let world = World::running().await;
    let (cx, deps) = (world.cx(), &world.deps);
    for (slug, plan) in [("acme", "starter"), ("globex", "standard"), ("initech", "enterprise")] {
        world.active(slug, plan).await;
        let route = tenants::placement(&cx, deps, &name(slug)).await.unwrap().route.unwrap();
        pg::server().sql(&route.database, &format!("DROP POLICY tenantry_tenant ON \"{}\".notes", route.schema));
        assert!(!tenants::drift(&cx, deps, &name(slug)).await.unwrap().is_empty(), "{slug}: seen on request");
        let began = Instant::now();
        while !tenants::drift(&cx, deps, &name(slug)).await.unwrap().is_empty() {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{slug}: not repaired: {:?}",
                tenants::drift(&cx, deps, &name(slug)).await
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // One deviation, one repair: several sweeps later nothing more has happened.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let events = tenantry_control::events::list(&cx, deps, Some(&name(slug)), 0, 200).await.unwrap();
        let repaired = events.iter().filter(|event| event.kind.as_str() == "drift.repaired").count();
        assert_eq!(repaired, 1, "{slug}: {:?}", events.iter().map(|event| event.kind).collect::<Vec<_>>());
    }
    world.stop().await;
}
