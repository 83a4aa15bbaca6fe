//! What tenants' data takes: measured on real cells, judged by the quota, told once, and what a hard one holds up.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tenantry_control::quotas::{self, Quota, QuotaName};
use tenantry_control::tokens::{self, Wanted};
use tenantry_control::view::OperationStatus;
use tenantry_control::{Options, Refusal, Runtime, events, manifests};
use tenantry_domain::code::Code;
use tenantry_domain::manifest::Manifest;
use tenantry_domain::name::PlanCode;
use tenantry_domain::policy::{ActorKind, Role};
use tenantry_testkit::pg;

use crate::world::{World, name, options};

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
    for slug in ["acme", "beta"] {
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
    key(&world, "beta").await.expect("a neighbour has room of its own");
    assert!(storage(&world, "beta").await.used < 256 * 1024);

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

/// QUOTA-04: what hard quotas promise is held against what the cell declares, when tenants are placed and when they get more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cell_promises_no_more_than_it_declares() {
    let mut world = World::new().await;
    let apply = async |world: &World, manifest: Manifest| {
        manifests::apply(&world.cx(), &world.deps, &[manifest]).await.unwrap();
    };
    let plan = |code: &str, storage: &str| Manifest::Plan {
        name: PlanCode::parse(code).unwrap(),
        spec: serde_json::from_value(json!({ "isolation": "shared", "quotas": { "storage": storage } })).unwrap(),
    };
    for manifest in [plan("four", "4Gi"), plan("six", "6Gi")] {
        apply(&world, manifest).await;
    }
    let cell = crate::world::catalog().into_iter().find_map(|manifest| match manifest {
        Manifest::Cell { name, mut spec } => {
            spec.promises = [("storage".to_owned(), 10_u64 << 30)].into();
            Some(Manifest::Cell { name, spec })
        }
        _ => None,
    });
    apply(&world, cell.unwrap()).await;
    world.runtime = Some(Runtime::start(&world.deps));
    world.active("first", "four").await;
    world.active("second", "four").await;
    // Refused before anything is begun, with the figures.
    let wanted = crate::world::spec("four", tenantry_domain::tenant::lifecycle::Phase::Active);
    let slug = |text: &str| tenantry_domain::tenant::Slug::parse(text).unwrap();
    let refusal = tenantry_control::tenants::create(&world.cx(), &world.deps, slug("third"), wanted).await.unwrap_err();
    assert_eq!(refusal.code(), Code::NoCapacity);
    let gib = 1_u64 << 30;
    let figures = format!("{} of {} of `storage` are promised", 8 * gib, 10 * gib);
    assert!(refusal.hint().contains(&figures), "{}", refusal.hint());

    let bind = async |world: &World, slug: &'static str, change: Value| {
        let parse = move |mut current: Value| {
            for (field, value) in change.as_object().unwrap() {
                current[field] = value.clone();
            }
            Ok(serde_json::from_value(current).unwrap())
        };
        let expected = tenantry_control::tenants::Expected::Any;
        tenantry_control::tenants::patch(&world.cx(), &world.deps, &name(slug), expected, parse).await
    };
    bind(&world, "first", json!({ "plan": "six" })).await.expect("six and four are ten");
    let refusal = bind(&world, "second", json!({ "plan": "six" })).await.unwrap_err();
    assert_eq!(refusal.code(), Code::CellPromised);
    assert!(refusal.to_string().contains(&format!("{} of {}", 6 * gib, 10 * gib)), "{refusal}");
    let over = json!({ "quotas": { "storage": { "value": "5Gi", "reason": "asked for" } } });
    assert_eq!(bind(&world, "second", json!({ "overrides": over })).await.unwrap_err().code(), Code::CellPromised);
    let less = json!({ "quotas": { "storage": { "value": "1Gi", "reason": "asked for" } } });
    bind(&world, "second", json!({ "overrides": less })).await.expect("less is never refused");
    // What became free is there for the next one, once: of two at the same time one fits.
    bind(&world, "first", json!({ "plan": "four" })).await.unwrap();
    let (one, two) = tokio::join!(bind(&world, "first", json!({ "plan": "six" })), async {
        let wanted = crate::world::spec("four", tenantry_domain::tenant::lifecycle::Phase::Active);
        let made = tenantry_control::tenants::create(&world.cx(), &world.deps, slug("fourth"), wanted).await;
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
