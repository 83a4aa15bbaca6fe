//! From what a request says to its tenant, and whether that is open.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tenantry_domain::access::domain::Standing;
use tenantry_domain::access::{self, Claims, Host, Named, NamedError, Source};
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{CellName, PlanCode};
use tenantry_domain::tenant::Slug;
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_store::{TenantKey, TenantRow};

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::refuse_store;

/// Whether a tenant's users are let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Openness {
    /// Not yet.
    Preparing,
    /// Yes.
    Open,
    /// Not at present.
    Suspended,
    /// No more, the data is kept.
    Archived,
}

impl Openness {
    /// What holds in a phase; nothing for a tenant that is deleted, of which nobody is told.
    const fn of(phase: Phase) -> Option<Self> {
        match phase {
            Phase::Draft => Some(Self::Preparing),
            Phase::Active => Some(Self::Open),
            Phase::Suspended => Some(Self::Suspended),
            Phase::Archived => Some(Self::Archived),
            Phase::Deleted => None,
        }
    }
}

/// What those who serve a tenant's requests have to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// Its id.
    pub id: TenantId,
    /// Its readable name.
    pub slug: Slug,
    /// Whether its users are let in.
    pub state: Openness,
    /// The placement's generation; 0 before there is one.
    pub generation: i64,
    /// The level; absent before there is a place.
    pub isolation: Option<Isolation>,
    /// The cell; absent before there is a place.
    pub cell: Option<CellName>,
    /// The plan.
    pub plan: PlanCode,
    /// The domains of its own that are proven.
    pub domains: Vec<String>,
}

impl Resolution {
    /// What a record says; nothing for a deleted tenant.
    fn of(row: TenantRow, domains: Vec<String>) -> Option<Self> {
        let state = Openness::of(row.state.phase())?;
        let place = row.placement;
        Some(Self {
            id: row.id,
            slug: row.slug,
            state,
            generation: place.as_ref().map_or(0, |place| place.generation),
            isolation: place.as_ref().map(|place| place.isolation),
            cell: place.map(|place| place.cell),
            plan: row.spec.plan,
            domains,
        })
    }
}

/// A tenant, and which sources named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The tenant.
    pub tenant: Arc<Resolution>,
    /// What named it.
    pub sources: Vec<Source>,
}

/// Finds the tenant that all sources of a request name. Sources that name nobody known are no tenant; and two that
/// disagree are a refusal, whichever of them is right.
///
/// # Errors
/// Nothing names a tenant, a source is malformed, there is no such tenant, or two sources disagree.
pub async fn resolve(cx: &Ctx, deps: &Deps, claims: &Claims<'_>) -> Result<Resolved, Refusal> {
    cx.permit_environment("tenant.resolve")?;
    let named = claims.named(&deps.options().base_domains)?;
    if named.is_empty() {
        return Err(Refusal::Nameless);
    }
    let (mut found, mut last) = (BTreeMap::new(), None);
    for (source, name) in named {
        let tenant = tenant(cx, deps, &name).await?;
        found.insert(source, tenant.id);
        last = Some(tenant);
    }
    access::agree(&found)?;
    let tenant = last.ok_or(Refusal::Nameless)?;
    Ok(Resolved { tenant, sources: found.into_keys().collect() })
}

/// One tenant, out of memory where it is known.
pub(crate) async fn tenant(cx: &Ctx, deps: &Deps, name: &Named) -> Result<Arc<Resolution>, Refusal> {
    let found = look_up(cx, deps, name).await?;
    if cx.sees(found.id) {
        return Ok(found);
    }
    Err(Refusal::NoTenant(match name {
        Named::Id(id) => id.to_string(),
        Named::Domain(host) => host.to_string(),
        Named::Slug(slug) => slug.to_string(),
    }))
}

async fn look_up(cx: &Ctx, deps: &Deps, name: &Named) -> Result<Arc<Resolution>, Refusal> {
    let nobody = || match name {
        Named::Id(id) => Refusal::NoTenant(id.to_string()),
        Named::Slug(slug) => Refusal::NoTenant(slug.to_string()),
        Named::Domain(_) => Refusal::Unnamed(NamedError::Nobody(Source::Host)),
    };
    let (routes, environment) = (deps.routes(), &cx.environment);
    if routes.is_stranger(environment, name).await {
        return Err(nobody());
    }
    if let Some(known) = remembered(cx, deps, name).await {
        return Ok(known);
    }
    let found = match name {
        Named::Id(id) => by_id(cx, deps, *id).await,
        Named::Slug(slug) => by_slug(cx, deps, slug).await,
        Named::Domain(host) => by_domain(cx, deps, host).await,
    };
    if found.as_ref().is_err_and(is_nobody) {
        routes.keep_stranger(environment, name).await;
        return Err(nobody());
    }
    found
}

/// Whether a refusal says that nobody has the name.
fn is_nobody(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::NoTenant(_) | Refusal::Unnamed(NamedError::Nobody(_)) => true,
        Refusal::Shared(refusal) => is_nobody(refusal),
        _ => false,
    }
}

/// The tenant that a slug or domain named before, if it still has that name.
async fn remembered(cx: &Ctx, deps: &Deps, name: &Named) -> Option<Arc<Resolution>> {
    let (routes, environment) = (deps.routes(), &cx.environment);
    match name {
        // Its own memory is asked first anyway.
        Named::Id(_) => None,
        Named::Slug(slug) => {
            let id = routes.slug(environment, slug).await?;
            by_id(cx, deps, id).await.ok().filter(|tenant| tenant.slug == *slug)
        }
        Named::Domain(host) => {
            let id = routes.domain(environment, host).await?;
            by_id(cx, deps, id).await.ok().filter(|tenant| has(tenant, host))
        }
    }
}

fn has(tenant: &Resolution, host: &Host) -> bool {
    tenant.domains.iter().any(|domain| domain == host.as_str())
}

async fn by_id(cx: &Ctx, deps: &Deps, id: TenantId) -> Result<Arc<Resolution>, Refusal> {
    deps.routes().tenant(&cx.environment, id, Instant::now(), read(cx, deps, TenantKey::Id(id), &id)).await
}

async fn by_slug(cx: &Ctx, deps: &Deps, slug: &Slug) -> Result<Arc<Resolution>, Refusal> {
    let began = Instant::now();
    let tenant = read(cx, deps, TenantKey::Slug(slug.clone()), slug).await?;
    deps.routes().keep_slug(&cx.environment, slug, tenant.id).await;
    let id = tenant.id;
    deps.routes().tenant(&cx.environment, id, began, async { Ok(tenant) }).await
}

/// The tenant that has proven a domain. One that is wanted and not proven is answered like one that nobody wants.
async fn by_domain(cx: &Ctx, deps: &Deps, host: &Host) -> Result<Arc<Resolution>, Refusal> {
    let nobody = || Refusal::Unnamed(NamedError::Nobody(Source::Host));
    let began = Instant::now();
    let owner = deps.store().read(&cx.environment).domain_owner(host.as_str()).await.map_err(refuse_store)?;
    let id = owner.ok_or_else(nobody)?;
    let tenant = read(cx, deps, TenantKey::Id(id), &id).await?;
    if !has(&tenant, host) {
        return Err(nobody());
    }
    let routes = deps.routes();
    routes.keep_domain(&cx.environment, host, id).await;
    let kept = Arc::clone(&tenant);
    routes.tenant(&cx.environment, id, began, async { Ok(kept) }).await?;
    Ok(tenant)
}

async fn read(
    cx: &Ctx,
    deps: &Deps,
    key: TenantKey,
    name: &(dyn std::fmt::Display + Sync),
) -> Result<Arc<Resolution>, Refusal> {
    let reader = deps.store().read(&cx.environment);
    let absent = || Refusal::NoTenant(name.to_string());
    let row = reader.tenant(key).await.map_err(refuse_store)?.ok_or_else(absent)?;
    // Most tenants want none, and cost nothing here.
    let domains = if row.spec.domains.is_empty() {
        Vec::new()
    } else {
        let rows = reader.domains(row.id).await.map_err(refuse_store)?;
        let proven = rows.into_iter().filter(|row| row.proof.standing == Standing::Verified);
        proven.map(|row| row.domain).collect()
    };
    Resolution::of(row, domains).map(Arc::new).ok_or_else(absent)
}
