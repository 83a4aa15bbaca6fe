//! Quotas and rates of a tenant: what is used, taking, giving back, setting aside.

use axum::Json;
use axum::extract::{FromRequestParts, State as With};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::Value;
use tenantry_api::parse::quota as parse;
use tenantry_api::v1::quota::{
    Admission, LimitRequest, Quota, QuotaRequest, Quotas, RecountRequest, Reservation, ReservationRequest,
};
use tenantry_control::quotas::{self, QuotaName, rates};
use tenantry_domain::code::Code;
use tenantry_domain::id::ReservationId;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::history::Nothing;
use super::{InEnvironment, OfTenant, OptionalKey, RequiredKey};
use crate::State;
use crate::convert::quota as show;
use crate::extract::{Call, JsonBody, NoBody, Params, TenantPath, path_value};
use crate::middleware::limit;
use crate::problem::{Failure, Result};

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(take))
        .routes(routes!(release))
        .routes(routes!(recount))
        .routes(routes!(reserve))
        .routes(routes!(commit_reservation))
        .routes(routes!(release_reservation))
        .routes(routes!(take_limit))
}

/// `{quota}` of the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "for the documentation; extractors read the path")]
struct OfQuota {
    /// The quota's name, as in the plan.
    #[param(example = "seats", max_length = 63, pattern = "^[A-Za-z][A-Za-z0-9_.-]*$")]
    quota: String,
}

/// `{reservation}` of the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "for the documentation; extractors read the path")]
struct OfReservation {
    /// The reservation's id.
    #[param(example = "rsv_01jd8x3v9mfk2t5h7q0w4z6y8c", pattern = "^rsv_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    reservation: String,
}

/// `{class}` of the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "for the documentation; extractors read the path")]
struct OfClass {
    /// The class, as in the plan's `rateLimits`.
    #[param(example = "requests", max_length = 63, pattern = "^[A-Za-z][A-Za-z0-9_.-]*$")]
    class: String,
}

/// `{quota}` or `{class}`.
struct NamedPath<const IS_CLASS: bool>(QuotaName);

impl<const IS_CLASS: bool> FromRequestParts<State> for NamedPath<IS_CLASS> {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        let name = if IS_CLASS { "class" } else { "quota" };
        let text = path_value(parts, state, name).await?;
        let parsed = QuotaName::parse(&text);
        parsed.map(Self).map_err(|error| Failure::field(Code::InvalidParameter, name, error))
    }
}

/// `{reservation}`: an id.
struct ReservationPath(ReservationId);

impl FromRequestParts<State> for ReservationPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        let text = path_value(parts, state, "reservation").await?;
        text.parse::<ReservationId>().map(Self).map_err(|error| {
            Failure::field(Code::InvalidParameter, "reservation", error)
                .hint("Name the reservation by its id (`rsv_…`).")
        })
    }
}

/// List the quotas of a tenant
///
/// Those of its plan with its overrides, and what else is counted for it.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/quotas", tag = "quotas", operation_id = "listQuotas",
    params(InEnvironment, OfTenant),
    responses((status = 200, description = "The quotas.", body = Quotas)),
)]
async fn list(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    _: Params<Nothing>,
) -> Result<Json<Quotas>> {
    let found = quotas::list(&call.read(), state.deps(), &tenant).await?;
    Ok(Json(Quotas { items: found.into_iter().map(show::quota).collect() }))
}

/// Take an amount of a quota
///
/// All of it or nothing. However many ask at once, a hard limit is never exceeded.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/tenants/{tenant}/quotas/{quota}/@take", tag = "quotas", operation_id = "takeQuota",
    params(InEnvironment, OfTenant, OfQuota, RequiredKey),
    request_body(content = QuotaRequest, example = json!({ "amount": 1 })),
    responses((status = 200, description = "Taken.", body = Quota)),
)]
async fn take(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    NamedPath(quota): NamedPath<false>,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result<Json<Quota>> {
    call.require_key()?;
    let amount = parse::amount(&body)?;
    let taken = quotas::take(&call.write(&body), state.deps(), &tenant, &quota, amount).await?;
    Ok(Json(show::quota(taken)))
}

/// Give an amount of a quota back
///
/// What was not taken, or in a period that has ended, makes no room.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/tenants/{tenant}/quotas/{quota}/@release", tag = "quotas", operation_id = "releaseQuota",
    params(InEnvironment, OfTenant, OfQuota, RequiredKey),
    request_body(content = QuotaRequest, example = json!({ "amount": 1 })),
    responses((status = 200, description = "Given back.", body = Quota)),
)]
async fn release(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    NamedPath(quota): NamedPath<false>,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result<Json<Quota>> {
    call.require_key()?;
    let amount = parse::amount(&body)?;
    let given = quotas::give_back(&call.write(&body), state.deps(), &tenant, &quota, amount).await?;
    Ok(Json(show::quota(given)))
}

/// Set what is used to what was counted
///
/// For applications that have counted anew. Reservations stay.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/tenants/{tenant}/quotas/{quota}/@recount", tag = "quotas", operation_id = "recountQuota",
    params(InEnvironment, OfTenant, OfQuota, OptionalKey),
    request_body(content = RecountRequest, example = json!({ "used": 42 })),
    responses((status = 200, description = "The counter is right.", body = Quota)),
)]
async fn recount(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    NamedPath(quota): NamedPath<false>,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result<Json<Quota>> {
    let used = parse::recount(&body)?;
    let counted = quotas::recount(&call.write(&body), state.deps(), &tenant, &quota, used).await?;
    Ok(Json(show::quota(counted)))
}

/// Set an amount of a quota aside
///
/// For what takes longer than a request. It counts against the limit until it is committed, released, or has expired.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/tenants/{tenant}/quotas/{quota}/@reserve", tag = "quotas", operation_id = "reserveQuota",
    params(InEnvironment, OfTenant, OfQuota, RequiredKey),
    request_body(content = ReservationRequest, example = json!({ "amount": 5, "expiresIn": "15m" })),
    responses((status = 201, description = "Set aside.", body = Reservation)),
)]
async fn reserve(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    NamedPath(quota): NamedPath<false>,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result {
    call.require_key()?;
    let wanted = parse::reservation(&body)?;
    let cx = call.write(&body);
    let made = quotas::reserve(&cx, state.deps(), &tenant, &quota, wanted.amount, wanted.held).await?;
    Ok((StatusCode::CREATED, Json(show::reservation(made))).into_response())
}

/// Use what was set aside
#[utoipa::path(
    post, path = "/v1/environments/{environment}/tenants/{tenant}/reservations/{reservation}/@commit", tag = "quotas", operation_id = "commitReservation",
    params(InEnvironment, OfTenant, OfReservation, OptionalKey),
    responses((status = 200, description = "It is used now.", body = Quota)),
)]
async fn commit_reservation(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    ReservationPath(id): ReservationPath,
    _: Params<Nothing>,
    _: NoBody,
) -> Result<Json<Quota>> {
    let cx = call.write(&Value::Null);
    Ok(Json(show::quota(quotas::commit_reservation(&cx, state.deps(), &tenant, id).await?)))
}

/// Free what was set aside
#[utoipa::path(
    post, path = "/v1/environments/{environment}/tenants/{tenant}/reservations/{reservation}/@release", tag = "quotas", operation_id = "releaseReservation",
    params(InEnvironment, OfTenant, OfReservation, OptionalKey),
    responses((status = 200, description = "It is free again.", body = Quota)),
)]
async fn release_reservation(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    ReservationPath(id): ReservationPath,
    _: Params<Nothing>,
    _: NoBody,
) -> Result<Json<Quota>> {
    let cx = call.write(&Value::Null);
    Ok(Json(show::quota(quotas::release_reservation(&cx, state.deps(), &tenant, id).await?)))
}

/// Ask whether a tenant's rate allows something
///
/// For applications that limit their own requests by the tenant's plan. The rate is taken if it allows; the answer is 200 either
/// way. A class that neither plan nor override sets has no bound.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/tenants/{tenant}/limits/{class}/@take", tag = "quotas", operation_id = "takeLimit",
    params(InEnvironment, OfTenant, OfClass),
    request_body(content = LimitRequest, example = json!({ "count": 1 })),
    responses((status = 200, description = "Whether it may go on.", body = Admission)),
)]
async fn take_limit(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    NamedPath(class): NamedPath<true>,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result<Response> {
    let wanted = parse::limit(&body)?;
    let principal = wanted.principal.as_deref();
    let judged = rates::take(&call.read(), state.deps(), &tenant, class.as_str(), wanted.count, principal).await?;
    let Some(judged) = judged else { return Ok(Json(show::unlimited()).into_response()) };
    let mut response = Json(show::admission(&judged)).into_response();
    limit::tell(response.headers_mut(), &[judged]);
    Ok(response)
}
