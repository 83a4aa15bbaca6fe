//! The bound that a server keeps on the connections of a tenant's own login: one look for drift brings it to what plan
//! and overrides say, without a change of any tenant.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use serde_json::{Value, json};
use tenantry_control::controllers::drift;
use tenantry_control::plans::{self, Asked, Who};
use tenantry_control::{Options, Runtime, events, manifests, tenants};
use tenantry_domain::manifest::Manifest;
use tenantry_domain::name::PlanCode;
use tenantry_domain::tenant::Slug;
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_pg::{Pool, PoolOptions, Target};
use tenantry_testkit::pg;

use crate::world::{World, name, options, spec};

/// Controllers that look for drift when the test does, and not by themselves.
async fn world() -> World {
    let mut world = World::with(Options { sweep: Duration::from_secs(3600), ..options() }).await;
    world.runtime = Some(Runtime::start(&world.deps));
    world
}

async fn apply(world: &World, plan: &str, spec: Value) {
    let plan = Manifest::Plan { name: PlanCode::parse(plan).unwrap(), spec: serde_json::from_value(spec).unwrap() };
    manifests::apply(&world.cx(), &world.deps, &[plan]).await.unwrap();
}

/// How many tenants have other findings than before.
async fn look(world: &World) -> usize {
    drift::sweep(&world.deps).await.unwrap()
}

/// What the server keeps for a tenant's login; -1 is no bound.
async fn kept(world: &World, slug: &str) -> i32 {
    let route = tenants::placement(&world.cx(), &world.deps, &name(slug)).await.unwrap().route.unwrap();
    let target = Target::parse(&pg::server().url("postgres").into()).unwrap();
    let pool = Pool::new(target, PoolOptions::default());
    let conn = pool.get().await.unwrap();
    let row = conn.query_one("SELECT rolconnlimit FROM pg_roles WHERE rolname = $1", &[&route.role]).await.unwrap();
    conn.release();
    pool.close();
    row.get(0)
}

/// Waits until a tenant has been repaired so many times, and gives what the server keeps then.
async fn repaired(world: &World, slug: &str, times: usize) -> i32 {
    let began = Instant::now();
    loop {
        let all = events::list(&world.cx(), &world.deps, Some(&name(slug)), 0, 200).await.unwrap();
        let told: Vec<_> =
            all.iter().map(|event| event.kind.as_str()).filter(|kind| kind.starts_with("drift.")).collect();
        if told == ["drift.detected", "drift.repaired"].repeat(times) {
            return kept(world, slug).await;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{slug}, {times}: {told:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// QUOTA-01: a plan's new bound is the server's after one look, whether it is stricter, wider or none.
#[tokio::test(flavor = "multi_thread")]
async fn a_plans_new_bound_on_connections_reaches_the_server() {
    let world = world().await;
    let plans = [("starter", "shared"), ("standard", "schema"), ("enterprise", "database")];
    for (slug, plan) in [("initech", "starter"), ("acme", "standard"), ("globex", "enterprise")] {
        world.active(slug, plan).await;
    }
    assert_eq!(look(&world).await, 0);
    let mut before = 20;
    for (round, (connections, bound)) in [("7", 7), ("100", 100), ("unlimited", -1)].into_iter().enumerate() {
        for (plan, level) in plans {
            let quotas = json!({ "users": "100", "connections": connections });
            apply(&world, plan, json!({ "isolation": level, "quotas": quotas })).await;
        }
        for slug in ["acme", "globex"] {
            assert_eq!(kept(&world, slug).await, before, "{slug}: nobody has looked");
        }
        assert_eq!(look(&world).await, 2, "{connections}: the third shares its login");
        for slug in ["acme", "globex"] {
            assert_eq!(repaired(&world, slug, round + 1).await, bound, "{slug}");
        }
        assert_eq!(look(&world).await, 0, "{connections}");
        before = bound;
    }
    world.stop().await;
}

/// QUOTA-01: when an override is over, the server keeps the plan's bound again.
#[tokio::test(flavor = "multi_thread")]
async fn an_override_that_is_over_is_over_on_the_server() {
    let world = world().await;
    let until = world.cx().now.checked_add(SignedDuration::from_hours(1)).unwrap();
    let deviation = json!({ "value": "50", "reason": "imports for a week", "until": until });
    let mut wanted = spec("standard", Phase::Active);
    wanted.overrides = serde_json::from_value(json!({ "quotas": { "connections": deviation } })).unwrap();
    let slug = Slug::parse("acme").unwrap();
    let new = tenants::create(&world.cx(), &world.deps, slug, wanted).await.unwrap();
    world.done(new.operation).await;
    assert_eq!((look(&world).await, kept(&world, "acme").await), (0, 50));
    world.skip_ahead(SignedDuration::from_hours(2));
    assert_eq!(kept(&world, "acme").await, 50, "nobody has looked");
    assert_eq!(look(&world).await, 1);
    assert_eq!(repaired(&world, "acme", 1).await, 20);
    assert_eq!(look(&world).await, 0);
    world.stop().await;
}

/// PLAN-07: a login is compared with the version that its tenant has, not with the newest; an upgrade brings the new bound
/// along.
#[tokio::test(flavor = "multi_thread")]
async fn the_bound_is_that_of_the_version_that_a_tenant_has() {
    let world = world().await;
    world.active("acme", "standard").await;
    let newer = json!({ "isolation": "schema", "quotas": { "connections": "7" }, "tenants": "keep" });
    apply(&world, "standard", newer).await;
    // Both have the plan, each in a version of its own.
    world.active("globex", "standard").await;
    assert_eq!(look(&world).await, 0);
    assert_eq!((kept(&world, "acme").await, kept(&world, "globex").await), (20, 7));

    let asked = Asked { to: None, from: None, who: Who::Share(100), after: None, dry_run: false };
    let plan = PlanCode::parse("standard").unwrap();
    let done = plans::upgrade(&world.cx(), &world.deps, &plan, &asked).await.unwrap();
    assert_eq!(done.moved.len(), 1, "{done:?}");
    let began = Instant::now();
    loop {
        let tenant = world.tenant("acme").await;
        if tenant.observed_version == tenant.version {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{tenant:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((kept(&world, "acme").await, look(&world).await), (7, 0));
    world.stop().await;
}
