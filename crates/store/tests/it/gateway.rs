//! What a gateway reads: routes, logins, cells, what has changed; and that its role reads nothing else.

use serde_json::json;
use tenantry_domain::audit::Category;
use tenantry_domain::cell::SecretRef;
use tenantry_domain::gateway::{Allowed, Whose};
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{CellName, EnvironmentName, RegionName};
use tenantry_domain::placement::Placement;
use tenantry_domain::tenant::lifecycle::{Phase, State};
use tenantry_domain::tenant::spec::Override;
use tenantry_store::{CatalogKind, CatalogPut, Entry, GatewayRoute, LoginsOf, Movement, StateChange, Store, Subject};
use tenantry_testkit::pg::server;

use crate::logins::{create, delete, login, new, revoke, service};
use crate::world::{World, at, draft, new_tenant, options, permit, prod, transition};

async fn put(world: &World, second: i64, kind: CatalogKind, name: &str, spec: serde_json::Value) {
    let mut tx = world.store.write(&permit(), at(second)).await.unwrap();
    let from_version = tx.catalog().lock(kind, name).await.unwrap().map_or(0, |row| row.version);
    let put = CatalogPut {
        kind,
        name: name.into(),
        from_version,
        spec,
        action: "manifests.apply".into(),
        correlation_id: "c".into(),
    };
    tx.catalog().put(&put).await.unwrap();
    let audit = draft("manifests.apply", Category::Mutation, Some(1));
    tx.commit(vec![Entry::environment(audit, vec![])]).await.unwrap();
}

async fn activate(world: &World, second: i64, id: TenantId, isolation: Isolation) {
    let placement = Placement {
        region: RegionName::parse("eu-west").unwrap(),
        cell: CellName::parse("eu-1").unwrap(),
        isolation,
        generation: 1,
    };
    let mut tx = world.store.write(&permit(), at(second)).await.unwrap();
    let row = tx.tenants().lock(id).await.unwrap();
    let change = StateChange {
        id,
        state: State::Active { since: at(second), placement },
        observed_version: row.version,
        app_version: 1,
        conditions: vec![],
    };
    tx.tenants().set_state(&change).unwrap();
    tx.commit(vec![transition(id)]).await.unwrap();
}

async fn routes(store: &Store) -> Vec<GatewayRoute> {
    let mut routes = store.read(&prod()).gateway_routes(None).await.unwrap();
    routes.sort_by(|a, b| a.slug.cmp(&b.slug));
    routes
}

#[tokio::test]
async fn a_route_has_place_names_and_bound() {
    let world = World::new().await;
    put(
        &world,
        1,
        CatalogKind::Plan,
        "standard",
        json!({ "isolation": "schema", "quotas": { "connections": "8", "users": "100" } }),
    )
    .await;
    let mut first = new_tenant("acme");
    first.spec.aliases = vec!["legacy-1".into(), "globex".into(), "Übrig".into()];
    let until = at(500);
    let deviation = Override { value: "20".parse().unwrap(), reason: "pilot".into(), until: Some(until) };
    first.spec.overrides.quotas.insert("connections".into(), deviation);
    let acme = world.create_from(first, 2).await.unwrap().id;
    world.create("globex").await;
    activate(&world, 3, acme, Isolation::Schema).await;
    let found = routes(&world.store).await;
    let [acme_route, globex_route] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((acme_route.tenant, acme_route.phase, acme_route.generation), (acme, Phase::Active, 1));
    assert_eq!(acme_route.place, Some((CellName::parse("eu-1").unwrap(), Isolation::Schema)));
    // What is somebody's slug leads to that one alone.
    assert_eq!(acme_route.aliases, ["legacy-1", "Übrig"]);
    assert_eq!((acme_route.connections(at(499)), acme_route.connections(until)), (Some(20), Some(8)));
    assert_eq!(
        (globex_route.phase, &globex_route.place, globex_route.connections(at(0))),
        (Phase::Draft, &None, Some(8))
    );
    put(
        &world,
        4,
        CatalogKind::Plan,
        "standard",
        json!({ "isolation": "schema", "quotas": { "connections": "unlimited" } }),
    )
    .await;
    assert_eq!(routes(&world.store).await[1].connections(at(0)), None);
    let only = world.store.read(&prod()).gateway_routes(Some(&[acme])).await.unwrap();
    assert_eq!(only.len(), 1);
    delete(&world, &world.row(acme).await, 5).await;
    assert_eq!(routes(&world.store).await.len(), 1);
    assert!(world.store.read(&prod()).gateway_routes(Some(&[acme])).await.unwrap().is_empty());
}

#[tokio::test]
async fn each_change_moves_what_it_changes() {
    let world = World::new().await;
    let acme = world.create("acme").await.id;
    let whose = Whose::Tenant(acme);
    let watch = async |since: i64| {
        let watch = world.store.gateway_watch(at(since), 100).await.unwrap();
        assert!(!watch.is_cut && watch.now > at(0));
        watch.changes
    };
    let of = |changes: &std::collections::BTreeMap<EnvironmentName, std::collections::BTreeMap<Subject, Movement>>| {
        changes[&prod()].clone()
    };
    assert_eq!(of(&watch(-1).await), [(Subject::Tenant(acme), Movement { route: Some(1), logins: None })].into());
    assert!(of(&watch(0).await).is_empty(), "an environment without changes is still there");
    create(&world, 10, &new("acme-app", login(whose))).await.unwrap();
    let moved = of(&watch(9).await);
    assert_eq!(moved, [(Subject::Tenant(acme), Movement { route: None, logins: Some(2) })].into());
    create(&world, 20, &new("chat", login(service(Allowed::All)))).await.unwrap();
    let moved = of(&watch(19).await);
    assert_eq!(moved, [(Subject::Environment, Movement { route: None, logins: Some(1) })].into());
    put(
        &world,
        30,
        CatalogKind::Cell,
        "eu-1",
        json!({ "region": "eu-west", "database": { "env": "EU_1" }, "capacity": {} }),
    )
    .await;
    let moved = of(&watch(29).await);
    assert_eq!(moved, [(Subject::Environment, Movement { route: Some(2), logins: None })].into());
    activate(&world, 40, acme, Isolation::Shared).await;
    assert_eq!(of(&watch(39).await), [(Subject::Tenant(acme), Movement { route: Some(3), logins: None })].into());
    // Attempts, other credentials and an environment's rollouts move nothing.
    for (category, action) in [
        (Category::Refusal, "gateway.login.create"),
        (Category::Access, "credential.issue"),
        (Category::Workflow, "rollout.pause"),
    ] {
        let tx = world.store.write(&permit(), at(50)).await.unwrap();
        tx.commit(vec![Entry::environment(draft(action, category, None), vec![])]).await.unwrap();
    }
    assert!(of(&watch(49).await).is_empty());
    let staging = EnvironmentName::parse("staging").unwrap();
    world.store.ensure_environment(&staging).await.unwrap();
    assert_eq!(watch(49).await.keys().map(EnvironmentName::as_str).collect::<Vec<_>>(), ["prod", "staging"]);
    for second in 60..70 {
        world.bump(acme, second).await.unwrap();
    }
    let cut = world.store.gateway_watch(at(59), 9).await.unwrap();
    assert!(cut.is_cut && !world.store.gateway_watch(at(59), 10).await.unwrap().is_cut);
}

#[tokio::test]
async fn logins_are_read_by_whose_they_are() {
    let world = World::new().await;
    let (acme, globex) = (world.create("acme").await.id, world.create("globex").await.id);
    for (name, whose) in [
        ("acme-app", Whose::Tenant(acme)),
        ("acme-old", Whose::Tenant(acme)),
        ("globex-app", Whose::Tenant(globex)),
        ("chat", service(Allowed::All)),
    ] {
        create(&world, 1, &new(name, login(whose))).await.unwrap();
    }
    revoke(&world, 2, "acme-old").await.unwrap();
    let reader = world.store.read(&prod());
    let names = async |of: LoginsOf<'_>| {
        let mut names: Vec<_> =
            reader.gateway_logins(of).await.unwrap().into_iter().map(|row| row.name.to_string()).collect();
        names.sort();
        names
    };
    assert_eq!(names(LoginsOf::Everybody).await, ["acme-app", "chat", "globex-app"]);
    assert_eq!(names(LoginsOf::Services).await, ["chat"]);
    assert_eq!(names(LoginsOf::Tenants(&[acme])).await, ["acme-app"]);
    assert_eq!(names(LoginsOf::Tenants(&[])).await, [] as [&str; 0]);
}

/// The whole of what a gateway needs works with its role, and everything else is refused.
#[tokio::test]
async fn the_gateways_role_reads_what_it_needs_and_nothing_else() {
    let world = World::new().await;
    put(
        &world,
        1,
        CatalogKind::Cell,
        "eu-1",
        json!({ "region": "eu-west", "database": { "env": "EU_1" }, "capacity": {} }),
    )
    .await;
    let acme = world.create("acme").await;
    activate(&world, 2, acme.id, Isolation::Shared).await;
    create(&world, 3, &new("acme-app", login(Whose::Tenant(acme.id)))).await.unwrap();
    let role = format!("gateway_{}", world.database.name());
    world.sql(&format!("CREATE ROLE {role} LOGIN PASSWORD 'x' IN ROLE tenantry_gateway"));
    let url = world.database.url().replace(&format!("postgres:{}@", server().password()), &format!("{role}:x@"));
    let gateway = Store::new(options(&url, 2));
    let reader = gateway.read(&prod());
    assert_eq!(gateway.installation().await.unwrap(), world.store.installation().await.unwrap());
    gateway.clock().await.unwrap();
    assert_eq!(gateway.gateway_watch(at(-1), 100).await.unwrap().changes[&prod()].len(), 2);
    assert_eq!(reader.gateway_routes(None).await.unwrap().len(), 1);
    assert_eq!(reader.gateway_routes(Some(&[acme.id])).await.unwrap().len(), 1);
    assert!(reader.gateway_logins(LoginsOf::Everybody).await.unwrap()[0].verifiers.current.is_some());
    let cell = reader.gateway_cells().await.unwrap().remove(0);
    assert_eq!((cell.name.as_str(), cell.database), ("eu-1", SecretRef::Env("EU_1".into())));
    let mut nudges = gateway.nudges().await.unwrap();
    let heard = tokio::spawn(async move { nudges.next().await });
    world.bump(acme.id, 4).await.unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(10), heard).await.unwrap().unwrap();

    let conn = gateway.pool().get().await.unwrap();
    for statement in [
        "SELECT spec FROM tenantry.tenant",
        "SELECT id FROM tenantry.tenant",
        "SELECT entry FROM tenantry.audit",
        "SELECT actor FROM tenantry.audit",
        "SELECT spec FROM tenantry.catalog",
        "SELECT alias FROM tenantry.tenant_alias",
        "SELECT created_by FROM tenantry.gateway_login",
        "SELECT hash FROM tenantry.token",
        "SELECT audit_head FROM tenantry.environment",
        "SELECT FROM tenantry.outbox",
        "SELECT FROM tenantry.journal",
        "SELECT FROM tenantry.idempotency",
        "UPDATE tenantry.gateway_login SET expires_at = NULL",
        "DELETE FROM tenantry.gateway_login",
        "CREATE TABLE tenantry.mine ()",
    ] {
        let error = conn.execute(statement, &[]).await.unwrap_err();
        assert_eq!(error.sqlstate(), Some("42501"), "{statement}");
    }
    conn.release();
    drop((gateway, reader));
    world.sql(&format!("DROP ROLE {role}"));
}
