//! Emergency access to a tenant's data: asking, agreeing, using, ending, looking back.

use axum::Json;
use axum::extract::State as With;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde::Deserialize;
use serde_json::Value;
use tenantry_api::parse;
use tenantry_api::v1::Page;
use tenantry_api::v1::access::{AccessRequest, AccessReview, AccessWish, OpenedAccess};
use tenantry_control::access::{self, Answer, WantedAccess};
use tenantry_control::tenants::TenantRef;
use tenantry_domain::code::Code;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::history::Nothing;
use super::{InEnvironment, OfGrant, OfTenant, OptionalKey, RequiredKey};
use crate::State;
use crate::convert;
use crate::extract::{Call, GrantPath, JsonBody, Params, TenantPath, page_size};
use crate::problem::{Failure, Result};

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(request))
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(approve))
        .routes(routes!(refuse))
        .routes(routes!(open))
        .routes(routes!(end))
        .routes(routes!(review))
}

/// Ask for emergency access to a tenant's data
///
/// The caller's token names its person. Another person has to agree within four hours; the tenant is told of each step by an
/// event, and everything is in its audit.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/tenants/{tenant}/access-requests", tag = "access", operation_id = "requestAccess",
    params(InEnvironment, OfTenant, RequiredKey),
    request_body(content = AccessWish, example = json!({ "reason": "Invoice 4711 shows a wrong total", "ticket": "SUP-815", "minutes": 30 })),
    responses((status = 201, description = "It waits for somebody's answer.", body = AccessRequest)),
)]
async fn request(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result {
    call.require_key()?;
    let wish = parse::access(&body)?;
    let wanted = WantedAccess { reason: wish.reason, ticket: wish.ticket, access: wish.access, minutes: wish.minutes };
    let grant = access::request(&call.write(&body), state.deps(), &tenant, wanted).await?;
    Ok((StatusCode::CREATED, Json(convert::access::request(grant))).into_response())
}

/// Which requests.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Only those about this tenant, by name or id.
    #[param(
        nullable = false,
        max_length = 40,
        pattern = "^([a-z0-9]([a-z0-9-]*[a-z0-9])?|ten_[0-9a-hjkmnp-tv-z]{26})$"
    )]
    tenant: Option<String>,
    /// `true` for those only that wait for an answer or hold.
    #[param(nullable = false, example = "true", pattern = "^(true|false)$")]
    current: Option<String>,
    /// Items per page, 1 to 200; 50 unless given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    page_size: Option<String>,
    /// `nextPageToken` of the page before.
    page_token: Option<String>,
}

/// List requests for emergency access
///
/// The newest first.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/access-requests", tag = "access", operation_id = "listAccessRequests",
    params(InEnvironment, ListParams),
    responses((status = 200, description = "A page of requests.", body = Page<AccessRequest>)),
)]
async fn list(
    With(state): With<State>,
    call: Call,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<AccessRequest>>> {
    let only_current = match params.current.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Failure::field(Code::InvalidParameter, "current", "must be `true` or `false`")),
    };
    let tenant = params.tenant.as_deref().map(str::parse::<TenantRef>).transpose();
    let tenant = tenant.map_err(|error| Failure::field(Code::InvalidParameter, "tenant", error))?;
    let size = page_size(params.page_size.as_deref())?;
    let token = params.page_token.as_deref();
    let page = access::list(&call.read(), state.deps(), tenant.as_ref(), only_current, size, token).await?;
    Ok(Json(convert::page(page, convert::access::request)))
}

/// Read a request for emergency access
///
/// How it stands, who agreed, until when it holds.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/access-requests/{grant}", tag = "access", operation_id = "getAccessRequest",
    params(InEnvironment, OfGrant),
    responses((status = 200, description = "The request.", body = AccessRequest)),
)]
async fn get(
    With(state): With<State>,
    call: Call,
    GrantPath(id): GrantPath,
    _: Params<Nothing>,
) -> Result<Json<AccessRequest>> {
    Ok(Json(convert::access::request(access::get(&call.read(), state.deps(), id).await?)))
}

/// Agree to emergency access
///
/// Only another person than the one who asked. It holds from now on, for the minutes that were asked for, and no longer.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/access-requests/{grant}/@approve", tag = "access", operation_id = "approveAccess",
    params(InEnvironment, OfGrant, OptionalKey),
    responses((status = 200, description = "It holds.", body = AccessRequest)),
)]
async fn approve(
    With(state): With<State>,
    call: Call,
    GrantPath(id): GrantPath,
    _: Params<Nothing>,
) -> Result<Json<AccessRequest>> {
    let grant = access::answer(&call.write(&Value::Null), state.deps(), id, Answer::Approve).await?;
    Ok(Json(convert::access::request(grant)))
}

/// Refuse emergency access
///
/// What was refused is asked for anew.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/access-requests/{grant}/@refuse", tag = "access", operation_id = "refuseAccess",
    params(InEnvironment, OfGrant, OptionalKey),
    responses((status = 200, description = "It is refused.", body = AccessRequest)),
)]
async fn refuse(
    With(state): With<State>,
    call: Call,
    GrantPath(id): GrantPath,
    _: Params<Nothing>,
) -> Result<Json<AccessRequest>> {
    let grant = access::answer(&call.write(&Value::Null), state.deps(), id, Answer::Refuse).await?;
    Ok(Json(convert::access::request(grant)))
}

/// Use emergency access
///
/// Makes a login of the gateway that ends with the access, for the person who asked. The answer has its password, once; called again, the login gets another one.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/access-requests/{grant}/@open", tag = "access", operation_id = "openAccess",
    params(InEnvironment, OfGrant, OptionalKey),
    responses((status = 200, description = "Keep the password; it is not shown again.", body = OpenedAccess)),
)]
async fn open(
    With(state): With<State>,
    call: Call,
    GrantPath(id): GrantPath,
    _: Params<Nothing>,
) -> Result<Json<OpenedAccess>> {
    let opened = access::open(&call.write(&Value::Null), state.deps(), id).await?;
    Ok(Json(convert::access::opened(opened)))
}

/// End emergency access early
///
/// The gateway ends its sessions within a second.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/access-requests/{grant}/@end", tag = "access", operation_id = "endAccess",
    params(InEnvironment, OfGrant, OptionalKey),
    responses((status = 200, description = "It is over.", body = AccessRequest)),
)]
async fn end(
    With(state): With<State>,
    call: Call,
    GrantPath(id): GrantPath,
    _: Params<Nothing>,
) -> Result<Json<AccessRequest>> {
    let grant = access::end(&call.write(&Value::Null), state.deps(), id).await?;
    Ok(Json(convert::access::request(grant)))
}

/// Look back at emergency access
///
/// Somebody else than the one who asked says what was found. Due within three days.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/access-requests/{grant}/@review", tag = "access", operation_id = "reviewAccess",
    params(InEnvironment, OfGrant, OptionalKey),
    request_body(content = AccessReview, example = json!({ "review": "Two invoices were read, nothing was written." })),
    responses((status = 200, description = "It is on record.", body = AccessRequest)),
)]
async fn review(
    With(state): With<State>,
    call: Call,
    GrantPath(id): GrantPath,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result<Json<AccessRequest>> {
    let text = parse::review(&body)?;
    let grant = access::review(&call.write(&body), state.deps(), id, &text).await?;
    Ok(Json(convert::access::request(grant)))
}
