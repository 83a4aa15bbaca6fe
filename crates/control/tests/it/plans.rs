//! Versions of plans while several things happen at once, and what an upgrade does to a tenant that is in service.

use std::time::Duration;

use serde_json::{Value, json};
use tenantry_control::plans::{Asked, Upgraded, Who};
use tenantry_control::{Refusal, manifests, plans, tenants};
use tenantry_domain::audit::Category;
use tenantry_domain::manifest::Manifest;
use tenantry_domain::name::PlanCode;
use tenantry_domain::plan::version::held;
use tenantry_domain::policy::{self, Permit, Scope};
use tenantry_domain::tenant::Slug;
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_store::{CatalogKind, CatalogPut, Entry, WriteTx};

use crate::world::{World, name, spec};

fn team() -> PlanCode {
    PlanCode::parse("team").unwrap()
}

/// A version of the plan, told apart by its bound of seats.
fn text(seats: u32, tenants: &str) -> Value {
    json!({ "isolation": "shared", "default": false, "quotas": { "seats": seats.to_string() }, "backup": {}, "slo": {},
        "archiveRetentionDays": 90, "tenants": tenants })
}

async fn apply(world: &World, seats: u32, tenants: &str) -> i64 {
    let plan = Manifest::Plan { name: team(), spec: serde_json::from_value(text(seats, tenants)).unwrap() };
    manifests::apply(&world.cx(), &world.deps, &[plan]).await.unwrap().objects[0].version
}

async fn create(world: &World, slug: &str) {
    let slug = Slug::parse(slug).unwrap();
    tenants::create(&world.cx(), &world.deps, slug, spec("team", Phase::Draft)).await.unwrap();
}

async fn version_of(world: &World, slug: &str) -> i64 {
    tenants::entitlements(&world.cx(), &world.deps, &name(slug)).await.unwrap().0
}

fn asked(to: Option<i64>) -> Asked {
    Asked { to, from: None, who: Who::Share(100), after: None, dry_run: false }
}

/// Until nobody is left.
async fn upgrade_all(world: &World, to: i64) -> Result<usize, Refusal> {
    let (mut asked, mut moved) = (asked(Some(to)), 0);
    loop {
        let done: Upgraded = plans::upgrade(&world.cx(), &world.deps, &team(), &asked).await?;
        assert!(done.left.is_empty(), "{done:?}");
        moved += done.moved.len();
        asked.after = done.next;
        if asked.after.is_none() {
            return Ok(moved);
        }
    }
}

fn ours(world: &World, action: &'static str) -> Permit {
    policy::controller(action, Scope::environment(world.environment.clone()))
}

/// A version that is written and not committed yet.
async fn writing(world: &World, seats: u32, tenants: &str) -> (WriteTx, Vec<Entry>) {
    let permit = ours(world, "manifests.apply");
    let mut tx = world.deps.store().write(&permit, world.cx().now).await.unwrap();
    let row = tx.catalog().lock(CatalogKind::Plan, "team").await.unwrap().unwrap();
    let put = CatalogPut {
        kind: CatalogKind::Plan,
        name: "team".into(),
        from_version: row.version,
        spec: text(seats, tenants),
        action: "manifests.apply".into(),
        correlation_id: "test".into(),
    };
    let new = tx.catalog().put(&put).await.unwrap();
    let mut audit = world.cx().audit(&permit, Category::Mutation, "plan/team".into());
    audit.version = Some(new.version);
    (tx, vec![Entry::environment(audit, Vec::new())])
}

const A_WHILE: Duration = Duration::from_millis(300);

/// PLAN-01: a tenant that is made while a version is applied has the version that is the newest at its commit.
#[tokio::test]
async fn a_tenant_that_is_made_while_a_version_is_applied_has_the_newest_of_its_commit() {
    let world = World::new().await;
    assert_eq!(apply(&world, 10, "follow").await, 1);
    // The version is there first: who creates waits, and is checked and bound by the new one.
    let (tx, entries) = writing(&world, 11, "keep").await;
    {
        let creation = create(&world, "late");
        tokio::pin!(creation);
        assert!(tokio::time::timeout(A_WHILE, &mut creation).await.is_err(), "it has to wait for the version");
        tx.commit(entries).await.unwrap();
        creation.await;
    }
    assert_eq!(version_of(&world, "late").await, 2);

    // The tenant is there first: the version waits, and the tenant keeps the one before.
    let mut tx = world.deps.store().write(&ours(&world, "tenant.create"), world.cx().now).await.unwrap();
    assert_eq!(tx.catalog().hold_plan("team").await.unwrap().unwrap().version, 2);
    {
        let version = apply(&world, 12, "keep");
        tokio::pin!(version);
        assert!(tokio::time::timeout(A_WHILE, &mut version).await.is_err(), "it has to wait for the tenant");
        tx.rollback().await;
        assert_eq!(version.await, 3);
    }
    assert_eq!(version_of(&world, "late").await, 2);

    // One that is bound to the plan later has the newest; bound away and back, the newest again.
    let bind = async |plan: &str| {
        let spec = spec(plan, Phase::Draft);
        tenants::update(&world.cx(), &world.deps, &name("late"), tenants::Expected::Any, spec).await.unwrap();
    };
    bind("starter").await;
    assert_eq!(version_of(&world, "late").await, 1);
    bind("team").await;
    assert_eq!(version_of(&world, "late").await, 3);
    world.stop().await;
}

/// PLAN-07: a version that appears while an upgrade runs neither divides the tenants nor is passed over.
#[tokio::test]
async fn a_version_that_is_applied_while_an_upgrade_runs_divides_nobody() {
    let world = World::new().await;
    apply(&world, 10, "follow").await;
    for number in 0..70 {
        create(&world, &format!("team-{number}")).await;
    }
    let counts = async || -> Vec<(i64, u64)> {
        let found = plans::versions(&world.cx(), &world.deps, &team(), i64::MAX, 50).await.unwrap();
        found.iter().map(|one| (one.version, one.tenants)).collect()
    };
    assert_eq!(apply(&world, 11, "keep").await, 2);
    let first = plans::upgrade(&world.cx(), &world.deps, &team(), &asked(None)).await.unwrap();
    assert_eq!((first.version, first.moved.len()), (2, 50));
    assert!(first.next.is_some());
    // A version that keeps: the upgrade goes on to where it was going, also from the beginning, as after a crash.
    assert_eq!(apply(&world, 12, "keep").await, 3);
    assert_eq!(upgrade_all(&world, 2).await.unwrap(), 20);
    assert_eq!(counts().await, [(3, 0), (2, 70), (1, 0)]);

    // Both at once: everybody has the version of the upgrade.
    let (moved, version) = tokio::join!(upgrade_all(&world, 3), apply(&world, 13, "keep"));
    assert_eq!((moved.unwrap(), version), (70, 4));
    assert_eq!(counts().await, [(4, 0), (3, 70), (2, 0), (1, 0)]);

    // A version that all follow to overtakes it: it ends with that, and everybody has the new one.
    let begun = plans::upgrade(&world.cx(), &world.deps, &team(), &asked(Some(4))).await.unwrap();
    assert_eq!(begun.moved.len(), 50);
    assert_eq!(apply(&world, 14, "follow").await, 5);
    let overtaken = upgrade_all(&world, 4).await.unwrap_err();
    assert_eq!(overtaken.code().to_string(), "TEN-0027");
    assert_eq!(counts().await[0], (5, 70));
    // Two upgrades to different versions at once move each tenant once or twice, and lose none.
    assert_eq!(apply(&world, 15, "keep").await, 6);
    assert_eq!(apply(&world, 16, "keep").await, 7);
    let (left, right) = tokio::join!(upgrade_all(&world, 6), upgrade_all(&world, 7));
    assert!(left.unwrap() + right.unwrap() >= 70);
    let after = counts().await;
    assert_eq!(after[0].1 + after[1].1, 70, "{after:?}");
    world.stop().await;
}

/// PLAN-07: an upgrade is brought into effect like every other change, and what would move a tenant is refused.
#[tokio::test]
async fn a_tenant_in_service_is_upgraded_by_the_workflow_of_changes() {
    let world = World::running().await;
    apply(&world, 10, "follow").await;
    let before = world.active("acme", "team").await;
    apply(&world, 20, "keep").await;
    let done = plans::upgrade(&world.cx(), &world.deps, &team(), &asked(None)).await.unwrap();
    assert_eq!((done.moved.len(), done.moved[0].from), (1, 1));
    let began = std::time::Instant::now();
    let after = loop {
        let tenant = world.tenant("acme").await;
        if tenant.observed_version == tenant.version {
            break tenant;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{tenant:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!((after.version, &after.spec), (before.version + 1, &before.spec), "what is wanted is as it was");
    assert!(matches!(after.state, tenantry_domain::tenant::lifecycle::State::Active { .. }));
    assert_eq!(version_of(&world, "acme").await, 2);

    let mut moved = text(30, "keep");
    moved["isolation"] = json!("schema");
    let plan = Manifest::Plan { name: team(), spec: serde_json::from_value(moved).unwrap() };
    manifests::apply(&world.cx(), &world.deps, &[plan]).await.unwrap();
    let refused = plans::upgrade(&world.cx(), &world.deps, &team(), &asked(None)).await.unwrap();
    assert_eq!(refused.left[0].why.code().to_string(), "TEN-0017", "{refused:?}");
    assert_eq!(version_of(&world, "acme").await, 2);
    world.stop().await;
}

/// What SQL makes of the two numbers is what the domain makes of them.
#[tokio::test]
async fn the_registry_works_versions_out_as_the_domain_does() {
    let world = World::new().await;
    for (place, tenants) in ["follow", "keep", "follow", "keep", "keep"].into_iter().enumerate() {
        apply(&world, 10 + u32::try_from(place).unwrap(), tenants).await;
    }
    create(&world, "acme").await;
    let store = world.deps.store().read(&world.environment);
    let row = store.tenant(world.tenant("acme").await.id).await.unwrap().unwrap();
    assert_eq!(row.plan_version, 5);
    for given in 0..9 {
        let row = tenantry_store::TenantRow { plan_version: given, ..row.clone() };
        let found = store.plan_of(&row).await.unwrap().unwrap();
        assert_eq!(found.version, held(given, 3, 5), "{given}");
        assert_eq!(
            found.spec["quotas"]["seats"],
            text(9 + u32::try_from(found.version).unwrap(), "")["quotas"]["seats"]
        );
    }
    world.stop().await;
}
