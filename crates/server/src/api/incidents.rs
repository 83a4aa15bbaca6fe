//! Incidents, and what people were told.

use axum::Json;
use axum::extract::State as With;
use axum::http::StatusCode;
use serde::Deserialize;
use tenantry_api::parse::{self, WhomBody};
use tenantry_api::v1::Page;
use tenantry_api::v1::incident::{
    Incident, IncidentDetail, IncidentPreview, IncidentRequest, IncidentUpdateRequest, Notification,
};
use tenantry_control::incidents::{self, Said, Wanted, Whom};
use tenantry_control::tenants::TenantRef;
use tenantry_control::{NotificationFilter, NotificationState, notify};
use tenantry_domain::code::Code;
use tenantry_domain::id::IncidentId;
use tenantry_domain::notice::Kind;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::history::Nothing;
use super::{InEnvironment, OfIncident, RequiredKey};
use crate::State;
use crate::convert;
use crate::extract::{Call, IncidentPath, JsonBody, Params, page_size};
use crate::problem::{Failure, Result};

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(open, list))
        .routes(routes!(preview))
        .routes(routes!(get))
        .routes(routes!(update))
        .routes(routes!(preview_update))
        .routes(routes!(notifications))
}

fn tenant(text: &str) -> Result<TenantRef> {
    text.parse().map_err(|error| Failure::field(Code::InvalidParameter, "tenant", error))
}

fn wanted(body: &serde_json::Value) -> Result<Wanted> {
    let body = parse::incident(body)?;
    let whom = match body.whom {
        WhomBody::Tenant(text) => Whom::Tenant(tenant(&text)?),
        WhomBody::Cell(cell) => Whom::Cell(cell),
        WhomBody::All => Whom::All,
    };
    Ok(Wanted { whom, severity: body.severity, title: body.title, phase: body.phase, message: body.message })
}

fn said(body: &serde_json::Value) -> Result<Said> {
    let body = parse::incident_update(body)?;
    Ok(Said { phase: body.phase, message: body.message })
}

/// Open an incident
///
/// Whom it concerns is told, by mail and event. Preview it first: what was sent cannot be taken back.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/incidents", tag = "incidents", operation_id = "openIncident",
    params(InEnvironment, RequiredKey),
    request_body(content = IncidentRequest, example = json!({ "cell": "eu-west-1", "severity": "major", "title": "Logins fail", "message": "Since 09:20 UTC about half of all logins fail." })),
    responses((status = 201, description = "It is open, and people are being told.", body = Incident)),
)]
async fn open(
    With(state): With<State>,
    call: Call,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Incident>)> {
    call.require_key()?;
    let opened = incidents::open(&call.write(&body), state.deps(), wanted(&body)?).await?;
    Ok((StatusCode::CREATED, Json(convert::incident::incident(opened, true))))
}

/// Preview an incident
///
/// Who would be told what, if it were opened. Nothing is changed.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/incidents/@preview", tag = "incidents", operation_id = "previewIncident",
    params(InEnvironment),
    request_body(content = IncidentRequest, example = json!({ "all": true, "severity": "minor", "title": "Search is slow", "message": "We look into it." })),
    responses((status = 200, description = "The mail, and how many would get it.", body = IncidentPreview)),
)]
async fn preview(
    With(state): With<State>,
    call: Call,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result<Json<IncidentPreview>> {
    let shown = incidents::preview(&call.read(), state.deps(), &wanted(&body)?).await?;
    Ok(Json(convert::incident::preview(shown)))
}

/// Which incidents.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Only those that concern this tenant, by name or id, as it is placed now.
    #[param(
        nullable = false,
        max_length = 40,
        pattern = "^([a-z0-9]([a-z0-9-]*[a-z0-9])?|ten_[0-9a-hjkmnp-tv-z]{26})$"
    )]
    tenant: Option<String>,
    /// `true` for those that are not over.
    #[param(nullable = false, example = "false", pattern = "^(true|false)$")]
    open: Option<String>,
    /// Items per page, 1 to 200; 50 unless given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    page_size: Option<String>,
    /// `nextPageToken` of the page before.
    page_token: Option<String>,
}

/// List incidents
///
/// The newest first. A caller of one tenant gets those that concern it.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/incidents", tag = "incidents", operation_id = "listIncidents",
    params(InEnvironment, ListParams),
    responses((status = 200, description = "A page of incidents.", body = Page<Incident>)),
)]
async fn list(
    With(state): With<State>,
    call: Call,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<Incident>>> {
    let of = params.tenant.as_deref().map(tenant).transpose()?;
    let is_open = match params.open.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Failure::field(Code::InvalidParameter, "open", "must be `true` or `false`")),
    };
    let size = page_size(params.page_size.as_deref())?;
    let cx = call.read();
    let is_operators = cx.rights.tenant.is_none();
    let page = incidents::list(&cx, state.deps(), (of.as_ref(), is_open), size, params.page_token.as_deref()).await?;
    Ok(Json(convert::page(page, |one| convert::incident::incident(one, is_operators))))
}

/// Read an incident
///
/// With all that was said of it, and how far telling is.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/incidents/{incident}", tag = "incidents", operation_id = "getIncident",
    params(InEnvironment, OfIncident),
    responses((status = 200, description = "The incident.", body = IncidentDetail)),
)]
async fn get(
    With(state): With<State>,
    call: Call,
    IncidentPath(id): IncidentPath,
    _: Params<Nothing>,
) -> Result<Json<IncidentDetail>> {
    let found = incidents::get(&call.read(), state.deps(), id).await?;
    Ok(Json(convert::incident::detail(found)))
}

/// Say what is new of an incident
///
/// Whom it concerns is told. Nothing follows an update that says `resolved`.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/incidents/{incident}/@update", tag = "incidents", operation_id = "updateIncident",
    params(InEnvironment, OfIncident, RequiredKey),
    request_body(content = IncidentUpdateRequest, example = json!({ "phase": "resolved", "message": "All logins work again since 09:50 UTC." })),
    responses((status = 200, description = "The incident as it is now; people are being told.", body = Incident)),
)]
async fn update(
    With(state): With<State>,
    call: Call,
    IncidentPath(id): IncidentPath,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result<Json<Incident>> {
    call.require_key()?;
    let updated = incidents::update(&call.write(&body), state.deps(), id, said(&body)?).await?;
    Ok(Json(convert::incident::incident(updated, true)))
}

/// Preview an update of an incident
///
/// Who would be told what. Nothing is changed.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/incidents/{incident}/@preview", tag = "incidents", operation_id = "previewIncidentUpdate",
    params(InEnvironment, OfIncident),
    request_body(content = IncidentUpdateRequest, example = json!({ "phase": "identified", "message": "A certificate has expired." })),
    responses((status = 200, description = "The mail, and how many would get it.", body = IncidentPreview)),
)]
async fn preview_update(
    With(state): With<State>,
    call: Call,
    IncidentPath(id): IncidentPath,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result<Json<IncidentPreview>> {
    let shown = incidents::preview_update(&call.read(), state.deps(), id, &said(&body)?).await?;
    Ok(Json(convert::incident::preview(shown)))
}

/// Which notifications.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct NotificationParams {
    /// Only those about this tenant, by name or id.
    #[param(
        nullable = false,
        max_length = 40,
        pattern = "^([a-z0-9]([a-z0-9-]*[a-z0-9])?|ten_[0-9a-hjkmnp-tv-z]{26})$"
    )]
    tenant: Option<String>,
    /// Only those about this incident.
    #[param(nullable = false, pattern = "^inc_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    incident: Option<String>,
    /// Only those of this kind.
    #[param(nullable = false, max_length = 40, example = "welcome")]
    kind: Option<String>,
    /// Only those that stand like this.
    #[param(nullable = false, pattern = "^(waiting|sent|dropped)$", example = "dropped")]
    status: Option<String>,
    /// Items per page, 1 to 200; 50 unless given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    page_size: Option<String>,
    /// `nextPageToken` of the page before.
    page_token: Option<String>,
}

/// List notifications
///
/// What people were told, or are going to be; the newest first, for 30 days. Addresses are masked.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/notifications", tag = "incidents", operation_id = "listNotifications",
    params(InEnvironment, NotificationParams),
    responses((status = 200, description = "A page of notifications.", body = Page<Notification>)),
)]
async fn notifications(
    With(state): With<State>,
    call: Call,
    Params(params): Params<NotificationParams>,
) -> Result<Json<Page<Notification>>> {
    let of = params.tenant.as_deref().map(tenant).transpose()?;
    let incident = params.incident.as_deref().map(str::parse::<IncidentId>).transpose();
    let kind = params.kind.as_deref().map(str::parse::<Kind>).transpose();
    let wrong = || Failure::field(Code::InvalidParameter, "status", "must be `waiting`, `sent` or `dropped`");
    let standing = |text: &str| NotificationState::parse(text).ok_or_else(wrong);
    let filter = NotificationFilter {
        tenant: None,
        incident: incident.map_err(|error| Failure::field(Code::InvalidParameter, "incident", error))?,
        kind: kind.map_err(|error| Failure::field(Code::InvalidParameter, "kind", error))?,
        state: params.status.as_deref().map(standing).transpose()?,
    };
    let size = page_size(params.page_size.as_deref())?;
    let token = params.page_token.as_deref();
    let page = notify::list(&call.read(), state.deps(), of.as_ref(), filter, size, token).await?;
    Ok(Json(convert::page(page, convert::incident::notification)))
}
