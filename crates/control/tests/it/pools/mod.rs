//! Tenants' own pools of users, with a provider of this test's own: they follow their tenants through everything, and hold
//! nobody up.

#[path = "../../../../identity/tests/it/provider.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod provider;
mod tokens;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tenantry_control::pools::{self, CONDITION, Connect, Connection, ConnectionName, Oidc, PoolView};
use tenantry_control::tenants::{DeleteOutcome, DeleteRequest, Expected, TenantRef};
use tenantry_control::view::Condition;
use tenantry_control::{AuditFilter, Deps, Options, Refusal, Runtime, Subject, audit, events, manifests, tenants};
use tenantry_domain::code::Code;
use tenantry_domain::id::TenantId;
use tenantry_domain::manifest::Manifest;
use tenantry_domain::name::PlanCode;
use tenantry_domain::page::PageSize;
use tenantry_domain::plan::PlanSpec;
use tenantry_domain::pool::Standing;
use tenantry_domain::tenant::lifecycle::SuspensionReason;
use tenantry_domain::tenant::spec::Suspension;
use tenantry_identity::{Access, Bounds, Options as IdentityOptions, Provider};

use crate::world::{World, name, options};
use provider::{Fake, Mood, bounds};

/// An installation beside a provider, at work.
struct Bed {
    world: World,
    fake: Fake,
    deps: Deps,
    runtime: Option<Runtime>,
    /// A deleted tenant is found by its id alone.
    ids: Mutex<BTreeMap<String, TenantId>>,
}

fn beside(fake: &Fake, project: &str) -> Arc<Provider> {
    let access = Access::Emulator(fake.address.to_string().parse().unwrap());
    let options = IdentityOptions::new(project.parse().unwrap(), access);
    Arc::new(Provider::new(IdentityOptions { bounds: bounds(), ..options }).unwrap())
}

async fn plan(world: &World, code: &str, terms: serde_json::Value) {
    let mut spec = json!({ "isolation": "shared", "quotas": { "users": "100", "connections": "20" } });
    spec.as_object_mut().unwrap().extend(terms.as_object().unwrap().clone());
    let spec: PlanSpec = serde_json::from_value(spec).unwrap();
    let plan = Manifest::Plan { name: PlanCode::parse(code).unwrap(), spec };
    manifests::apply(&world.cx(), &world.deps, &[plan]).await.unwrap();
}

impl Bed {
    async fn new() -> Self {
        let (world, fake) = (World::new().await, Fake::start().await);
        plan(&world, "pooled", json!({ "identity": "own" })).await;
        let ids = Mutex::default();
        let mut bed = Self { deps: world.deps.clone(), world, fake, runtime: None, ids };
        bed.restart(options()).await;
        bed
    }

    /// Another process of the installation, in the place of the one before.
    async fn restart(&mut self, options: Options) {
        self.pause().await;
        let identity = options.identity.clone().unwrap_or_else(|| beside(&self.fake, "demo-tenancy"));
        self.deps = self.world.twin(Options { identity: Some(identity), ..options }).await;
        self.runtime = Some(Runtime::start(&self.deps));
    }

    async fn pause(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown(&self.deps).await.unwrap();
        }
    }

    /// A new active tenant.
    async fn active(&self, slug: &str, plan: &str) {
        let id = self.world.active(slug, plan).await.id;
        self.ids.lock().unwrap().insert(slug.to_owned(), id);
    }

    fn refer(&self, slug: &str) -> TenantRef {
        TenantRef::Id(self.ids.lock().unwrap()[slug])
    }

    async fn pool(&self, slug: &str) -> Option<PoolView> {
        pools::get(&self.world.cx(), &self.deps, &self.refer(slug)).await.ok()
    }

    /// Waits until a pool is as a test wants it.
    async fn until(&self, slug: &str, what: &str, is_so: impl Fn(&PoolView) -> bool) -> PoolView {
        let began = Instant::now();
        loop {
            let found = self.pool(slug).await;
            if let Some(pool) = found.as_ref().filter(|pool| is_so(pool)) {
                return pool.clone();
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{slug} is never {what}: {found:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn settled(&self, slug: &str, standing: Standing) -> PoolView {
        self.until(slug, standing.as_str(), |pool| pool.is_settled && pool.standing == standing).await
    }

    async fn condition(&self, slug: &str) -> Option<Condition> {
        let tenant = tenants::get(&self.world.cx(), &self.deps, &self.refer(slug)).await.unwrap();
        tenant.conditions.into_iter().find(|condition| condition.kind == CONDITION)
    }

    /// Events about the tenant's pool, in order.
    async fn told(&self, slug: &str) -> Vec<String> {
        let all = events::list(&self.world.cx(), &self.deps, Some(&self.refer(slug)), 0, 200).await.unwrap();
        all.into_iter().map(|event| event.kind.to_string()).filter(|kind| kind.starts_with("identity.")).collect()
    }

    async fn suspend(&self, slug: &str) {
        let (cx, deps) = (self.world.cx(), &self.deps);
        let why = Suspension { reason: SuspensionReason::Commercial, note: None };
        let done = tenants::suspend(&cx, deps, &name(slug), Expected::Any, why).await;
        self.world.done(done.unwrap().operation).await;
    }

    async fn archive(&self, slug: &str) {
        let done = tenants::archive(&self.world.cx(), &self.deps, &name(slug), Expected::Any).await;
        self.world.done(done.unwrap().operation).await;
    }

    async fn resume(&self, slug: &str) {
        let done = tenants::resume(&self.world.cx(), &self.deps, &name(slug), Expected::Any).await;
        self.world.done(done.unwrap().operation).await;
    }

    /// Asks for a tenant's deletion and lets its grace go by.
    async fn delete(&self, slug: &str) {
        let request =
            DeleteRequest { confirm: slug.to_owned(), reason: Some("asked for".into()), grace: None, dry_run: false };
        let done = tenants::delete(&self.world.cx(), &self.deps, &name(slug), Expected::Any, request).await.unwrap();
        let DeleteOutcome::Accepted(accepted) = done else { panic!("{done:?}") };
        // Nothing is taken away while it can still be taken back.
        assert_ne!(self.pool(slug).await.map(|pool| pool.standing), Some(Standing::Deleted));
        self.world.skip_ahead(jiff::SignedDuration::from_hours(2));
        self.deps.nudge();
        self.world.done(accepted.operation).await;
    }

    async fn stop(mut self) {
        let report = audit::verify(&self.world.cx(), &self.deps, None).await.unwrap();
        assert!(report.findings.is_empty(), "{report:?}");
        self.pause().await;
        self.world.stop().await;
    }
}

#[tokio::test]
async fn a_pool_follows_its_tenant_from_activation_to_deletion() {
    let bed = Bed::new().await;
    bed.active("acme", "pooled").await;
    let made = bed.settled("acme", Standing::Enabled).await;
    let id = made.pool.clone().unwrap();
    assert!(id.starts_with('t') && made.issuer == "https://securetoken.google.com/demo-tenancy");
    let condition = bed.condition("acme").await.unwrap();
    assert!(condition.status && condition.reason == "Enabled" && condition.message.unwrap().contains(&id));
    let at_provider = |field: &str| bed.fake.kept.lock().unwrap().pools[&id][field].clone();
    assert_eq!((at_provider("allowPasswordSignup"), at_provider("disableAuth")), (json!(true), json!(false)));

    bed.suspend("acme").await;
    assert_eq!(bed.settled("acme", Standing::Disabled).await.pool.as_ref(), Some(&id));
    assert_eq!(at_provider("disableAuth"), json!(true));
    bed.resume("acme").await;
    bed.settled("acme", Standing::Enabled).await;
    assert_eq!(at_provider("disableAuth"), json!(false));
    bed.suspend("acme").await;
    bed.archive("acme").await;
    bed.settled("acme", Standing::Disabled).await;
    assert_eq!(bed.fake.pools(), 1);
    bed.delete("acme").await;
    bed.until("acme", "gone", |pool| pool.standing == Standing::Deleted).await;
    assert_eq!(bed.fake.pools(), 0);
    let words = ["created", "disabled", "enabled", "disabled", "deleted"];
    assert_eq!(bed.told("acme").await, words.map(|word| format!("identity.pool.{word}")));
    bed.stop().await;
}

#[tokio::test]
async fn only_tenants_of_plans_that_promise_one_have_a_pool() {
    let bed = Bed::new().await;
    plan(&bed.world, "crowd", json!({ "identity": "shared" })).await;
    for (slug, plan) in [("plain", "starter"), ("crowded", "crowd"), ("acme", "pooled")] {
        bed.active(slug, plan).await;
    }
    bed.settled("acme", Standing::Enabled).await;
    assert!(bed.pool("plain").await.is_none() && bed.pool("crowded").await.is_none());
    assert!(bed.condition("plain").await.is_none());
    assert_eq!(bed.fake.pools(), 1);
    // A plan that comes to promise one gives it to those who have the plan already.
    plan(&bed.world, "crowd", json!({ "identity": "own", "signIn": ["emailLink"], "secondFactor": "required" })).await;
    let id = bed.settled("crowded", Standing::Enabled).await.pool.unwrap();
    {
        let kept = bed.fake.kept.lock().unwrap();
        let pool = &kept.pools[&id];
        assert_eq!((&pool["allowPasswordSignup"], &pool["enableEmailLinkSignin"]), (&json!(false), &json!(true)));
        assert_eq!(pool["mfaConfig"]["state"], "MANDATORY");
    }
    // And one that promises none any more takes nobody's accounts away.
    plan(&bed.world, "crowd", json!({})).await;
    bed.suspend("crowded").await;
    bed.settled("crowded", Standing::Disabled).await;
    bed.resume("crowded").await;
    bed.settled("crowded", Standing::Enabled).await;
    assert_eq!(bed.fake.pools(), 2);
    bed.stop().await;
}

#[tokio::test]
async fn a_provider_that_is_away_holds_nobody_up() {
    let bed = Bed::new().await;
    for _ in 0..100_000 {
        bed.fake.mood(Mood::Status(503, json!({})));
    }
    bed.active("acme", "pooled").await;
    let away = bed.until("acme", "told", |pool| pool.problem.is_some()).await;
    assert_eq!((away.problem.as_deref(), away.standing), (Some("ProviderAway"), Standing::Wanted));
    let condition = bed.condition("acme").await.unwrap();
    assert!(!condition.status && condition.reason == "ProviderAway", "{condition:?}");
    // The tenant's life goes on, to its end.
    bed.suspend("acme").await;
    bed.resume("acme").await;
    bed.fake.kept.lock().unwrap().moods.clear();
    bed.world.skip_ahead(jiff::SignedDuration::from_mins(20));
    let id = bed.settled("acme", Standing::Enabled).await.pool.unwrap();
    for _ in 0..100_000 {
        bed.fake.mood(Mood::Status(500, json!({})));
    }
    bed.suspend("acme").await;
    bed.archive("acme").await;
    bed.delete("acme").await;
    let left = bed.until("acme", "left", |pool| pool.problem.is_some()).await;
    assert_eq!((left.pool.as_ref(), left.is_settled), (Some(&id), false));
    assert_eq!(bed.fake.pools(), 1);
    assert!(!bed.told("acme").await.contains(&"identity.pool.deleted".to_owned()));
    bed.fake.kept.lock().unwrap().moods.clear();
    bed.world.skip_ahead(jiff::SignedDuration::from_mins(20));
    bed.until("acme", "gone", |pool| pool.standing == Standing::Deleted).await;
    assert_eq!(bed.fake.pools(), 0);
    assert_eq!(bed.told("acme").await.last().unwrap(), "identity.pool.deleted");
    bed.stop().await;
}

#[tokio::test]
async fn an_answer_that_was_lost_makes_no_second_pool() {
    let mut bed = Bed::new().await;
    bed.pause().await;
    // The look by the name finds nothing; the pool is made, and the answer lost.
    bed.fake.mood(Mood::Status(200, json!({})));
    bed.fake.mood(Mood::After(503));
    bed.restart(options()).await;
    bed.active("acme", "pooled").await;
    let made = bed.settled("acme", Standing::Enabled).await;
    assert_eq!(bed.fake.pools(), 1);
    assert!(bed.fake.kept.lock().unwrap().pools.contains_key(&made.pool.unwrap()));
    assert_eq!(bed.told("acme").await, ["identity.pool.created"]);
    bed.stop().await;
}

#[tokio::test]
async fn two_replicas_make_one_pool_each_tenant() {
    let bed = Bed::new().await;
    let twin = bed.world.twin(Options { identity: Some(beside(&bed.fake, "demo-tenancy")), ..options() }).await;
    let other = Runtime::start(&twin);
    let slugs: Vec<String> = (0..6).map(|number| format!("shop-{number}")).collect();
    for slug in &slugs {
        bed.active(slug, "pooled").await;
    }
    for slug in &slugs {
        bed.settled(slug, Standing::Enabled).await;
        assert_eq!(bed.told(slug).await, ["identity.pool.created"], "{slug}");
    }
    let made = bed.fake.calls().iter().filter(|call| call.starts_with("POST")).count();
    assert_eq!((made, bed.fake.pools()), (6, 6));
    other.shutdown(&twin).await.unwrap();
    bed.stop().await;
}

/// A replica whose look took longer than its turn makes nothing: another one looked meanwhile, and made the pool.
#[tokio::test]
async fn whoever_comes_too_late_makes_no_second_pool() {
    let mut bed = Bed::new().await;
    bed.pause().await;
    let gate = Arc::new(tokio::sync::Notify::new());
    bed.fake.mood(Mood::Late(Arc::clone(&gate)));
    let access = Access::Emulator(bed.fake.address.to_string().parse().unwrap());
    let slow = IdentityOptions {
        bounds: Bounds { within: Duration::from_secs(30), ..bounds() },
        ..IdentityOptions::new("demo-tenancy".parse().unwrap(), access)
    };
    bed.restart(Options { identity: Some(Arc::new(Provider::new(slow).unwrap())), ..options() }).await;
    bed.active("acme", "pooled").await;
    let began = Instant::now();
    while bed.fake.calls().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20), "nobody looks");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Longer than any turn; the other replica looks, finds nothing, and makes it.
    bed.world.skip_ahead(jiff::SignedDuration::from_mins(30));
    let twin = bed.world.twin(Options { identity: Some(beside(&bed.fake, "demo-tenancy")), ..options() }).await;
    let other = Runtime::start(&twin);
    let made = bed.settled("acme", Standing::Enabled).await;
    other.shutdown(&twin).await.unwrap();
    // The late one goes on, and whatever it asks after that shows that it is through with this look.
    let (id, before) = (made.pool.clone().unwrap(), bed.fake.calls().len());
    gate.notify_one();
    let began = Instant::now();
    while !bed.fake.calls()[before..].iter().any(|call| call.starts_with("GET") && call.contains(&id)) {
        assert!(began.elapsed() < Duration::from_secs(20), "the late one never looks again");
        bed.world.skip_ahead(jiff::SignedDuration::from_mins(20));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let asked = bed.fake.calls().iter().filter(|call| call.starts_with("POST")).count();
    assert_eq!((asked, bed.fake.pools()), (1, 1), "{:?}", bed.fake.calls());
    assert_eq!(bed.pool("acme").await.unwrap().pool, made.pool);
    bed.stop().await;
}

/// What is known to be gone is recorded as gone, also where nobody can say what else bears the name.
#[tokio::test]
async fn a_list_that_cannot_be_had_holds_no_erasure_up() {
    let bed = Bed::new().await;
    bed.active("acme", "pooled").await;
    bed.settled("acme", Standing::Enabled).await;
    bed.suspend("acme").await;
    bed.archive("acme").await;
    bed.settled("acme", Standing::Disabled).await;
    bed.fake.kept.lock().unwrap().no_list = true;
    bed.delete("acme").await;
    bed.until("acme", "gone", |pool| pool.standing == Standing::Deleted).await;
    assert_eq!(bed.fake.pools(), 0);
    assert_eq!(bed.told("acme").await.last().unwrap(), "identity.pool.deleted");
    bed.stop().await;
}

#[tokio::test]
async fn another_project_is_not_taken_for_ours() {
    let mut bed = Bed::new().await;
    bed.active("acme", "pooled").await;
    bed.settled("acme", Standing::Enabled).await;
    let elsewhere = Fake::start().await;
    bed.restart(Options { identity: Some(beside(&elsewhere, "other-project")), ..options() }).await;
    bed.suspend("acme").await;
    let left = bed.until("acme", "told", |pool| pool.problem.is_some()).await;
    assert_eq!((left.problem.as_deref(), left.standing), (Some("OtherProject"), Standing::Enabled));
    assert!(elsewhere.calls().is_empty());
    // Back in the right place everything is made up for.
    bed.restart(options()).await;
    bed.world.skip_ahead(jiff::SignedDuration::from_mins(20));
    bed.settled("acme", Standing::Disabled).await;
    bed.stop().await;
}

#[tokio::test]
async fn what_somebody_does_at_the_provider_is_put_right() {
    let bed = Bed::new().await;
    bed.active("acme", "pooled").await;
    let id = bed.settled("acme", Standing::Enabled).await.pool.unwrap();
    for (field, value) in
        [("disableAuth", json!(true)), ("displayName", json!("renamed")), ("allowPasswordSignup", json!(false))]
    {
        let right = {
            let mut kept = bed.fake.kept.lock().unwrap();
            std::mem::replace(&mut kept.pools.get_mut(&id).unwrap()[field], value)
        };
        let began = Instant::now();
        while bed.fake.kept.lock().unwrap().pools[&id][field] != right {
            assert!(began.elapsed() < Duration::from_secs(20), "{field}");
            // Again, in case the look before was still writing when the next one is due.
            bed.world.skip_ahead(jiff::SignedDuration::from_mins(20));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    // One that was taken away there is made anew, under another id, and that is told.
    bed.fake.kept.lock().unwrap().pools.clear();
    let began = Instant::now();
    while bed.pool("acme").await.and_then(|pool| pool.pool).as_ref() == Some(&id) {
        assert!(began.elapsed() < Duration::from_secs(20));
        bed.world.skip_ahead(jiff::SignedDuration::from_mins(20));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(bed.told("acme").await, ["identity.pool.created", "identity.pool.created"]);
    bed.stop().await;
}

fn okta() -> Connect {
    Connect {
        name: ConnectionName::parse("oidc.okta").unwrap(),
        title: "Acme".into(),
        connection: Connection::Oidc(Oidc {
            issuer: "https://acme.okta.example".into(),
            client_id: "tenantry".into(),
            client_secret: secrecy::SecretString::from("s3cret"),
        }),
    }
}

#[tokio::test]
async fn a_connection_takes_a_plan_and_leaves_no_secret() {
    let bed = Bed::new().await;
    plan(&bed.world, "sso", json!({ "identity": "own", "signIn": ["password", "sso"], "title": "With SSO" })).await;
    bed.active("acme", "sso").await;
    bed.active("globex", "pooled").await;
    bed.active("initech", "starter").await;
    bed.settled("acme", Standing::Enabled).await;
    bed.settled("globex", Standing::Enabled).await;
    let (cx, deps) = (bed.world.cx(), &bed.deps);
    pools::connect(&cx, deps, &name("acme"), &okta()).await.unwrap();
    pools::connect(&cx, deps, &name("acme"), &okta()).await.unwrap();
    assert_eq!(pools::connections(&cx, deps, &name("acme")).await.unwrap(), [okta().name]);
    let refusal = pools::connect(&cx, deps, &name("globex"), &okta()).await.unwrap_err();
    assert_eq!(refusal.code(), Code::PlanForbids);
    assert!(matches!(&refusal, Refusal::PlanForbids { plans, .. } if plans[0].as_str() == "sso"), "{refusal:?}");
    assert_eq!(pools::connections(&cx, deps, &name("initech")).await.unwrap_err().code(), Code::PoolNotFound);
    let wrong = Connect { name: ConnectionName::parse("saml.okta").unwrap(), ..okta() };
    assert_eq!(pools::connect(&cx, deps, &name("acme"), &wrong).await.unwrap_err().code(), Code::InvalidParameter);
    // The provider's no is told, and stands in the audit.
    bed.fake.mood(Mood::Status(400, json!({ "error": { "message": "INVALID_OAUTH_CLIENT_SECRET : s3cret" } })));
    let refusal = pools::connect(&cx, deps, &name("acme"), &okta()).await.unwrap_err();
    assert_eq!(refusal.code(), Code::IdentityRefused);
    assert!(refusal.to_string().contains("INVALID_OAUTH_CLIENT_SECRET") && !refusal.to_string().contains("s3cret"));
    pools::disconnect(&cx, deps, &name("acme"), &okta().name).await.unwrap();
    assert!(pools::connections(&cx, deps, &name("acme")).await.unwrap().is_empty());
    let acme = Subject::Tenant(bed.world.tenant("acme").await.id);
    let filter = AuditFilter { subject: Some(acme), ..AuditFilter::default() };
    let entries = audit::list(&cx, deps, &filter, PageSize::default(), None).await.unwrap().items;
    let text = format!("{entries:?}");
    assert!(text.contains("identity.connect") && text.contains("identity.disconnect") && !text.contains("s3cret"));
    bed.stop().await;
}
