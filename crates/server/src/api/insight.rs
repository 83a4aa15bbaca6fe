//! Where a tenant is, what it gets, and whether its place is as it should be.

use axum::Json;
use axum::extract::State as With;
use tenantry_api::v1::entitlement::Entitlements;
use tenantry_api::v1::event::Drift;
use tenantry_api::v1::placement::PlacementView;
use tenantry_control::tenants;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::history::Nothing;
use super::{InEnvironment, OfTenant};
use crate::State;
use crate::convert;
use crate::extract::{Call, Params, TenantPath};
use crate::problem::Result;

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(placement)).routes(routes!(entitlements)).routes(routes!(drift))
}

/// Explain where a tenant is
///
/// Its place, what a decision would be now with every cell's refusal or score, and how to reach it.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/placement", tag = "tenants", operation_id = "getTenantPlacement",
    params(InEnvironment, OfTenant),
    responses((status = 200, description = "Place, reasons and route.", body = PlacementView)),
)]
async fn placement(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    _: Params<Nothing>,
) -> Result<Json<PlacementView>> {
    let view = tenants::placement(&call.read(), state.deps(), &tenant).await?;
    Ok(Json(convert::placement::view(&view)))
}

/// Say what a tenant is entitled to now
///
/// Plan plus overrides, each value with its origin.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/entitlements", tag = "tenants", operation_id = "getTenantEntitlements",
    params(InEnvironment, OfTenant),
    responses((status = 200, description = "What holds now.", body = Entitlements)),
)]
async fn entitlements(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    _: Params<Nothing>,
) -> Result<Json<Entitlements>> {
    let found = tenants::entitlements(&call.read(), state.deps(), &tenant).await?;
    Ok(Json(Entitlements::from(&found)))
}

/// Look for deviations of a tenant's place
///
/// Looks at the data plane right now.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/drift", tag = "tenants", operation_id = "getTenantDrift",
    params(InEnvironment, OfTenant),
    responses((status = 200, description = "What deviates; nothing when all is well.", body = Drift)),
)]
async fn drift(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    _: Params<Nothing>,
) -> Result<Json<Drift>> {
    let findings = tenants::drift(&call.read(), state.deps(), &tenant).await?;
    Ok(Json(convert::event::drift(findings)))
}
