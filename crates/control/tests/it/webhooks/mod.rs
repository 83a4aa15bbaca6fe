//! Webhooks from the commit to the receiver, with real HTTP on loopback.

mod again;
mod claims;
mod crowd;
mod endpoints;
mod farm;
mod order;
mod rotation;
mod standing;

use std::time::{Duration, Instant};

use secrecy::ExposeSecret as _;
use serde_json::json;
use tenantry_control::webhooks::{self, Endpoint, Issued, Wanted, WebhookOptions, pump};
use tenantry_control::{Deps, Options, Subject, tenants};
use tenantry_domain::audit::{self, Category, Outcome};
use tenantry_domain::event::{self, Type};
use tenantry_domain::id::TenantId;
use tenantry_domain::name::RegionName;
use tenantry_domain::policy::{self, Actor, Scope};
use tenantry_domain::tenant::Slug;
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_domain::webhook::{Scheme, Terms};
use tenantry_store::Entry;
use tenantry_testkit::receivers::{Got, Receiver};
use tenantry_webhooks::verify::{TOLERANCE, Verifier};
use tenantry_webhooks::{Egress, Limits, Schedule};
use tokio_util::sync::CancellationToken;

use crate::world::{World, name, options, spec};

/// Everything a little faster, and to this machine.
pub fn lab(attempts: usize) -> Options {
    let webhooks = WebhookOptions {
        egress: Egress::Lab,
        schedule: Schedule::new(vec![Duration::from_millis(150); attempts - 1]),
        limits: Limits {
            connect: Duration::from_millis(500),
            total: Duration::from_millis(600),
            linger: Duration::from_millis(200),
            ..Limits::default()
        },
        rest: (Duration::from_millis(50), Duration::from_millis(400)),
        patience: Duration::from_secs(1),
        tick: Duration::from_millis(50),
        ..WebhookOptions::default()
    };
    Options { webhooks, ..options() }
}

/// A process that sends, until it is stopped in order.
pub struct Process {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Process {
    pub fn start(deps: &Deps) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(pump::run(deps.clone(), stop.clone()));
        Self { stop, task }
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

pub async fn draft(world: &World, slug: &str) -> TenantId {
    let slug_of = Slug::parse(slug).unwrap();
    tenants::create(&world.cx(), &world.deps, slug_of, spec("standard", Phase::Draft)).await.unwrap();
    world.tenant(slug).await.id
}

/// As most receivers want it, in the region of the tests' tenants.
pub fn terms() -> Terms {
    Terms { region: Some(RegionName::parse("eu-west").unwrap()), ..Terms::default() }
}

pub fn wanted(url: &str) -> Wanted {
    Wanted { tenant: None, url: url.to_owned(), terms: terms(), only: None, scheme: Scheme::Hmac }
}

pub async fn endpoint(world: &World, wanted: Wanted) -> (Endpoint, Verifier) {
    let Issued { endpoint, secret } = webhooks::create(&world.cx(), &world.deps, wanted).await.unwrap();
    let verifier = match (&secret, &endpoint.public_key) {
        (Some(secret), _) => Verifier::parse([secret.expose_secret()]),
        (None, Some(public)) => Verifier::parse([public.as_str()]),
        (None, None) => panic!("nothing to verify with"),
    };
    (endpoint, verifier.unwrap())
}

/// Commits events of a subject, some in one transaction.
pub async fn emit(deps: &Deps, world: &World, subject: Subject, kind: Type, count: usize) {
    let scope = match subject {
        Subject::Tenant(tenant) => Scope::tenant(world.environment.clone(), tenant),
        Subject::Environment => Scope::environment(world.environment.clone()),
    };
    let permit = policy::controller("tenant.update", scope);
    let audit = audit::Draft {
        action: "tenant.update".into(),
        category: Category::Transition,
        outcome: Outcome::Success,
        actor: Actor::controller("tests"),
        target: "tenant/x".into(),
        version: None,
        reason: None,
        request_id: "req".into(),
        correlation_id: "c".into(),
        policy: "builtin/v1".into(),
        changes: json!({}),
    };
    let data = |place: usize| match kind {
        Type::TenantUpdated | Type::PlanChanged => json!({
            "slug": "acme", "version": place, "action": "update", "changed": ["ü", "x"], "plan": "standard",
        }),
        Type::CatalogUpdated => json!({ "kind": "Plan", "name": "standard", "version": place }),
        _ => json!({
            "slug": "acme", "state": "suspended", "plan": "standard", "app": "chat", "region": null, "cell": null,
            "isolation": null, "externalIds": { "place": place.to_string(), "ü": "x" },
        }),
    };
    let events = (0..count).map(|place| event::Draft::new(kind, data(place))).collect();
    let entry = match subject {
        Subject::Tenant(tenant) => Entry::tenant(tenant, audit, events),
        Subject::Environment => Entry::environment(audit, events),
    };
    deps.store().write(&permit, deps.now()).await.unwrap().commit(vec![entry]).await.unwrap();
    deps.nudge();
}

/// Waits until something is so.
#[track_caller]
pub fn until<'a>(what: &'a str, seconds: u64, so: impl Fn() -> bool + 'a) -> impl Future<Output = ()> + 'a {
    let place = std::panic::Location::caller();
    async move {
        let began = Instant::now();
        while !so() {
            assert!(began.elapsed() < Duration::from_secs(seconds), "{place}: {what} is not so after {seconds} s");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub async fn number(world: &World, sql: &'static str) -> i64 {
    let conn = world.deps.store().pool().get().await.unwrap();
    let row = conn.query_one(sql, &[]).await.unwrap();
    conn.release();
    row.get(0)
}

/// What arrived is signed, by keys that were live then.
pub fn verify(got: &[Got], verifier: &Verifier) {
    for one in got {
        let now = jiff::Timestamp::try_from(one.at).unwrap().as_second();
        let parts = (one.id.as_str(), one.timestamp.as_str(), one.signature.as_str());
        assert_eq!(verifier.verify(parts, &one.body, now, TOLERANCE), Ok(()), "{one:?}");
        assert!(one.media.starts_with("application/cloudevents+json"), "{one:?}");
    }
}

/// Sequences of a tenant that were taken, in the order of their first arrival.
pub fn taken(got: &[Got], tenant: TenantId) -> Vec<i64> {
    let mut seen = Vec::new();
    for one in got.iter().filter(|one| one.is_taken) {
        let body: serde_json::Value = serde_json::from_slice(&one.body).unwrap();
        assert_eq!(body["id"], one.id.as_str());
        if body["tenantryid"] == tenant.to_string() {
            let sequence = body["sequence"].as_i64().unwrap();
            if !seen.contains(&sequence) {
                seen.push(sequence);
            }
        }
    }
    seen
}

/// Every byte of a repetition is that of the first time.
pub fn equal_repetitions(got: &[Got]) -> usize {
    let mut bodies = std::collections::HashMap::new();
    let mut repeated = 0;
    for one in got {
        if let Some(first) = bodies.insert(one.id.clone(), one.body.clone()) {
            repeated += 1;
            assert_eq!(first, one.body, "{}", one.id);
        }
    }
    repeated
}

/// One tenant, one receiver of all its events.
pub async fn simple(attempts: usize) -> (World, TenantId, Receiver, Endpoint, Verifier) {
    let world = World::with(lab(attempts)).await;
    let tenant = draft(&world, "acme").await;
    let receiver = Receiver::start(tenantry_testkit::receivers::Mood::Ok).await;
    let (made, verifier) = endpoint(&world, Wanted { tenant: Some(name("acme")), ..wanted(&receiver.url()) }).await;
    (world, tenant, receiver, made, verifier)
}
