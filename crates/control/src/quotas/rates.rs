//! Rates: of those who call us, of tenants by their plan, and of failures to say who one is.
//!
//! A tenant's rates come out of memory. What is remembered belongs to one answer of [`crate::routes`] and is read again when
//! that answer is another one, so a change of plan, override or tenant is seen as soon as everything else is.
//! INVARIANT: no failure here refuses a request; while our database is away the rates that were known go on. Whoever has used
//! up the own rate costs our database nothing, whatever names are asked for.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use moka::future::Cache;
use secrecy::SecretString;
use tenantry_domain::Timestamp;
use tenantry_domain::access::Named;
use tenantry_domain::id::TenantId;
use tenantry_domain::limit::fields::Judged;
use tenantry_domain::limit::{Class, Limit, Verdict};
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::policy::{Actor, Rights};
use tenantry_domain::quantity::{Quantity, Rate};
use tenantry_domain::tenant::spec::Override;
use tenantry_limits::{Ask, Limiter};
use tenantry_store::TenantKey;

use crate::catalog::{self, CatalogError};
use crate::ctx::Ctx;
use crate::deps::{Deps, mint};
use crate::refusal::Refusal;
use crate::routes::Resolution;
use crate::routes::resolve;
use crate::tenants::edit::{TenantRef, refuse_store};
use crate::tokens::Bearer;

/// The rate of a tenant's requests to the application itself, which proxies ask for.
pub const REQUESTS: &str = "requests";

/// The rate of all calls of our API that name the tenant.
const API: &str = "api";

/// The most tenants whose rates are remembered, and principals that were seen.
const MOST: u64 = 100_000;

/// For how long one who has said rightly who it is is let in past the failures of its neighbours.
const KNOWN: std::time::Duration = std::time::Duration::from_secs(600);

/// For how long a name of a tenant goes unasked, be it somebody's or nobody's. A tenant that is made meanwhile has no rate
/// for so long.
const FRESH: std::time::Duration = std::time::Duration::from_secs(3);

/// How requests are limited. The defaults suit production.
#[derive(Debug, Clone)]
pub struct RateOptions {
    /// What each principal may do of each class; a class that is not there has no bound.
    pub principal: BTreeMap<Class, Limit>,
    /// How often an address may fail to say who it is; absent for no bound.
    pub failures: Option<Limit>,
    /// The most rates that are remembered in this process.
    pub most: usize,
    /// The Redis or Valkey server that replicas share rates by; absent for rates of each process alone.
    pub shared: Option<SecretString>,
    /// How many proxies in front add themselves to `X-Forwarded-For`; 0 when clients connect to us.
    pub proxies: u8,
}

/// So many a second, and twice as many at once.
fn per_second(amount: u32) -> Limit {
    let amount = NonZeroU32::new(amount).unwrap_or(NonZeroU32::MIN);
    Limit::new(Rate { amount, seconds: NonZeroU32::MIN }, amount.saturating_mul(NonZeroU32::MIN.saturating_add(1)))
}

impl Default for RateOptions {
    fn default() -> Self {
        // One busy script or console; what serves a whole product's requests (`resolve`) is bounded by the server alone.
        let principal = [(Class::Read, 100), (Class::Write, 50), (Class::Bulk, 10)];
        let twenty_a_minute = NonZeroU32::new(20).zip(NonZeroU32::new(60));
        Self {
            principal: principal.map(|(class, amount)| (class, per_second(amount))).into(),
            failures: twenty_a_minute.map(|(amount, seconds)| Limit::of(Rate { amount, seconds })),
            most: 100_000,
            shared: None,
            proxies: 0,
        }
    }
}

/// What is remembered of a tenant's rates.
struct Known {
    /// The answer that it belongs to.
    of: Arc<Resolution>,
    plan: BTreeMap<String, Quantity>,
    overrides: BTreeMap<String, Override<Quantity>>,
}

impl Known {
    fn limit(&self, class: &str, now: Timestamp) -> Option<Limit> {
        let deviation = self.overrides.get(class).filter(|deviation| deviation.holds(now));
        let quantity = deviation.map(|deviation| deviation.value).or_else(|| self.plan.get(class).copied());
        Limit::of_quantity(quantity?)
    }
}

/// The rates of one process.
pub struct Rates {
    options: RateOptions,
    limiter: Limiter,
    known: Cache<(EnvironmentName, TenantId), Arc<Known>>,
    /// Names that paths named a moment ago, and whether they are some tenant's.
    named: Cache<(EnvironmentName, String), bool>,
    /// Digests of credentials that were right a short while ago.
    right: Cache<u64, ()>,
    hasher: RandomState,
}

impl std::fmt::Debug for Rates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rates").field("limiter", &self.limiter).finish_non_exhaustive()
    }
}

impl Rates {
    /// Makes the rates of a process. A URL that is none of a server is told in the log, and rates are not shared then:
    /// settings are checked where they are read.
    pub(crate) fn new(options: &RateOptions) -> Self {
        let wanted = tenantry_limits::Options { most: options.most, shared: options.shared.clone() };
        let limiter = Limiter::new(&wanted).unwrap_or_else(|error| {
            tracing::error!(%error, "rates are not shared");
            Limiter::alone(options.most)
        });
        Self {
            options: options.clone(),
            limiter,
            known: Cache::builder().max_capacity(MOST).build(),
            named: Cache::builder().max_capacity(MOST).time_to_live(FRESH).build(),
            right: Cache::builder().max_capacity(MOST).time_to_live(KNOWN).build(),
            hasher: RandomState::new(),
        }
    }

    /// Says how many processes share the rates.
    pub fn set_replicas(&self, count: usize) {
        self.limiter.set_replicas(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// How many proxies in front add themselves to `X-Forwarded-For`.
    #[must_use]
    pub const fn proxies(&self) -> u8 {
        self.options.proxies
    }

    /// Counters, for `/metrics`.
    #[must_use]
    pub fn render(&self) -> String {
        self.limiter.render()
    }

    /// How long an address has to wait until it may fail again to say who it is; absent when it may, and for credentials
    /// that were right a short while ago: the failures of one do not lock out its neighbours behind the same address.
    pub async fn wait(&self, address: IpAddr, credentials: &[u8]) -> Option<Judged> {
        let judged = self.failure(address, 0)?;
        let is_full = judged.verdict.remaining == 0;
        (is_full && self.right.get(&self.hasher.hash_one(credentials)).await.is_none()).then_some(judged)
    }

    /// Notes that an address failed to say who it is.
    pub fn failed(&self, address: IpAddr) {
        self.failure(address, 1);
    }

    /// Notes that credentials were right.
    pub async fn succeeded(&self, credentials: &[u8]) {
        let digest = self.hasher.hash_one(credentials);
        if !self.right.contains_key(&digest) {
            self.right.insert(digest, ()).await;
        }
    }

    /// In this process alone: who fails must not make us ask another server.
    fn failure(&self, address: IpAddr, count: u32) -> Option<Judged> {
        let limit = self.options.failures?;
        let key = format!("f:{}", network(address));
        let verdict = self.limiter.take_here(&[Ask { key: &key, limit }], count).pop()?;
        // A look at what is left says when the next one may come.
        let wait = verdict.reset.saturating_sub(std::time::Duration::from_nanos(
            limit.interval().saturating_mul(u64::from(limit.burst() - 1)),
        ));
        Some(Judged { policy: "failures", limit, verdict: Verdict { retry: Some(wait), ..verdict } })
    }
}

/// Whoever has one address of the sixth version has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        address => address,
    }
}

/// Judges a call by the rates of its principal, and of the tenant that its path names. All of them or none are charged. A
/// tenant that the caller may not know of has none here: nobody uses up the rate of a stranger, or learns that there is one.
/// `is_there` says whether the environment exists; it is asked only for a name that nobody asked for a moment ago, and only
/// if the principal's own rate is not used up.
pub async fn admit(
    deps: &Deps,
    Bearer { actor, rights, .. }: &Bearer,
    tenant: Option<(&EnvironmentName, &str)>,
    is_there: impl Future<Output = bool> + Send,
    class: Class,
) -> Vec<Judged> {
    let rates = deps.rates();
    let mut asks: Vec<(String, &'static str, Limit)> = Vec::with_capacity(3);
    if let Some(limit) = rates.options.principal.get(&class) {
        asks.push((format!("p:{class}:{actor}"), "principal", *limit));
    }
    let tenant = tenant.and_then(|(environment, name)| Some((environment, name.parse::<TenantRef>().ok()?)));
    let Some((environment, name)) = tenant else { return judge(rates, &asks, 1).await };
    let spelt = (environment.clone(), name.to_string());
    let seen = rates.named.get(&spelt).await;
    if seen.is_none() && judge(rates, &asks, 0).await.iter().any(|judged| judged.verdict.remaining == 0) {
        return judge(rates, &asks, 1).await;
    }
    let found = match seen {
        Some(false) => None,
        None if !is_there.await => None,
        Some(true) | None => match named(deps, environment, &name).await {
            Ok(known) => Some(known),
            Err(Refusal::NoTenant(_)) => None,
            // Our database is away: that says nothing about the name.
            Err(_) => return judge(rates, &asks, 1).await,
        },
    };
    if seen != Some(found.is_some()) {
        rates.named.insert(spelt, found.is_some()).await;
    }
    if let Some(known) = found.filter(|known| rights.sees(known.of.id)) {
        let now = deps.now();
        let mut add = |kind: &str, policy| {
            if let Some(limit) = known.limit(kind, now) {
                asks.push((key(environment, known.of.id, kind), policy, limit));
            }
        };
        if class != Class::Resolve {
            add(API, "tenant");
        }
        add(class.as_str(), policy(class));
    }
    judge(rates, &asks, 1).await
}

const fn policy(class: Class) -> &'static str {
    match class {
        Class::Read => "tenant-read",
        Class::Write => "tenant-write",
        Class::Bulk => "tenant-bulk",
        Class::Resolve => "tenant-resolve",
    }
}

/// Takes a tenant's rate for an application. Absent when nothing limits it.
///
/// # Errors
/// There is no such tenant, or the caller may not.
pub async fn take(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    class: &str,
    count: u32,
    principal: Option<&str>,
) -> Result<Option<Judged>, Refusal> {
    let name = match tenant {
        TenantRef::Id(id) => Named::Id(*id),
        TenantRef::Slug(slug) => Named::Slug(slug.clone()),
    };
    let found = resolve::tenant(cx, deps, &name).await?;
    cx.permit("limit.take", found.id)?;
    let known = known(deps, &cx.environment, &found).await?;
    let Some(limit) = known.limit(class, cx.now) else { return Ok(None) };
    let mut key = key(&cx.environment, found.id, class);
    if let Some(principal) = principal {
        key.push(':');
        key.push_str(principal);
    }
    Ok(judge(deps.rates(), &[(key, "tenant", limit)], count).await.pop())
}

/// Takes one of a tenant's requests, for a proxy that asks. Absent when nothing limits them, or when that cannot be read.
pub async fn request(deps: &Deps, environment: &EnvironmentName, tenant: &Arc<Resolution>) -> Option<Judged> {
    let known = known(deps, environment, tenant).await.ok()?;
    let limit = known.limit(REQUESTS, deps.now())?;
    judge(deps.rates(), &[(key(environment, tenant.id, REQUESTS), "tenant", limit)], 1).await.pop()
}

fn key(environment: &EnvironmentName, tenant: TenantId, class: &str) -> String {
    format!("t:{environment}:{tenant}:{class}")
}

async fn judge(rates: &Rates, asks: &[(String, &'static str, Limit)], count: u32) -> Vec<Judged> {
    let questions: Vec<_> = asks.iter().map(|(key, _, limit)| Ask { key, limit: *limit }).collect();
    let verdicts = rates.limiter.take(&questions, count).await;
    let judged = asks.iter().zip(verdicts);
    judged.map(|((_, policy, limit), verdict)| Judged { policy, limit: *limit, verdict }).collect()
}

async fn named(deps: &Deps, environment: &EnvironmentName, name: &TenantRef) -> Result<Arc<Known>, Refusal> {
    let name = match name {
        TenantRef::Id(id) => Named::Id(*id),
        TenantRef::Slug(slug) => Named::Slug(slug.clone()),
    };
    let cx = Ctx {
        actor: Actor::controller("rates"),
        person: None,
        rights: Rights::all(),
        environment: environment.clone(),
        request_id: mint::request(),
        correlation_id: String::new(),
        now: deps.now(),
        idempotency: None,
    };
    let found = resolve::tenant(&cx, deps, &name).await?;
    known(deps, environment, &found).await
}

/// The rates of a tenant, out of memory where they belong to the same answer.
async fn known(deps: &Deps, environment: &EnvironmentName, of: &Arc<Resolution>) -> Result<Arc<Known>, Refusal> {
    let (rates, key) = (deps.rates(), (environment.clone(), of.id));
    let kept = rates.known.get(&key).await;
    if let Some(kept) = &kept
        && Arc::ptr_eq(&kept.of, of)
    {
        return Ok(Arc::clone(kept));
    }
    match read(deps, environment, of).await {
        Ok(known) => {
            rates.known.insert(key, Arc::clone(&known)).await;
            Ok(known)
        }
        Err(error) => kept.ok_or(error),
    }
}

async fn read(deps: &Deps, environment: &EnvironmentName, of: &Arc<Resolution>) -> Result<Arc<Known>, Refusal> {
    let row = deps.store().read(environment).tenant(TenantKey::Id(of.id)).await.map_err(refuse_store)?;
    let row = row.ok_or_else(|| Refusal::NoTenant(of.id.to_string()))?;
    let (_, plan) = catalog::plan_of(deps.store(), &row).await.map_err(|error| match error {
        CatalogError::Store(error) => refuse_store(error),
        _ => Refusal::NoObject { kind: "plan".to_owned(), name: row.spec.plan.to_string() },
    })?;
    let (plan, overrides) = (plan.rate_limits, row.spec.overrides.rate_limits);
    Ok(Arc::new(Known { of: Arc::clone(of), plan, overrides }))
}
