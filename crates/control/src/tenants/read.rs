//! Reading tenants: one, many, their past, their place, what they are entitled to.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenantry_dataplane::{Cell, Finding, Route, Space};
use tenantry_domain::diff::{FieldChange, diff};
use tenantry_domain::id::TenantId;
use tenantry_domain::page::PageSize;
use tenantry_domain::placement::{self, Decision, Placement};
use tenantry_domain::plan::{entitlement, promise};
use tenantry_store::{Page, PageRequest, TenantFilter, TenantKey, TenantRow, VersionRow};

use crate::catalog::{self, CatalogError};
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::pools;
use crate::refusal::Refusal;
use crate::rollouts::newest;
use crate::rollouts::overlay::{self, Additions};
use crate::tenants::edit::{TenantRef, refuse_store, require};
use crate::tenants::{demand, promises};
use crate::view::{Condition, Tenant, Version};
use crate::workflows::site;

/// A row as the doors see it.
pub(crate) fn view(row: TenantRow) -> Tenant {
    Tenant {
        id: row.id,
        environment: row.environment,
        slug: row.slug,
        version: row.version,
        observed_version: row.observed_version,
        requested: row.spec.state,
        spec: row.spec,
        state: row.state,
        conditions: row.conditions.into_iter().map(condition).collect(),
        failure: row.failure.map(|(_, cause)| cause),
        created_at: row.created_at,
        updated_at: row.updated_at,
        created_by: row.created_by,
    }
}

fn condition(row: tenantry_store::Condition) -> Condition {
    Condition {
        kind: row.kind,
        status: row.status == tenantry_store::ConditionStatus::True,
        reason: row.reason,
        message: row.message,
        since: row.since,
    }
}

pub(crate) fn version_view(row: VersionRow) -> Version {
    Version {
        version: row.version,
        spec: serde_json::to_value(row.spec).unwrap_or_default(),
        author: row.author,
        action: row.action,
        at: row.at,
    }
}

/// One tenant.
///
/// # Errors
/// There is none.
pub async fn get(cx: &Ctx, deps: &Deps, tenant: &TenantRef) -> Result<Tenant, Refusal> {
    cx.may("tenant.read")?;
    let row = require(cx, deps, tenant).await?;
    let pool = pools::condition(cx, deps, row.id, row.state.phase()).await?;
    let mut tenant = view(row);
    tenant.conditions.extend(pool);
    Ok(tenant)
}

/// How a tenant is found without its id or slug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Elsewhere {
    /// By its id in another system.
    External {
        /// The system.
        system: String,
        /// The id there.
        id: String,
    },
    /// By an id of an adopted system.
    Alias(String),
}

/// One tenant by what others call it.
///
/// # Errors
/// There is none.
pub async fn find(cx: &Ctx, deps: &Deps, elsewhere: Elsewhere) -> Result<Tenant, Refusal> {
    cx.may("tenant.read")?;
    let (key, name) = match elsewhere {
        Elsewhere::External { system, id } => {
            let name = format!("{system}:{id}");
            (TenantKey::External { system, id }, name)
        }
        Elsewhere::Alias(alias) => (TenantKey::Alias(alias.clone()), alias),
    };
    let row = deps.store().read(&cx.environment).tenant(key).await.map_err(refuse_store)?;
    row.filter(|row| cx.sees(row.id)).map(view).ok_or(Refusal::NoTenant(name))
}

/// The page that a caller asks for.
pub(crate) fn request<'a>(cx: &Ctx, principal: &'a str, size: PageSize, token: Option<&'a str>) -> PageRequest<'a> {
    PageRequest { principal, token, size, now: cx.now }
}

/// A page of tenants, in the order of their making.
///
/// # Errors
/// The page token is of no use here.
pub async fn list(
    cx: &Ctx,
    deps: &Deps,
    filter: &TenantFilter,
    size: PageSize,
    token: Option<&str>,
) -> Result<Page<Tenant>, Refusal> {
    cx.permit_environment("tenant.read")?;
    let principal = cx.actor.to_string();
    let reader = deps.store().read(&cx.environment);
    let page = reader.tenants(filter, &request(cx, &principal, size, token)).await.map_err(refuse_store)?;
    Ok(Page { items: page.items.into_iter().map(view).collect(), next: page.next })
}

/// A page of a tenant's versions, newest first.
///
/// # Errors
/// There is no such tenant, or the page token is of no use here.
pub async fn versions(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    size: PageSize,
    token: Option<&str>,
) -> Result<Page<Version>, Refusal> {
    let row = require(cx, deps, tenant).await?;
    cx.permit("tenant.read", row.id)?;
    let principal = cx.actor.to_string();
    let reader = deps.store().read(&cx.environment);
    let page = reader.versions(row.id, &request(cx, &principal, size, token)).await.map_err(refuse_store)?;
    Ok(Page { items: page.items.into_iter().map(version_view).collect(), next: page.next })
}

/// One version.
///
/// # Errors
/// There is none.
pub async fn version(cx: &Ctx, deps: &Deps, tenant: &TenantRef, number: i64) -> Result<Version, Refusal> {
    let row = require(cx, deps, tenant).await?;
    cx.permit("tenant.read", row.id)?;
    let version = deps.store().read(&cx.environment).version(row.id, number).await.map_err(refuse_store)?;
    version.map(version_view).ok_or(Refusal::NoVersion(number))
}

/// What differs between two versions.
///
/// # Errors
/// One of them does not exist.
pub async fn compare(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    from: i64,
    to: i64,
) -> Result<Vec<FieldChange>, Refusal> {
    let (a, b) = (version(cx, deps, tenant, from).await?, version(cx, deps, tenant, to).await?);
    Ok(diff(&a.spec, &b.spec))
}

/// The version that was the newest at a moment.
///
/// # Errors
/// The tenant did not exist then.
pub async fn as_of(cx: &Ctx, deps: &Deps, tenant: &TenantRef, at: Timestamp) -> Result<Version, Refusal> {
    let row = require(cx, deps, tenant).await?;
    cx.permit("tenant.read", row.id)?;
    let version = deps.store().read(&cx.environment).as_of(row.id, at).await.map_err(refuse_store)?;
    version.map(version_view).ok_or(Refusal::NoVersion(0))
}

/// Where a tenant lives, and why there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlacementView {
    /// The place; absent for a tenant without one.
    pub placement: Option<Placement>,
    /// What a decision would be now, with every cell's refusal or score; absent when no cell fits, and for callers that are
    /// confined to the tenant.
    pub decision: Option<Decision>,
    /// Why no cell fits; absent when one does, and for callers that are confined to the tenant.
    pub refusal: Option<String>,
    /// How to connect; absent for a tenant without a place. Holds no secret.
    pub route: Option<RouteView>,
}

/// How to reach a tenant's data. Changes with the place's generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteView {
    /// The placement's generation that the route belongs to.
    pub generation: i64,
    /// The server's host, or the folder of its socket.
    pub host: String,
    /// The server's port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The schema of the tables.
    pub schema: String,
    /// The login.
    pub role: String,
}

fn route_view(route: Route) -> RouteView {
    let Route { epoch, host, port, database, schema, role, .. } = route;
    RouteView { generation: epoch, host, port, database, schema, role }
}

/// Explains a tenant's place. Which other cells there are and how full is for those who run them, and told to nobody who is
/// confined to a tenant.
///
/// # Errors
/// There is no such tenant, or its cell does not answer.
pub async fn placement(cx: &Ctx, deps: &Deps, tenant: &TenantRef) -> Result<PlacementView, Refusal> {
    let row = require(cx, deps, tenant).await?;
    cx.permit("tenant.read", row.id)?;
    let (decision, refusal) = match cx.permit_environment("tenant.read") {
        Ok(_) => decision(cx, deps, &row).await?,
        Err(_) => (None, None),
    };
    let route = match &row.placement {
        Some(place) => {
            let away = |_| Refusal::Cell(place.cell.to_string());
            let cell = site::cell(deps, &cx.environment, &place.cell).await.map_err(away)?;
            let space = site::space(deps.store(), &row, place, cx.now).await.map_err(away)?;
            Some(route_view(cell.route(&space).map_err(|_| Refusal::Cell(place.cell.to_string()))?))
        }
        None => None,
    };
    Ok(PlacementView { placement: row.placement, decision, refusal, route })
}

/// What a decision would be now, or why there is none.
async fn decision(cx: &Ctx, deps: &Deps, row: &TenantRow) -> Result<(Option<Decision>, Option<String>), Refusal> {
    let entitled = entitlements_of(cx, deps, row).await?;
    let level = entitled.isolation.value;
    let reader = deps.store().read(&cx.environment);
    let mut loads = reader.cell_loads().await.map_err(refuse_store)?;
    promises::seen(&reader, &mut loads, Some(row.id), cx.now).await.map_err(refuse_store)?;
    let demand =
        demand::seen(deps.store(), &cx.environment, level, &row.spec, Some(row.id)).await.map_err(refuse_store)?;
    let demand = demand.promising(promise::of(&entitled));
    Ok(match placement::decide(&demand, &loads) {
        Ok(decision) => (Some(decision), None),
        Err(error) => (None, Some(format!("{error}: {}", error.hint()))),
    })
}

pub(crate) async fn entitlements_of(
    cx: &Ctx,
    deps: &Deps,
    row: &TenantRow,
) -> Result<entitlement::Entitlements, Refusal> {
    Ok(entitled(cx, deps, row).await?.1)
}

/// The version of its plan that a tenant has, and what it is entitled to by that.
async fn entitled(cx: &Ctx, deps: &Deps, row: &TenantRow) -> Result<(i64, entitlement::Entitlements), Refusal> {
    let (version, plan) = catalog::plan_of(deps.store(), row).await.map_err(|error| match error {
        CatalogError::Store(error) => refuse_store(error),
        _ => Refusal::NoObject { kind: "plan".to_owned(), name: row.spec.plan.to_string() },
    })?;
    Ok((version, entitlement::derive(&row.spec.plan, &plan, &row.spec.overrides, cx.now)))
}

/// A tenant's cell and place, for those who enter it: the demo, adapters, tests.
///
/// # Errors
/// There is no such tenant, it has no place, or its cell cannot be opened.
pub async fn space(cx: &Ctx, deps: &Deps, tenant: &TenantRef) -> Result<(Arc<Cell>, Space), Refusal> {
    let row = require(cx, deps, tenant).await?;
    cx.permit("tenant.enter", row.id)?;
    let Some(place) = &row.placement else { return Err(Refusal::NoPlace(row.slug.to_string())) };
    let away = |_| Refusal::Cell(place.cell.to_string());
    let cell = site::cell(deps, &cx.environment, &place.cell).await.map_err(away)?;
    let space = site::space(deps.store(), &row, place, cx.now).await.map_err(away)?;
    Ok((cell, space))
}

/// What a tenant is entitled to now, each value with its origin; and the version of its plan that says so.
///
/// # Errors
/// There is no such tenant.
pub async fn entitlements(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
) -> Result<(i64, entitlement::Entitlements), Refusal> {
    let row = require(cx, deps, tenant).await?;
    cx.permit("tenant.read", row.id)?;
    entitled(cx, deps, &row).await
}

/// Looks at a tenant's place right now and says what deviates.
///
/// # Errors
/// There is no such tenant, or its cell does not answer.
pub async fn drift(cx: &Ctx, deps: &Deps, tenant: &TenantRef) -> Result<Vec<Finding>, Refusal> {
    let row = require(cx, deps, tenant).await?;
    cx.permit("tenant.read", row.id)?;
    let Some(place) = &row.placement else { return Ok(Vec::new()) };
    let away = |_| Refusal::Cell(place.cell.to_string());
    let cell = site::cell(deps, &cx.environment, &place.cell).await.map_err(away)?;
    let space = site::space(deps.store(), &row, place, cx.now).await.map_err(away)?;
    let observed = cell.observe(&space).await.map_err(|_| Refusal::Cell(place.cell.to_string()))?;
    Ok(observed.findings)
}

/// Looks at a tenant's place right now and says what it added there, and which files of the app's newest version that
/// is in the way of.
///
/// # Errors
/// There is no such tenant, or its cell does not answer.
pub async fn additions(cx: &Ctx, deps: &Deps, tenant: &TenantRef) -> Result<Additions, Refusal> {
    let row = require(cx, deps, tenant).await?;
    cx.permit("tenant.read", row.id)?;
    let Some(place) = &row.placement else { return Ok(Additions::default()) };
    let away = |_| Refusal::Cell(place.cell.to_string());
    let cell = site::cell(deps, &cx.environment, &place.cell).await.map_err(away)?;
    let mut space = site::space(deps.store(), &row, place, cx.now).await.map_err(away)?;
    // A rollout that came to a stand keeps the newest files from the place: those are what is asked about.
    space.app = Arc::new(newest(cx, deps, &row.spec.app).await?);
    overlay::additions(&cell, &space).await.map_err(|_| Refusal::Cell(place.cell.to_string()))
}

/// The id behind a reference.
///
/// # Errors
/// There is no such tenant.
pub async fn identify(cx: &Ctx, deps: &Deps, tenant: &TenantRef) -> Result<TenantId, Refusal> {
    Ok(require(cx, deps, tenant).await?.id)
}
