//! Handing the ownership of a tenant on, by consent of both sides.

use axum::Json;
use axum::extract::State as With;
use serde_json::json;
use tenantry_api::parse::member as parse;
use tenantry_api::v1::member::{Member, OwnershipOffer, OwnershipTransfer};
use tenantry_control::members;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::history::Nothing;
use super::super::{InEnvironment, OfTenant, OptionalKey, RequiredKey, answer};
use super::{Behalf, OfUser, UserPath, body_of};
use crate::State;
use crate::convert;
use crate::extract::{Call, JsonBody, NoBody, Params, TenantPath};
use crate::problem::Result;

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(transfer)).routes(routes!(accept)).routes(routes!(show, end))
}

/// Offer the ownership to a member
///
/// The acting user is the owner who gives it up. Nothing changes until the other side accepts; an offer that stands is
/// replaced.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/tenants/{tenant}/members/{user}/@transfer-ownership", tag = "members", operation_id = "transferOwnership",
    params(InEnvironment, OfTenant, OfUser, RequiredKey),
    request_body(content = OwnershipTransfer, example = json!({ "actingUser": "usr_01jd8x3v9mfk2t5h7q0w4z6y8c", "validFor": "24h" })),
    responses((status = 200, description = "The offer.", body = OwnershipOffer)),
)]
async fn transfer(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    UserPath(user): UserPath,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result<Json<OwnershipOffer>> {
    call.require_key()?;
    let (from, valid_for) = parse::transfer(&body)?;
    let offer = members::offer(&call.write(&body), state.deps(), &tenant, from, user, valid_for).await?;
    Ok(Json(convert::member::offer(offer)))
}

/// Take the ownership
///
/// On behalf of the member who was asked. They become owner, the one who offered becomes admin.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/tenants/{tenant}/members/{user}/@accept-ownership", tag = "members", operation_id = "acceptOwnership",
    params(InEnvironment, OfTenant, OfUser, RequiredKey),
    responses((status = 200, description = "The new owner.", body = Member)),
)]
async fn accept(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    UserPath(user): UserPath,
    _: Params<Nothing>,
    _: NoBody,
) -> Result {
    call.require_key()?;
    let owner = members::take(&call.write(&json!({})), state.deps(), &tenant, user).await?;
    let version = owner.version;
    Ok(answer::versioned(&convert::member::member(owner), version))
}

/// Read the offer of ownership
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/ownership-offer", tag = "members", operation_id = "getOwnershipOffer",
    params(InEnvironment, OfTenant, Behalf),
    responses((status = 200, description = "The offer that stands.", body = OwnershipOffer)),
)]
async fn show(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    Params(behalf): Params<Behalf>,
) -> Result<Json<OwnershipOffer>> {
    let offer = members::ownership(&call.read(), state.deps(), &tenant, behalf.acting()?).await?;
    Ok(Json(convert::member::offer(offer)))
}

/// End the offer of ownership
///
/// On behalf of either side, or of nobody.
#[utoipa::path(
    delete, path = "/v1/environments/{environment}/tenants/{tenant}/ownership-offer", tag = "members", operation_id = "endOwnershipOffer",
    params(InEnvironment, OfTenant, Behalf, OptionalKey),
    responses((status = 200, description = "The offer that stood until now.", body = OwnershipOffer)),
)]
async fn end(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    Params(behalf): Params<Behalf>,
) -> Result<Json<OwnershipOffer>> {
    let acting = behalf.acting()?;
    let offer = members::end_offer(&call.write(&body_of(acting)), state.deps(), &tenant, acting).await?;
    Ok(Json(convert::member::offer(offer)))
}
