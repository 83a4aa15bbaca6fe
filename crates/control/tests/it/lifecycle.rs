//! A tenant's whole life at each level, with data that must survive, and every refusal on the way.

use tenantry_control::tenants::delete::{DeleteOutcome, DeleteRequest};
use tenantry_control::tenants::edit::Expected;
use tenantry_control::view::OperationStatus;
use tenantry_control::{Refusal, audit, events, tenants};
use tenantry_dataplane::TenantTxError;
use tenantry_domain::tenant::Slug;
use tenantry_domain::tenant::lifecycle::{Phase, SuspensionReason};
use tenantry_domain::tenant::spec::Suspension;

use crate::world::{World, name, spec};

fn suspension() -> Suspension {
    Suspension { reason: SuspensionReason::Compliance, note: Some("unpaid".into()) }
}

fn removal(slug: &str) -> DeleteRequest {
    DeleteRequest {
        confirm: slug.into(),
        reason: Some("customer asked".into()),
        grace: Some(jiff::SignedDuration::from_hours(2)),
        dry_run: false,
    }
}

async fn walk(plan: &str) {
    let world = World::running().await;
    let (cx, deps, acme) = (world.cx(), &world.deps, name("acme"));
    let tenant = world.active("acme", plan).await;
    assert_eq!(tenant.state.phase(), Phase::Active);
    assert_eq!((tenant.version, tenant.observed_version), (1, 1));
    let tx = world.enter("acme").await.unwrap();
    tx.execute("INSERT INTO notes (body) VALUES ('kept')", &[]).await.unwrap();
    tx.commit().await.unwrap();

    // Asking for what is already so changes nothing.
    let again = tenants::activate(&cx, deps, &acme, Expected::Any).await.unwrap();
    assert!(again.operation.is_none());
    // What the graph does not have is refused, with what it has.
    let refused = tenants::archive(&cx, deps, &acme, Expected::Any).await.unwrap_err();
    assert!(refused.hint().contains("suspend"), "{}", refused.hint());

    let gone = tenants::suspend(&cx, deps, &acme, Expected::Version(1), suspension()).await.unwrap();
    world.done(gone.operation).await;
    assert!(matches!(world.enter("acme").await, Err(TenantTxError::Suspended)), "suspended tenants are not let in");
    let stale = tenants::resume(&cx, deps, &acme, Expected::Version(1)).await.unwrap_err();
    assert!(matches!(stale, Refusal::Stale { current: 2 }));

    let back = tenants::resume(&cx, deps, &acme, Expected::Any).await.unwrap();
    world.done(back.operation).await;
    let tx = world.enter("acme").await.unwrap();
    let rows = tx.query("SELECT body FROM notes", &[]).await.unwrap();
    assert_eq!(rows.len(), 1);
    tx.rollback().await.unwrap();

    let gone = tenants::suspend(&cx, deps, &acme, Expected::Any, suspension()).await.unwrap();
    world.done(gone.operation).await;
    let archived = tenants::archive(&cx, deps, &acme, Expected::Any).await.unwrap();
    world.done(archived.operation).await;
    let restored = tenants::restore(&cx, deps, &acme, Expected::Any).await.unwrap();
    world.done(restored.operation).await;
    let tx = world.enter("acme").await.unwrap();
    assert_eq!(tx.query("SELECT body FROM notes", &[]).await.unwrap().len(), 1, "the archive kept the data");
    tx.rollback().await.unwrap();

    let gone = tenants::suspend(&cx, deps, &acme, Expected::Any, suspension()).await.unwrap();
    world.done(gone.operation).await;
    let archived = tenants::archive(&cx, deps, &acme, Expected::Any).await.unwrap();
    world.done(archived.operation).await;
    deletion(&world).await;

    let report = audit::verify(&cx, deps, None).await.unwrap();
    assert!(report.is_intact, "{report:#?}");
    let seen: Vec<String> = events::list(&cx, deps, Some(&name(&tenant.id.to_string())), 0, 200)
        .await
        .unwrap()
        .iter()
        .map(|e| e.kind.to_string())
        .collect();
    for kind in [
        "tenant.created",
        "tenant.activated",
        "tenant.suspended",
        "tenant.resumed",
        "tenant.archived",
        "tenant.restored",
        "tenant.deleted",
    ] {
        assert!(seen.contains(&kind.to_owned()), "{kind} in {seen:?}");
    }
    world.stop().await;
}

async fn deletion(world: &World) {
    let (cx, deps, acme) = (world.cx(), &world.deps, name("acme"));
    let wrong = DeleteRequest { confirm: "acne".into(), ..removal("acme") };
    assert!(matches!(tenants::delete(&cx, deps, &acme, Expected::Any, wrong).await, Err(Refusal::Confirmation)));
    let silent = DeleteRequest { reason: None, ..removal("acme") };
    assert!(matches!(tenants::delete(&cx, deps, &acme, Expected::Any, silent).await, Err(Refusal::NoRemovalReason)));
    let hasty = DeleteRequest { grace: Some(jiff::SignedDuration::ZERO), ..removal("acme") };
    assert!(matches!(tenants::delete(&cx, deps, &acme, Expected::Any, hasty).await, Err(Refusal::Grace { .. })));
    let dry = DeleteRequest { dry_run: true, ..removal("acme") };
    let planned = tenants::delete(&cx, deps, &acme, Expected::Any, dry).await.unwrap();
    assert!(matches!(planned, DeleteOutcome::Planned(plan) if plan.hold.is_some() && plan.steps.len() == 2));

    let waiting = tenants::delete(&cx, deps, &acme, Expected::Any, removal("acme")).await.unwrap();
    let DeleteOutcome::Accepted(waiting) = waiting else { panic!("not planned") };
    assert_eq!(waiting.tenant.requested, Phase::Deleted);
    // Within the grace nothing is erased, and it can be taken back.
    let back = tenants::undelete(&cx, deps, &acme, Expected::Any).await.unwrap();
    world.done(back.operation).await;
    assert_eq!(world.tenant("acme").await.requested, Phase::Archived);
    // A synthetic tenant needs neither reason nor grace.
    let row = world.tenant("acme").await;
    let mut gone = row.spec.clone();
    gone.business.synthetic = true;
    let refused = tenants::update(&cx, deps, &acme, Expected::Any, gone).await.unwrap_err();
    assert!(matches!(refused, Refusal::Transition(_)), "an archived tenant is not edited: {refused}");
    let id = row.id;
    let due = DeleteRequest { grace: Some(jiff::SignedDuration::from_hours(1)), ..removal("acme") };
    let DeleteOutcome::Accepted(accepted) = tenants::delete(&cx, deps, &acme, Expected::Any, due).await.unwrap() else {
        panic!("not planned")
    };
    world.skip_ahead(jiff::SignedDuration::from_hours(2));
    world.done(accepted.operation).await;
    let deleted = world.tenant(&id.to_string()).await;
    assert_eq!(deleted.state.phase(), Phase::Deleted);
    // The slug stays blocked, even for a look-alike.
    let taken = tenants::create(&world.cx(), deps, Slug::parse("acme").unwrap(), spec("starter", Phase::Draft)).await;
    assert!(matches!(taken, Err(Refusal::SlugTaken(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_tenant_lives_and_dies() {
    walk("starter").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schema_tenant_lives_and_dies() {
    walk("standard").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn database_tenant_lives_and_dies() {
    walk("enterprise").await;
}

/// LIFE-02: a draft is a record and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_draft_has_nothing_anywhere() {
    let world = World::running().await;
    let (cx, deps) = (world.cx(), &world.deps);
    tenants::create(&cx, deps, Slug::parse("acme").unwrap(), spec("standard", Phase::Draft)).await.unwrap();
    let tenant = world.tenant("acme").await;
    assert_eq!(tenant.state.phase(), Phase::Draft);
    assert!(tenants::placement(&cx, deps, &name("acme")).await.unwrap().placement.is_none());
    for refused in [
        tenants::suspend(&cx, deps, &name("acme"), Expected::Any, suspension()).await.unwrap_err(),
        tenants::resume(&cx, deps, &name("acme"), Expected::Any).await.unwrap_err(),
        tenants::archive(&cx, deps, &name("acme"), Expected::Any).await.unwrap_err(),
        tenants::restore(&cx, deps, &name("acme"), Expected::Any).await.unwrap_err(),
    ] {
        assert!(matches!(refused, Refusal::Transition(_)), "{refused}");
    }
    world.stop().await;
}

/// A migration that fails unwinds the activation and says why; a newer version is tried again.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_activation_unwinds_and_explains() {
    let world = World::running().await;
    let (cx, deps) = (world.cx(), &world.deps);
    let mut catalog = crate::world::catalog();
    if let Some(tenantry_domain::manifest::Manifest::App { spec, .. }) = catalog.last_mut() {
        let tenantry_domain::app::Migrations::Files { files } = &mut spec.migrations else { panic!("files") };
        files.push(tenantry_domain::app::MigrationFile {
            name: "0002_bad.sql".into(),
            sql: "CREATE TABLE more (oops nonsense);".into(),
        });
    }
    tenantry_control::manifests::apply(&cx, deps, &catalog).await.unwrap();
    let new = tenants::create(&cx, deps, Slug::parse("acme").unwrap(), spec("standard", Phase::Active)).await.unwrap();
    let operation = world.ended(new.operation.unwrap()).await;
    assert_eq!(operation.status, OperationStatus::Failed, "{operation:#?}");
    let tenant = world.tenant("acme").await;
    assert_eq!(tenant.state.phase(), Phase::Draft);
    let failure = tenant.failure.expect("a reason");
    assert!(failure.message.contains("0002_bad.sql"), "{failure:?}");
    world.stop().await;
}
