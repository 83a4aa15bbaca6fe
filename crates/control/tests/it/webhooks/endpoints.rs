//! Endpoints: who may have them, what they hear, and what is kept of their secrets.

use secrecy::ExposeSecret as _;
use tenantry_control::tenants::edit::Expected;
use tenantry_control::webhooks::{self, Change, Wanted};
use tenantry_control::{Ctx, Options, Refusal, Subject};
use tenantry_domain::event::Type;
use tenantry_domain::policy::{Rights, Role};
use tenantry_domain::webhook::{Pattern, Scheme, Terms};
use tenantry_store::{EndpointFilter, PageRequest};
use tenantry_testkit::receivers::{Mood, Receiver};
use tenantry_webhooks::Egress;

use super::{Process, draft, emit, endpoint, lab, number, taken, terms, until, wanted};
use crate::world::{World, name};

fn pattern(text: &str) -> Vec<Pattern> {
    vec![Pattern::parse(text).unwrap()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_hears_what_it_asked_for_and_a_tenants_endpoint_of_that_tenant_alone() {
    let world = World::with(lab(3)).await;
    let (acme, globex) = (draft(&world, "acme").await, draft(&world, "globex").await);
    let mut farm = Vec::new();
    for _ in 0..4 {
        farm.push(Receiver::start(Mood::Ok).await);
    }
    let of = |place: usize| wanted(&farm[place].url());
    // Billing: plans of all; analytics: everything; support: one tenant; the tenant itself.
    endpoint(&world, Wanted { terms: Terms { types: pattern("plan.*"), ..terms() }, ..of(0) }).await;
    endpoint(&world, of(1)).await;
    endpoint(&world, Wanted { only: Some(vec![name("globex")]), ..of(2) }).await;
    let wants = Terms { types: pattern("tenant.suspended"), ..terms() };
    endpoint(&world, Wanted { tenant: Some(name("acme")), terms: wants, ..of(3) }).await;
    let before = number(&world, "SELECT count(*) FROM tenantry.webhook_queue").await;
    for (subject, kind) in [
        (Subject::Tenant(acme), Type::PlanChanged),
        (Subject::Tenant(acme), Type::TenantSuspended),
        (Subject::Tenant(globex), Type::PlanChanged),
        (Subject::Tenant(globex), Type::TenantSuspended),
        (Subject::Environment, Type::CatalogUpdated),
    ] {
        emit(&world.deps, &world, subject, kind, 1).await;
    }
    assert_eq!(number(&world, "SELECT count(*) FROM tenantry.webhook_queue").await, before + 2 + 5 + 2 + 1);
    let process = Process::start(&world.deps);
    let kinds = |place: usize| {
        let mut kinds: Vec<String> = farm[place]
            .got()
            .iter()
            .map(|one| serde_json::from_slice::<serde_json::Value>(&one.body).unwrap())
            .filter(|body| body["type"] != "webhook.endpoint.created")
            .map(|body| body["type"].as_str().unwrap().to_owned())
            .collect();
        kinds.sort_unstable();
        kinds
    };
    until("everything arrived", 20, || (0..4).map(|place| kinds(place).len()).collect::<Vec<_>>() == [2, 5, 2, 1])
        .await;
    assert_eq!(kinds(0), ["plan.changed", "plan.changed"]);
    assert_eq!(kinds(2), ["plan.changed", "tenant.suspended"]);
    assert_eq!(kinds(3), ["tenant.suspended"]);
    assert_eq!((taken(&farm[2].got(), acme), taken(&farm[3].got(), globex)), (vec![], vec![]));
    process.stop().await;
}

#[tokio::test]
async fn whoever_is_bound_to_a_tenant_has_that_tenants_endpoints_and_no_others() {
    let world = World::with(lab(3)).await;
    let (acme, globex) = (draft(&world, "acme").await, draft(&world, "globex").await);
    let url = "http://127.0.0.1:9/x";
    let bound = |tenant| Ctx {
        rights: Rights { roles: [Role::Tenant].into(), scopes: None, tenant: Some(tenant) },
        ..world.cx()
    };
    // Without a name it means its own.
    let own = webhooks::create(&bound(acme), &world.deps, wanted(url)).await.unwrap().endpoint;
    assert_eq!(own.tenant, Some(acme));
    let (of_all, _) = endpoint(&world, wanted(url)).await;
    let size = tenantry_domain::page::PageSize::new(50).unwrap();
    let seen = webhooks::list(&bound(acme), &world.deps, None, size, None).await.unwrap();
    assert_eq!(seen.items.iter().map(|one| one.id).collect::<Vec<_>>(), [own.id]);
    for (who, id) in [(globex, own.id), (acme, of_all.id), (globex, of_all.id)] {
        let cx = bound(who);
        assert!(matches!(webhooks::get(&cx, &world.deps, id).await, Err(Refusal::NoObject { .. })));
        let change = Change { rate: Some(1), ..Change::default() };
        let refused = webhooks::update(&cx, &world.deps, id, Expected::Any, change).await;
        assert!(matches!(refused, Err(Refusal::NoObject { .. })), "{refused:?}");
        let refused = webhooks::rotate(&cx, &world.deps, id, Expected::Any, None).await;
        assert!(matches!(refused, Err(Refusal::NoObject { .. })), "{refused:?}");
        assert!(matches!(webhooks::delete(&cx, &world.deps, id, Expected::Any).await, Err(Refusal::NoObject { .. })));
    }
    let foreign = Wanted { tenant: Some(name("globex")), ..wanted(url) };
    assert!(matches!(webhooks::create(&bound(acme), &world.deps, foreign).await, Err(Refusal::NoTenant(_))));
    // Fifty, and not one more; whoever removes one may make another.
    for _ in 0..49 {
        webhooks::create(&bound(acme), &world.deps, wanted(url)).await.unwrap();
    }
    let refused = webhooks::create(&bound(acme), &world.deps, wanted(url)).await;
    assert!(matches!(refused, Err(Refusal::WebhooksExceeded(50))), "{refused:?}");
    webhooks::delete(&bound(acme), &world.deps, own.id, Expected::Version(1)).await.unwrap();
    webhooks::create(&bound(acme), &world.deps, wanted(url)).await.unwrap();
}

#[tokio::test]
async fn secrets_are_unique_shown_once_and_nowhere_in_the_database() {
    let world = World::with(lab(3)).await;
    draft(&world, "acme").await;
    let mut secrets = Vec::new();
    for _ in 0..3 {
        let issued = webhooks::create(&world.cx(), &world.deps, wanted("http://127.0.0.1:9/x")).await.unwrap();
        let rotated =
            webhooks::rotate(&world.cx(), &world.deps, issued.endpoint.id, Expected::Any, None).await.unwrap();
        secrets.extend([issued.secret.unwrap(), rotated.secret.unwrap()].map(|one| one.expose_secret().to_owned()));
    }
    let pair = Wanted { scheme: Scheme::Ed25519, ..wanted("http://127.0.0.1:9/x") };
    let pair = webhooks::create(&world.cx(), &world.deps, pair).await.unwrap();
    assert!(pair.secret.is_none() && pair.endpoint.public_key.unwrap().starts_with("whpk_"));
    let mut unique = secrets.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), 6);
    // As text, as base64 and as bytes.
    let dump = "SELECT string_agg(row_to_json(e)::text, '') || (SELECT string_agg(entry, '') FROM tenantry.audit)
        || (SELECT string_agg(data::text, '') FROM tenantry.outbox)
        || COALESCE((SELECT string_agg(encode(body, 'escape'), '') FROM tenantry.idempotency), '')
        FROM tenantry.webhook_endpoint AS e";
    let conn = world.deps.store().pool().get().await.unwrap();
    let dump: String = conn.query_one(dump, &[]).await.unwrap().get(0);
    conn.release();
    for secret in &secrets {
        let bare = secret.trim_start_matches("whsec_");
        let hex: String = base64_hex(bare);
        assert!(!dump.contains(bare) && !dump.contains(&hex), "{bare}");
    }
    assert!(dump.contains("webhook.endpoint.rotated") || dump.contains("127.0.0.1"));
}

fn base64_hex(text: &str) -> String {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn addresses_are_looked_at_when_they_are_written_down() {
    let world = World::with(Options { webhooks: Default::default(), ..lab(3) }).await;
    assert_eq!(world.deps.options().webhooks.egress, Egress::Public);
    for url in [
        "http://127.0.0.1:9/x",
        "https://127.0.0.1/",
        "https://169.254.169.254/",
        "https://localhost/",
        "ftp://x.example/",
    ] {
        let refused = webhooks::create(&world.cx(), &world.deps, wanted(url)).await;
        assert!(matches!(refused, Err(Refusal::WebhookTarget(_))), "{url}: {refused:?}");
    }
    let good = webhooks::create(&world.cx(), &world.deps, wanted("https://8.8.8.8/x")).await.unwrap().endpoint;
    let change = Change { url: Some("https://10.0.0.1/".to_owned()), ..Change::default() };
    let refused = webhooks::update(&world.cx(), &world.deps, good.id, Expected::Any, change).await;
    assert!(matches!(refused, Err(Refusal::WebhookTarget(_))), "{refused:?}");
    let principal = "tester";
    let page = PageRequest {
        principal,
        token: None,
        size: tenantry_domain::page::PageSize::new(50).unwrap(),
        now: world.deps.now(),
    };
    let rows = world.deps.store().read(&world.environment).webhooks(&EndpointFilter::default(), &page).await.unwrap();
    assert_eq!(rows.items.len(), 1);
    assert_eq!(rows.items[0].target, "https://8.8.8.8/x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_changed_is_so_at_once() {
    let world = World::with(lab(3)).await;
    let acme = draft(&world, "acme").await;
    let (first, second) = (Receiver::start(Mood::Ok).await, Receiver::start(Mood::Ok).await);
    let (made, _) = endpoint(&world, wanted(&first.url())).await;
    let process = Process::start(&world.deps);
    until("its own birth", 20, || first.count() == 1).await;
    let change = Change {
        url: Some(second.url()),
        types: Some(pattern("tenant.updated")),
        rate: Some(500),
        description: Some("CRM".to_owned()),
        ..Change::default()
    };
    let stale = webhooks::update(&world.cx(), &world.deps, made.id, Expected::Version(7), change.clone()).await;
    assert!(matches!(stale, Err(Refusal::Stale { current: 1 })), "{stale:?}");
    let changed = webhooks::update(&world.cx(), &world.deps, made.id, Expected::Version(1), change).await.unwrap();
    assert_eq!(
        (changed.version, changed.terms.rate, changed.terms.description.as_deref()),
        (2, Some(500), Some("CRM"))
    );
    emit(&world.deps, &world, Subject::Tenant(acme), Type::TenantUpdated, 3).await;
    emit(&world.deps, &world, Subject::Tenant(acme), Type::TenantSuspended, 3).await;
    until("the other one hears", 20, || second.count() == 3).await;
    assert_eq!(first.count(), 1);
    // Disabled, what waits is given up and nothing new is kept.
    second.set(Mood::Status(500));
    emit(&world.deps, &world, Subject::Tenant(acme), Type::TenantUpdated, 3).await;
    webhooks::disable(&world.cx(), &world.deps, made.id, Expected::Any).await.unwrap();
    emit(&world.deps, &world, Subject::Tenant(acme), Type::TenantUpdated, 3).await;
    let began = std::time::Instant::now();
    while number(&world, "SELECT count(*) FROM tenantry.webhook_queue").await > 0 {
        assert!(began.elapsed().as_secs() < 20);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(number(&world, "SELECT count(*) FROM tenantry.webhook_dead").await <= 3);
    // Removed, nothing of it is left but its log.
    webhooks::delete(&world.cx(), &world.deps, made.id, Expected::Any).await.unwrap();
    assert_eq!(number(&world, "SELECT count(*) FROM tenantry.webhook_dead").await, 0);
    assert!(matches!(webhooks::get(&world.cx(), &world.deps, made.id).await, Err(Refusal::NoObject { .. })));
    process.stop().await;
}

#[tokio::test]
async fn a_tenants_events_go_where_its_residency_allows_it() {
    let world = World::with(lab(3)).await;
    draft(&world, "acme").await;
    let of = |region: Option<&str>| {
        let region = region.map(|name| tenantry_domain::name::RegionName::parse(name).unwrap());
        let wants = Terms { region, ..Terms::default() };
        Wanted { tenant: Some(name("acme")), terms: wants, ..wanted("http://127.0.0.1:9/x") }
    };
    let refused = webhooks::create(&world.cx(), &world.deps, of(Some("us-east"))).await;
    assert!(matches!(&refused, Err(Refusal::Denied(denial)) if denial.rule == "residency"), "{refused:?}");
    // Unless the operator wants it otherwise, nobody has to say it.
    webhooks::create(&world.cx(), &world.deps, of(None)).await.unwrap();
    let made = webhooks::create(&world.cx(), &world.deps, of(Some("eu-west"))).await.unwrap().endpoint;
    let away = Change { region: tenantry_domain::name::RegionName::parse("us-east").ok(), ..Change::default() };
    assert!(matches!(
        webhooks::update(&world.cx(), &world.deps, made.id, Expected::Any, away).await,
        Err(Refusal::Denied(_))
    ));
    // The operator's own goes anywhere.
    webhooks::create(&world.cx(), &world.deps, Wanted { terms: Terms::default(), ..wanted("http://127.0.0.1:9/x") })
        .await
        .unwrap();
}
