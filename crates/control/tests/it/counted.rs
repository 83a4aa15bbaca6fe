//! What Tenantry counts itself: logins, webhook endpoints, tokens, domains. One test for all of them, driven by a table.

use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::{Value, json};
use tenantry_control::logins::{self, Access, LoginName, Mode, Proof, Server, WantedWhose};
use tenantry_control::quotas::{self, QuotaName, Standing};
use tenantry_control::tenants::{self, Expected};
use tenantry_control::tokens::{self, Wanted as WantedToken};
use tenantry_control::{Refusal, events, manifests, webhooks};
use tenantry_domain::code::Code;
use tenantry_domain::limit::Counted;
use tenantry_domain::manifest::Manifest;
use tenantry_domain::name::PlanCode;
use tenantry_domain::policy::{ActorKind, Role};
use tenantry_domain::tenant::Slug;
use tenantry_domain::tenant::lifecycle::Phase;

use crate::webhooks::{lab, wanted as wanted_endpoint};
use crate::world::{World, name, spec};

/// The kinds whose makers are tried here; users have tests of their own.
const KINDS: [Counted; 4] = [Counted::Logins, Counted::Webhooks, Counted::ApiKeys, Counted::Domains];

async fn plan(world: &World, code: &str, quotas: Value) {
    let spec = serde_json::from_value(json!({ "isolation": "shared", "quotas": quotas })).unwrap();
    let plan = Manifest::Plan { name: PlanCode::parse(code).unwrap(), spec };
    manifests::apply(&world.cx(), &world.deps, &[plan]).await.unwrap();
}

/// The same for all kinds.
async fn plan_of_all(world: &World, code: &str, bound: Value) {
    let quotas: serde_json::Map<_, _> = KINDS.iter().map(|kind| (kind.as_str().to_owned(), bound.clone())).collect();
    plan(world, code, Value::Object(quotas)).await;
}

async fn tenant(world: &World, slug: &str, plan: &str) {
    let wanted = spec(plan, Phase::Draft);
    tenants::create(&world.cx(), &world.deps, Slug::parse(slug).unwrap(), wanted).await.unwrap();
}

/// What takes a thing away again.
enum Made {
    Login(LoginName),
    Webhook(tenantry_domain::id::WebhookId),
    Token(tenantry_domain::id::TokenId),
    Domain(String),
}

fn wanted_token(slug: &str) -> WantedToken {
    WantedToken {
        name: "key".into(),
        kind: ActorKind::Service,
        roles: vec![Role::Tenant],
        scopes: None,
        tenant: Some(name(slug)),
        person: None,
        life: None,
    }
}

fn wanted_login(world: &World, slug: &str, place: usize) -> logins::Wanted {
    logins::Wanted {
        name: LoginName::parse(&format!("{}-{slug}-{place}", world.environment)).unwrap(),
        whose: WantedWhose::Tenant(name(slug)),
        mode: Mode::Transaction,
        access: Access::ReadWrite,
        server: Server::Primary,
        // Without a password: hashing a thousand of them would be what is measured.
        proof: Proof::Token,
        connections: None,
        expires: None,
    }
}

async fn make(world: &World, kind: Counted, slug: &str, place: usize) -> Result<Made, Refusal> {
    let (cx, deps) = (world.cx(), &world.deps);
    match kind {
        Counted::Logins => {
            let made = logins::create(&cx, deps, wanted_login(world, slug, place)).await?;
            Ok(Made::Login(made.login.name))
        }
        Counted::Webhooks => {
            let url = format!("http://127.0.0.1:9/{place}");
            let wanted = webhooks::Wanted { tenant: Some(name(slug)), ..wanted_endpoint(&url) };
            Ok(Made::Webhook(webhooks::create(&cx, deps, wanted).await?.endpoint.id))
        }
        Counted::ApiKeys => Ok(Made::Token(tokens::create(&cx, deps, wanted_token(slug)).await?.token.id)),
        Counted::Domains => {
            let domain = format!("d{place}.{slug}.example");
            let own = domain.clone();
            let parse = move |mut current: Value| {
                let all = current.as_object_mut().unwrap().entry("domains").or_insert(json!([]));
                all.as_array_mut().unwrap().push(json!(own));
                Ok(serde_json::from_value(current).unwrap())
            };
            tenants::patch(&cx, deps, &name(slug), Expected::Any, parse).await?;
            Ok(Made::Domain(domain))
        }
        Counted::Users => unreachable!("not made here"),
    }
}

async fn unmake(world: &World, slug: &str, made: Made) {
    let (cx, deps) = (world.cx(), &world.deps);
    match made {
        Made::Login(login) => drop(logins::revoke(&cx, deps, &login, Expected::Any).await.unwrap()),
        Made::Webhook(id) => drop(webhooks::delete(&cx, deps, id, Expected::Any).await.unwrap()),
        Made::Token(id) => drop(tokens::revoke(&cx, deps, id, Expected::Any).await.unwrap()),
        Made::Domain(domain) => {
            let parse = move |mut current: Value| {
                current["domains"].as_array_mut().unwrap().retain(|one| *one != json!(domain));
                Ok(serde_json::from_value(current).unwrap())
            };
            drop(tenants::patch(&cx, deps, &name(slug), Expected::Any, parse).await.unwrap());
        }
    }
}

async fn quota(world: &World, slug: &str, kind: Counted) -> quotas::Quota {
    let all = quotas::list(&world.cx(), &world.deps, &name(slug)).await.unwrap();
    all.into_iter().find(|quota| quota.name == kind.quota()).unwrap()
}

/// The quota's events of a tenant, in order.
async fn told(world: &World, slug: &str, kind: Counted) -> Vec<String> {
    let all = events::list(&world.cx(), &world.deps, Some(&name(slug)), 0, 1000).await.unwrap();
    let ours = all.into_iter().filter(|event| event.data["quota"] == json!(kind.as_str()));
    ours.map(|event| event.kind.to_string()).collect()
}

fn full(result: Result<Made, Refusal>) -> String {
    match result {
        Err(refusal) => {
            assert_eq!(refusal.code(), Code::QuotaUsedUp, "{refusal}");
            refusal.hint()
        }
        Ok(_) => panic!("made beyond the limit"),
    }
}

/// At the limit less one, of many at once exactly one gets through, for each kind; and the counter is what there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_the_limit_less_one_exactly_one_succeeds() {
    let world = Arc::new(World::with(lab(2)).await);
    plan_of_all(&world, "three", json!("3")).await;
    tenant(&world, "acme", "three").await;
    for kind in KINDS {
        for place in 0..2 {
            make(&world, kind, "acme", place).await.unwrap();
        }
        let tasks: Vec<_> = (0..100)
            .map(|place| {
                let world = Arc::clone(&world);
                tokio::spawn(async move { make(&world, kind, "acme", 10 + place).await })
            })
            .collect();
        let mut made = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(_) => made += 1,
                Err(refusal) => assert_eq!(refusal.code(), Code::QuotaUsedUp, "{kind:?}: {refusal}"),
            }
        }
        let quota = quota(&world, "acme", kind).await;
        assert_eq!((made, quota.used, quota.remaining()), (1, 3, Some(0)), "{kind:?}");
        // One event for the warning mark, one for all the refusals together.
        assert_eq!(told(&world, "acme", kind).await, ["quota.warning", "quota.exceeded"], "{kind:?}");
    }
}

/// What is taken away makes room, what is over by itself too; the refusal names the plan that has more; an override counts.
#[tokio::test]
async fn what_is_taken_away_makes_room() {
    let world = World::with(lab(2)).await;
    plan_of_all(&world, "one", json!("1")).await;
    plan_of_all(&world, "many", json!("9")).await;
    tenant(&world, "acme", "one").await;
    tenant(&world, "other", "one").await;
    for kind in KINDS {
        let first = make(&world, kind, "acme", 0).await.unwrap();
        let hint = full(make(&world, kind, "acme", 1).await);
        assert!(hint.contains("`many`") && hint.contains('9'), "{kind:?}: {hint}");
        make(&world, kind, "other", 0).await.expect("another tenant has a limit of its own");
        unmake(&world, "acme", first).await;
        assert_eq!(quota(&world, "acme", kind).await.used, 0, "{kind:?}");
        make(&world, kind, "acme", 2).await.unwrap();
    }
    let more = json!({ "quotas": KINDS.iter().map(|kind| (kind.as_str(), json!({
        "value": "2", "reason": "trial", "until": "2199-01-01T00:00:00Z"
    }))).collect::<std::collections::BTreeMap<_, _>>() });
    let parse = move |mut current: Value| {
        current["overrides"] = more;
        Ok(serde_json::from_value(current).unwrap())
    };
    tenants::patch(&world.cx(), &world.deps, &name("acme"), Expected::Any, parse).await.unwrap();
    for kind in KINDS {
        make(&world, kind, "acme", 3).await.unwrap();
        full(make(&world, kind, "acme", 4).await);
    }
    // Tokens and logins end by themselves. A new secret brings one back, and has to have room again.
    tenant(&world, "later", "one").await;
    let short = WantedToken { life: Some(SignedDuration::from_hours(1)), ..wanted_token("later") };
    let token = tokens::create(&world.cx(), &world.deps, short).await.unwrap().token.id;
    let hour = world.cx().now.checked_add(SignedDuration::from_hours(1)).unwrap();
    let short = logins::Wanted { expires: Some(hour), proof: Proof::Password, ..wanted_login(&world, "later", 0) };
    let login = logins::create(&world.cx(), &world.deps, short).await.unwrap().login.name;
    world.skip_ahead(SignedDuration::from_hours(2));
    for kind in [Counted::ApiKeys, Counted::Logins] {
        assert_eq!(quota(&world, "later", kind).await.used, 0, "{kind:?}");
        make(&world, kind, "later", 1).await.unwrap();
    }
    let again = tokens::rotate(&world.cx(), &world.deps, token, Expected::Any, tokens::RotateRequest::default()).await;
    assert_eq!(again.unwrap_err().code(), Code::QuotaUsedUp);
    let wanted = logins::RotateRequest {
        expires: Some(world.cx().now.checked_add(SignedDuration::from_hours(1)).unwrap()),
        ..Default::default()
    };
    let again = logins::rotate(&world.cx(), &world.deps, &login, Expected::Any, wanted).await;
    assert_eq!(again.unwrap_err().code(), Code::QuotaUsedUp);
}

/// The same makers under the other three modes.
#[tokio::test]
async fn the_modes_hold_for_what_tenantry_counts() {
    let world = World::with(lab(2)).await;
    for (mode, counted, events) in
        [("off", 0, &[][..]), ("observed", 3, &[]), ("soft", 3, &["quota.warning", "quota.exceeded"])]
    {
        plan_of_all(&world, mode, json!({ "limit": "2", "mode": mode })).await;
        tenant(&world, mode, mode).await;
        for kind in KINDS {
            for place in 0..3 {
                make(&world, kind, mode, place).await.unwrap();
            }
            assert_eq!(quota(&world, mode, kind).await.used, counted, "{mode} {kind:?}");
            assert_eq!(told(&world, mode, kind).await, events, "{mode} {kind:?}");
        }
        let hour = SignedDuration::from_hours(1);
        for kind in KINDS {
            let quota: QuotaName = kind.quota();
            let refusal = quotas::reserve(&world.cx(), &world.deps, &name(mode), &quota, 1, hour).await;
            assert_eq!(refusal.unwrap_err().code(), Code::InvalidParameter);
        }
    }
}

/// A manifest of a new tenant, and one in a set, are judged like a change; nothing of a refused set is there.
#[tokio::test]
async fn domains_count_from_the_first_manifest_on() {
    let world = World::new().await;
    plan(&world, "two", json!({ "domains": "2" })).await;
    let with = |count: usize| {
        let mut wanted = spec("two", Phase::Draft);
        wanted.domains = (0..count).map(|place| format!("d{place}.example")).collect();
        wanted
    };
    let slug = |text: &str| Slug::parse(text).unwrap();
    let refusal = tenants::create(&world.cx(), &world.deps, slug("much"), with(3)).await.unwrap_err();
    assert_eq!(refusal.code(), Code::QuotaUsedUp);
    tenants::create(&world.cx(), &world.deps, slug("fits"), with(2)).await.unwrap();
    assert_eq!(quota(&world, "fits", Counted::Domains).await.standing, Standing::Warning);
    assert_eq!(told(&world, "fits", Counted::Domains).await, ["quota.warning"]);
    let set = |first: usize, second: usize| {
        [("fits", first), ("fresh", second)]
            .map(|(name, count)| Manifest::Tenant { slug: slug(name), spec: with(count) })
    };
    for (first, second, place) in [(3, 1, 0), (1, 3, 1)] {
        let refusal = manifests::apply(&world.cx(), &world.deps, &set(first, second)).await.unwrap_err();
        assert_eq!(refusal.code(), Code::QuotaUsedUp);
        assert!(refusal.fields()[0].field.starts_with(&format!("documents[{place}].")), "{:?}", refusal.fields());
        assert!(tenants::get(&world.cx(), &world.deps, &name("fresh")).await.is_err());
        assert_eq!(quota(&world, "fits", Counted::Domains).await.used, 2);
    }
    assert_eq!(told(&world, "fits", Counted::Domains).await, ["quota.warning", "quota.exceeded"]);
    manifests::apply(&world.cx(), &world.deps, &set(1, 2)).await.unwrap();
    assert_eq!(quota(&world, "fits", Counted::Domains).await.used, 1);
}

/// A smaller plan is refused with the figures, unless an override gives room with the same change.
#[tokio::test]
async fn a_plan_that_is_too_small_is_refused_with_the_figures() {
    let world = World::new().await;
    plan(&world, "large", json!({ "apiKeys": "5", "domains": "5", "seats": "10", "calls": "100/month" })).await;
    plan(&world, "small", json!({ "apiKeys": "1", "domains": "5", "seats": "3", "calls": "1/month" })).await;
    plan(&world, "lenient", json!({ "apiKeys": { "limit": "1", "mode": "soft" }, "seats": "10" })).await;
    tenant(&world, "acme", "large").await;
    let acme = name("acme");
    for place in 0..2 {
        make(&world, Counted::ApiKeys, "acme", place).await.unwrap();
    }
    for (quota, amount) in [("seats", 7), ("calls", 50)] {
        let quota = QuotaName::parse(quota).unwrap();
        quotas::take(&world.cx(), &world.deps, &acme, &quota, amount).await.unwrap();
    }
    let bind = async |plan: &'static str, overrides: Value| {
        let parse = move |mut current: Value| {
            current["plan"] = json!(plan);
            current["overrides"] = overrides;
            Ok(serde_json::from_value(current).unwrap())
        };
        tenants::patch(&world.cx(), &world.deps, &acme, Expected::Any, parse).await
    };
    let refusal = bind("small", json!({})).await.unwrap_err();
    assert_eq!(refusal.code(), Code::TooMuchUsed);
    let said: Vec<String> = refusal.fields().into_iter().map(|field| field.message).collect();
    assert_eq!(said, ["`apiKeys` 2 of 1", "`seats` 7 of 3"]);
    assert_eq!(world.tenant("acme").await.spec.plan.as_str(), "large");
    let over =
        |value: &str| json!({ "value": value, "reason": "until they cleaned up", "until": "2199-01-01T00:00:00Z" });
    bind("small", json!({ "quotas": { "apiKeys": over("2"), "seats": over("7") } })).await.unwrap();
    bind("lenient", json!({})).await.expect("what is soft stands in nobody's way");
}
