//! What tenants' data takes: measured on real cells, judged by the quota, told once, and what a hard one holds up.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tenantry_control::plans::{self, Asked, Upgraded, Who};
use tenantry_control::quotas::{self, Quota, QuotaName};
use tenantry_control::tokens::{self, Wanted};
use tenantry_control::view::OperationStatus;
use tenantry_control::{Options, Refusal, Runtime, events, manifests, tenants};
use tenantry_domain::code::Code;
use tenantry_domain::manifest::Manifest;
use tenantry_domain::name::PlanCode;
use tenantry_domain::policy::{ActorKind, Role};
use tenantry_domain::tenant::Slug;
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_testkit::pg;

use crate::world::{World, catalog, name, options, spec};

async fn world(storage: Option<Duration>) -> World {
    let mut world = World::with(Options { storage, ..options() }).await;
    for (code, isolation, bound) in [
        ("pooled", "shared", json!("1Mi")),
        ("walled", "schema", json!("1Mi")),
        ("apart", "database", json!({ "limit": "1Ti", "mode": "soft" })),
        ("unwatched", "schema", json!({ "mode": "off" })),
    ] {
        let spec = json!({ "isolation": isolation, "quotas": { "storage": bound } });
        let spec = serde_json::from_value(spec).unwrap();
        let plan = Manifest::Plan { name: PlanCode::parse(code).unwrap(), spec };
        manifests::apply(&world.cx(), &world.deps, &[plan]).await.unwrap();
    }
    world.runtime = Some(Runtime::start(&world.deps));
    world
}

async fn storage(world: &World, slug: &str) -> Quota {
    let all = quotas::list(&world.cx(), &world.deps, &name(slug)).await.unwrap();
    all.into_iter().find(|quota| quota.name.as_str() == "storage").unwrap()
}

async fn until(world: &World, slug: &str, what: &str, is_so: impl Fn(&Quota) -> bool) -> Quota {
    let began = Instant::now();
    loop {
        let quota = storage(world, slug).await;
        if is_so(&quota) {
            return quota;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{slug} never came to this: {what}: {quota:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn told(world: &World, slug: &str) -> Vec<String> {
    let all = events::list(&world.cx(), &world.deps, Some(&name(slug)), 0, 1000).await.unwrap();
    all.into_iter().map(|event| event.kind.to_string()).filter(|kind| kind.starts_with("quota.")).collect()
}

/// Rows that take about so many KiB: four of them fill a page.
async fn grow(world: &World, slug: &str, kib: i64) {
    let tx = world.enter(slug).await.unwrap();
    let sql = "INSERT INTO notes (body) SELECT repeat(md5(n::text), 60) FROM generate_series(1, $1::bigint / 2) AS n";
    tx.execute(sql, &[&kib]).await.unwrap();
    tx.commit().await.unwrap();
}

async fn key(world: &World, slug: &str) -> Result<(), Refusal> {
    let wanted = Wanted {
        name: "key".into(),
        kind: ActorKind::Service,
        roles: vec![Role::Tenant],
        scopes: None,
        tenant: Some(name(slug)),
        person: None,
        life: None,
    };
    tokens::create(&world.cx(), &world.deps, wanted).await.map(drop)
}

/// As the server says it, in the tenant's database.
async fn truth(world: &World, slug: &str) -> (String, String) {
    let (cell, space) = tenantry_control::tenants::read::space(&world.cx(), &world.deps, &name(slug)).await.unwrap();
    let route = cell.route(&space).unwrap();
    (route.database, route.schema)
}

/// A tenant of a schema grows past the warning mark and the limit, is given nothing more, and shrinks again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn growth_is_told_once_and_holds_up_what_is_given_out() {
    let world = world(Some(Duration::from_millis(100))).await;
    for slug in ["acme", "bravo"] {
        world.active(slug, "walled").await;
    }
    let empty = until(&world, "acme", "measured", |quota| quota.used > 0).await.used;
    assert!(empty < 256 * 1024, "two empty tables: {empty}");
    grow(&world, "acme", 850).await;
    until(&world, "acme", "the warning mark", |quota| quota.used >= 838_861).await;
    assert_eq!(told(&world, "acme").await, ["quota.warning"]);
    key(&world, "acme").await.expect("a warning holds up nothing");
    grow(&world, "acme", 400).await;
    until(&world, "acme", "the limit", |quota| quota.used > 1024 * 1024).await;
    assert_eq!(told(&world, "acme").await, ["quota.warning", "quota.exceeded"]);
    let (database, schema) = truth(&world, "acme").await;
    let sizes = "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
        WHERE relkind = 'r' AND relnamespace = quote_ident($1)::regnamespace";
    let pool = tenantry_pg::Pool::new(
        tenantry_pg::Target::parse(&pg::server().url(&database).into()).unwrap(),
        tenantry_pg::PoolOptions::default(),
    );
    let conn = pool.get().await.unwrap();
    let size: i64 = conn.query_one(sizes, &[&schema]).await.unwrap().get(0);
    conn.release();
    let size = u64::try_from(size).unwrap();
    let is_near = |quota: &Quota| quota.used.abs_diff(size) < 64 * 1024;
    until(&world, "acme", "what the server says of the tenant's relations, but for what is no news", is_near).await;
    let refusal = key(&world, "acme").await.unwrap_err();
    assert_eq!(refusal.code(), Code::QuotaUsedUp);
    assert!(refusal.to_string().contains("`storage`"), "{refusal}");
    // Whoever asks before a write is refused as well; what is there stays readable and writable.
    let quota = QuotaName::parse("storage").unwrap();
    let asked = quotas::take(&world.cx(), &world.deps, &name("acme"), &quota, 1).await;
    assert_eq!(asked.unwrap_err().code(), Code::QuotaUsedUp);
    grow(&world, "acme", 2).await;
    key(&world, "bravo").await.expect("a neighbour has room of its own");
    assert!(storage(&world, "bravo").await.used < 256 * 1024);

    let tx = world.enter("acme").await.unwrap();
    tx.execute("DELETE FROM notes", &[]).await.unwrap();
    tx.commit().await.unwrap();
    // Whoever reads at this moment keeps the server from giving space back.
    let began = Instant::now();
    while storage(&world, "acme").await.used > 512 * 1024 {
        assert!(began.elapsed() < Duration::from_secs(30), "no room again");
        pg::server().sql(&database, &format!("VACUUM \"{schema}\".notes"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    key(&world, "acme").await.unwrap();
    assert_eq!(told(&world, "acme").await, ["quota.warning", "quota.exceeded"], "once for each crossing");
    world.stop().await;
}

/// A database is measured as a whole; shared tables are not; `off` and settings without a measurement measure nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_measured_depends_on_the_level_and_the_mode() {
    let world = world(Some(Duration::from_millis(100))).await;
    for (slug, plan) in [("shared", "pooled"), ("off", "unwatched"), ("apart", "apart")] {
        world.active(slug, plan).await;
    }
    let found = until(&world, "apart", "measured", |quota| quota.used > 0).await.used;
    assert!((4 << 20..64 << 20).contains(&found), "an empty database has some megabytes: {found}");
    for slug in ["shared", "off"] {
        assert_eq!(storage(&world, slug).await.used, 0, "{slug}");
    }
    // Looks that find what is known leave no entry.
    let state = async || -> (String, i64) {
        let sql = "SELECT max(due_at)::text, (SELECT count(*) FROM tenantry.audit WHERE action = 'quota.set') FROM tenantry.storage_turn";
        let conn = world.deps.store().pool().get().await.unwrap();
        let row = conn.query_one(sql, &[]).await.unwrap();
        conn.release();
        (row.get(0), row.get(1))
    };
    let began = Instant::now();
    let (mut turn, entries) = state().await;
    let mut turns = 0;
    while turns < 4 {
        assert!(began.elapsed() < Duration::from_secs(30), "no more turns");
        let now = state().await;
        assert_eq!(now.1, entries);
        turns += usize::from(now.0 != turn);
        turn = now.0;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.stop().await;
}

/// QUOTA-03: a tenant is measured by the version of the plan that it has, whatever newer ones say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_keeps_a_version_is_measured_by_it() {
    let world = world(Some(Duration::from_millis(100))).await;
    world.active("kept", "walled").await;
    let spec = json!({ "isolation": "schema", "tenants": "keep", "quotas": { "storage": { "mode": "off" } } });
    let plan = Manifest::Plan { name: PlanCode::parse("walled").unwrap(), spec: serde_json::from_value(spec).unwrap() };
    manifests::apply(&world.cx(), &world.deps, &[plan]).await.unwrap();
    world.active("newer", "walled").await;
    grow(&world, "newer", 400).await;
    grow(&world, "kept", 1400).await;
    until(&world, "kept", "the limit of its version", |quota| quota.used > 1024 * 1024).await;
    assert_eq!(key(&world, "kept").await.unwrap_err().code(), Code::QuotaUsedUp);
    assert_eq!(storage(&world, "newer").await.used, 0);
    key(&world, "newer").await.expect("nothing is measured there");
    world.stop().await;
}

/// A turn is one process's, and comes again after its time.
#[tokio::test]
async fn a_cell_is_measured_by_one_process_at_a_time() {
    let world = World::new().await;
    let (store, cell) = (world.deps.store(), "eu-west-1".parse().unwrap());
    let (now, every) = (world.deps.now(), Duration::from_secs(300));
    let mut turns = 0;
    for _ in 0..5 {
        turns += usize::from(store.storage_turn(&world.environment, &cell, now, every).await.unwrap());
    }
    assert_eq!(turns, 1);
    let later = now.checked_add(jiff::SignedDuration::from_secs(300)).unwrap();
    assert!(store.storage_turn(&world.environment, &cell, later, every).await.unwrap());
}

const GIB: u64 = 1 << 30;

/// A plan with so much hard storage, and what a version of it means to those who have an older one.
async fn promise(world: &World, code: &str, storage: &str, tenants: &str) {
    let spec = json!({ "isolation": "shared", "tenants": tenants, "quotas": { "storage": storage } });
    let spec = serde_json::from_value(spec).unwrap();
    let plan = Manifest::Plan { name: PlanCode::parse(code).unwrap(), spec };
    manifests::apply(&world.cx(), &world.deps, &[plan]).await.unwrap();
}

/// An installation whose cell promises ten GiB of storage, with these plans.
async fn declaring(plans: &[(&str, &str)]) -> World {
    let mut world = World::new().await;
    for (code, storage) in plans {
        promise(&world, code, storage, "follow").await;
    }
    let cell = catalog().into_iter().find_map(|manifest| match manifest {
        Manifest::Cell { name, mut spec } => {
            spec.promises = [("storage".to_owned(), 10 * GIB)].into();
            Some(Manifest::Cell { name, spec })
        }
        _ => None,
    });
    manifests::apply(&world.cx(), &world.deps, &[cell.unwrap()]).await.unwrap();
    world.runtime = Some(Runtime::start(&world.deps));
    world
}

/// Writes some fields of a tenant's spec.
async fn bind(world: &World, slug: &str, change: Value) -> Result<(), Refusal> {
    let parse = move |mut current: Value| {
        for (field, value) in change.as_object().unwrap() {
            current[field] = value.clone();
        }
        Ok(serde_json::from_value(current).unwrap())
    };
    tenants::patch(&world.cx(), &world.deps, &name(slug), tenants::Expected::Any, parse).await.map(drop)
}

fn storage_of(amount: &str) -> Value {
    json!({ "quotas": { "storage": { "value": amount, "reason": "asked for" } } })
}

/// Refused before anything is begun, with the figures.
async fn is_full(world: &World, slug: &str, plan: &str, promised: u64) {
    let slug = Slug::parse(slug).unwrap();
    let refusal =
        tenants::create(&world.cx(), &world.deps, slug, spec(plan, Phase::Active)).await.expect_err("no room");
    assert_eq!(refusal.code(), Code::NoCapacity);
    let figures = format!("{} of {} of `storage` are promised", promised * GIB, 10 * GIB);
    assert!(refusal.hint().contains(&figures), "{}", refusal.hint());
}

/// QUOTA-04: what hard quotas promise is held against what the cell declares, when tenants are placed and when they get more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cell_promises_no_more_than_it_declares() {
    let world = declaring(&[("four", "4Gi"), ("six", "6Gi")]).await;
    world.active("first", "four").await;
    world.active("second", "four").await;
    is_full(&world, "third", "four", 8).await;

    bind(&world, "first", json!({ "plan": "six" })).await.expect("six and four are ten");
    let refusal = bind(&world, "second", json!({ "plan": "six" })).await.unwrap_err();
    assert_eq!(refusal.code(), Code::CellPromised);
    assert!(refusal.to_string().contains(&format!("{} of {}", 6 * GIB, 10 * GIB)), "{refusal}");
    let over = bind(&world, "second", json!({ "overrides": storage_of("5Gi") })).await;
    assert_eq!(over.unwrap_err().code(), Code::CellPromised);
    bind(&world, "second", json!({ "overrides": storage_of("1Gi") })).await.expect("less is never refused");
    // What became free is there for the next one, once: of two at the same time one fits.
    bind(&world, "first", json!({ "plan": "four" })).await.unwrap();
    let (one, two) = tokio::join!(bind(&world, "first", json!({ "plan": "six" })), async {
        let slug = Slug::parse("fourth").unwrap();
        let made = tenants::create(&world.cx(), &world.deps, slug, spec("four", Phase::Active)).await;
        match made {
            Ok(made) => world.ended(made.operation.unwrap()).await.status == OperationStatus::Completed,
            Err(refusal) => {
                assert_eq!(refusal.code(), Code::NoCapacity);
                false
            }
        }
    });
    assert!(one.is_ok() != two, "exactly one of both: {one:?} {two}");
    world.stop().await;
}

/// QUOTA-04: a tenant is promised what the version of its plan says that it has, and an upgrade asks as a change of plan does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cell_promises_what_the_versions_say_that_tenants_have() {
    let world = declaring(&[("grown", "4Gi"), ("two", "2Gi")]).await;
    world.active("first", "grown").await;
    world.active("second", "grown").await;
    // Both keep 4Gi.
    promise(&world, "grown", "6Gi", "keep").await;
    world.active("third", "two").await;
    let over = bind(&world, "first", json!({ "overrides": storage_of("6Gi") })).await;
    assert_eq!(over.unwrap_err().code(), Code::CellPromised, "no more than the newest version says");
    promise(&world, "grown", "1Gi", "keep").await;
    is_full(&world, "fourth", "two", 10).await;

    let upgrade = async |to: i64, dry_run: bool| -> Upgraded {
        let asked = Asked { to: Some(to), from: None, who: Who::Share(100), after: None, dry_run };
        let code = PlanCode::parse("grown").unwrap();
        plans::upgrade(&world.cx(), &world.deps, &code, &asked).await.unwrap()
    };
    let codes = |done: &Upgraded| done.left.iter().map(|left| left.why.code()).collect::<Vec<_>>();
    for dry_run in [true, false] {
        let full = upgrade(2, dry_run).await;
        assert!(full.moved.is_empty(), "{full:?}");
        assert_eq!(codes(&full), [Code::CellPromised, Code::CellPromised]);
    }
    let less = upgrade(3, false).await;
    assert_eq!((less.moved.len(), less.left.len()), (2, 0), "{less:?}");
    // What they gave back is enough for one of them.
    let some = upgrade(2, false).await;
    assert_eq!(some.moved.len(), 1, "{some:?}");
    assert_eq!(codes(&some), [Code::CellPromised]);
    world.stop().await;
}

/// QUOTA-04: tenants of one apply count as it leaves them, not as they were before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_of_one_apply_are_promised_no_more_together() {
    let world = declaring(&[("one", "1Gi"), ("four", "4Gi"), ("six", "6Gi")]).await;
    let first = world.active("first", "four").await;
    let second = world.active("second", "four").await;
    let bound = |tenant: &tenantry_control::view::Tenant, plan: &str, overrides: Value| Manifest::Tenant {
        slug: tenant.slug.clone(),
        spec: tenantry_domain::tenant::Spec {
            plan: PlanCode::parse(plan).unwrap(),
            overrides: serde_json::from_value(overrides).unwrap(),
            ..tenant.spec.clone()
        },
    };
    let both = [bound(&first, "six", json!({})), bound(&second, "six", json!({}))];
    let refusal = manifests::apply(&world.cx(), &world.deps, &both).await.expect_err("each alone would fit");
    assert_eq!(refusal.code(), Code::CellPromised);
    assert!(refusal.to_string().contains(&format!("{} of {}", 6 * GIB, 10 * GIB)), "{refusal}");
    let mixed = [bound(&first, "six", json!({})), bound(&second, "four", storage_of("6Gi"))];
    let refusal = manifests::apply(&world.cx(), &world.deps, &mixed).await.expect_err("an override is no other");
    assert_eq!(refusal.code(), Code::CellPromised);
    assert_eq!(world.tenant("first").await.version, first.version, "nothing was changed");
    // One makes room for the other.
    let both = [bound(&first, "one", json!({})), bound(&second, "four", storage_of("9Gi"))];
    manifests::apply(&world.cx(), &world.deps, &both).await.expect("one and nine are ten");
    world.stop().await;
}
