//! Where a tenant is, what it gets, and whether its place is as it should be.

use axum::Json;
use axum::extract::State as With;
use tenantry_api::parse;
use tenantry_api::v1::entitlement::Entitlements;
use tenantry_api::v1::event::Drift;
use tenantry_api::v1::placement::{PlacementAnswer, PlacementRequest, PlacementView};
use tenantry_api::v1::rollout::Additions;
use tenantry_control::tenants::explain::Asked;
use tenantry_control::tenants::{self, TenantRef};
use tenantry_domain::code::Code;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::history::Nothing;
use super::{InEnvironment, OfTenant};
use crate::State;
use crate::convert;
use crate::extract::{Call, JsonBody, Params, TenantPath};
use crate::problem::{Failure, Result};

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(placement))
        .routes(routes!(entitlements))
        .routes(routes!(drift))
        .routes(routes!(additions))
        .routes(routes!(explain))
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

/// Ask where a tenant would be placed
///
/// A dry run: for a tenant that does not exist yet, for one that does, or for one that is to change. Every cell comes with
/// its score or with why it was refused. The fields of a score in their order are the policy: first the region's rank, then
/// how full the cell would be, then its name; least is best.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/placements/@explain", tag = "tenants", operation_id = "explainPlacement",
    params(InEnvironment),
    request_body(content = PlacementRequest, example = json!({ "plan": "standard", "allowedRegions": ["eu-west", "us-east"], "origin": "eu-west" })),
    responses((status = 200, description = "What would be decided.", body = PlacementAnswer)),
)]
async fn explain(
    With(state): With<State>,
    call: Call,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result<Json<PlacementAnswer>> {
    let body = parse::placement(&body)?;
    let tenant = body.tenant.as_deref().map(str::parse::<TenantRef>).transpose();
    let asked = Asked {
        tenant: tenant.map_err(|error| Failure::field(Code::InvalidParameter, "tenant", error))?,
        plan: body.plan,
        isolation: body.isolation,
        residency: body.residency,
        size: body.size,
        origin: body.origin,
        apart: body.apart,
    };
    let explained = tenants::explain(&call.read(), state.deps(), &asked).await?;
    Ok(Json(convert::placement::explained(&explained)))
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
    let (version, found) = tenants::entitlements(&call.read(), state.deps(), &tenant).await?;
    Ok(Json(Entitlements { plan_version: Some(version), ..Entitlements::from(&found) }))
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

/// List what a tenant added to its own place
///
/// Tables, columns, indexes and the like that no migration file made, with what they need, and the statements of files that
/// have not run there yet that they are in the way of. Looks at the data plane right now and changes nothing.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/additions", tag = "tenants", operation_id = "getTenantAdditions",
    params(InEnvironment, OfTenant),
    responses((status = 200, description = "What was added; nothing where the tenant shares its place.", body = Additions)),
)]
async fn additions(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    _: Params<Nothing>,
) -> Result<Json<Additions>> {
    let found = tenants::additions(&call.read(), state.deps(), &tenant).await?;
    Ok(Json(convert::rollout::additions(found)))
}
