//! How to reach a tenant's data.

use std::sync::Arc;

use tenantry_domain::access::Named;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::CellName;
use tenantry_store::TenantKey;

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::routes::credential::SecretRef;
use crate::routes::resolve::{self, Resolution};
use crate::tenants::edit::{TenantRef, refuse_store};
use crate::workflows::site;

/// Where a tenant's data is, and as whom it is reached. Nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The placement's generation that the address belongs to.
    pub generation: i64,
    /// The level.
    pub isolation: Isolation,
    /// The cell.
    pub cell: CellName,
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
    /// The most connections that the plan gives the tenant; absent for no bound of its own.
    pub connections: Option<u32>,
    /// The credential that goes with it.
    pub secret: SecretRef,
}

/// The route of one tenant and what holds of it, out of memory where they are known.
///
/// # Errors
/// There is no such tenant, it has no place yet, or its cell is not known to this process.
pub async fn route(cx: &Ctx, deps: &Deps, tenant: &TenantRef) -> Result<(Arc<Resolution>, Arc<Route>), Refusal> {
    let named = match tenant {
        TenantRef::Id(id) => Named::Id(*id),
        TenantRef::Slug(slug) => Named::Slug(slug.clone()),
    };
    let resolution = resolve::tenant(cx, deps, &named).await?;
    cx.permit("tenant.route", resolution.id)?;
    let reading = read(cx, deps, Arc::clone(&resolution));
    let route = deps.routes().route(&cx.environment, resolution.id, reading).await?;
    Ok((resolution, route))
}

async fn read(cx: &Ctx, deps: &Deps, tenant: Arc<Resolution>) -> Result<Arc<Route>, Refusal> {
    let key = TenantKey::Id(tenant.id);
    let row = deps.store().read(&cx.environment).tenant(key).await.map_err(refuse_store)?;
    let row = row.ok_or_else(|| Refusal::NoTenant(tenant.slug.to_string()))?;
    let Some(place) = &row.placement else { return Err(Refusal::NoPlace(tenant.slug.to_string())) };
    let away = |_| Refusal::Cell(place.cell.to_string());
    let cell = site::cell(deps, &cx.environment, &place.cell).await.map_err(away)?;
    let space = site::space(deps.store(), &row, place, cx.now).await.map_err(away)?;
    let address = cell.route(&space).map_err(|_| Refusal::Cell(place.cell.to_string()))?;
    Ok(Arc::new(Route {
        generation: address.epoch,
        isolation: address.isolation,
        cell: place.cell.clone(),
        host: address.host,
        port: address.port,
        database: address.database,
        schema: address.schema,
        role: address.role,
        connections: space.connections,
        secret: SecretRef::of(&place.cell, &space),
    }))
}
