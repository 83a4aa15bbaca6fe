//! What the guard found at cells and at tenants' databases, and looks that somebody asks for.

use axum::Json;
use axum::extract::State as With;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::Value;
use tenantry_api::v1::guard::{CellIsolation, PlaceIsolation};
use tenantry_control::guard::{self, Place};
use tenantry_domain::code::Code;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answer::LOOK;
use super::history::Nothing;
use super::{InEnvironment, OfName, OfTenant, OptionalKey};
use crate::State;
use crate::convert;
use crate::extract::{Call, NamePath, NoBody, Params, TenantPath, WaitParams};
use crate::problem::{Failure, Result};

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(of_cell))
        .routes(routes!(cell_report))
        .routes(routes!(run_cell))
        .routes(routes!(of_tenant))
        .routes(routes!(tenant_report))
        .routes(routes!(run_tenant))
}

/// Which place.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct PlaceParams {
    /// `server`, `home/<app>` or `tenant/<id>`, as the cell lists them.
    #[param(example = "home/chat", max_length = 60)]
    place: String,
}

/// Show how isolated a cell's tenants are
///
/// What the guard found last at the server, at the apps' homes and at tenants' own databases. There is nothing to show
/// before the first look.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/cells/{name}/isolation", tag = "isolation", operation_id = "getCellIsolation",
    params(InEnvironment, OfName),
    responses((status = 200, description = "What was found.", body = CellIsolation)),
)]
async fn of_cell(
    With(state): With<State>,
    call: Call,
    NamePath(name): NamePath,
    _: Params<Nothing>,
) -> Result<Json<CellIsolation>> {
    let view = guard::cell(&call.read(), state.deps(), &name).await?;
    Ok(Json(convert::guard::cell(view, guard::keys(state.deps())?)))
}

/// Fetch the signed report of a cell's place
///
/// One line of canonical JSON; `tenantry guard --verify` checks it. Keep it to the byte.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/cells/{name}/isolation/report", tag = "isolation", operation_id = "getCellIsolationReport",
    params(InEnvironment, OfName, PlaceParams),
    responses((status = 200, description = "The signed report.", body = Object, content_type = "application/json")),
)]
async fn cell_report(
    With(state): With<State>,
    call: Call,
    NamePath(name): NamePath,
    Params(params): Params<PlaceParams>,
) -> Result {
    let place: Place = params.place.parse().map_err(|error| Failure::field(Code::InvalidParameter, "place", error))?;
    Ok(text(guard::document(&call.read(), state.deps(), &name, &place).await?.text))
}

/// Look at a cell now
///
/// The next free replica looks at every place of it, whether or not that is due. With `wait` the answer comes when it has.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/cells/{name}/isolation/@run", tag = "isolation", operation_id = "runCellIsolation",
    params(InEnvironment, OfName, OptionalKey, WaitParams),
    responses(
        (status = 200, description = "It has ended; what was found.", body = CellIsolation),
        (status = 202, description = "It was asked for; what was found before.", body = CellIsolation),
    ),
)]
async fn run_cell(
    With(state): With<State>,
    call: Call,
    NamePath(name): NamePath,
    Params(wait): Params<WaitParams>,
    _: NoBody,
) -> Result {
    let wait = wait.span()?;
    let cx = call.write(&Value::Null);
    guard::request(&cx, state.deps(), &name).await?;
    let end = wait.map(|wait| tokio::time::Instant::now() + wait);
    let draining = state.draining();
    let is_over = || draining.is_cancelled() || end.is_none_or(|end| tokio::time::Instant::now() >= end);
    let mut is_pending = guard::is_pending(&cx, state.deps(), &name).await?;
    while is_pending && !is_over() {
        tokio::time::sleep(LOOK).await;
        is_pending = guard::is_pending(&cx, state.deps(), &name).await?;
    }
    let view = guard::status(&cx, state.deps(), &name).await?;
    let status = if is_pending { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Json(convert::guard::cell(view, guard::keys(state.deps())?))).into_response())
}

/// Show how isolated a tenant is
///
/// What the guard found last at the database that the tenant's data is in: its own, or the home that it shares.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/isolation", tag = "isolation", operation_id = "getTenantIsolation",
    params(InEnvironment, OfTenant),
    responses((status = 200, description = "What was found.", body = PlaceIsolation)),
)]
async fn of_tenant(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    _: Params<Nothing>,
) -> Result<Json<PlaceIsolation>> {
    let view = guard::tenant(&call.read(), state.deps(), &tenant).await?;
    Ok(Json(convert::guard::place(view, guard::keys(state.deps())?)))
}

/// Fetch the signed report of a tenant's database
///
/// One line of canonical JSON; `tenantry guard --verify` checks it. Keep it to the byte.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/isolation/report", tag = "isolation", operation_id = "getTenantIsolationReport",
    params(InEnvironment, OfTenant),
    responses((status = 200, description = "The signed report.", body = Object, content_type = "application/json")),
)]
async fn tenant_report(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    _: Params<Nothing>,
) -> Result {
    Ok(text(guard::tenant_document(&call.read(), state.deps(), &tenant).await?.text))
}

/// Look at a tenant's database now
///
/// Its own, or the home that it shares. Takes seconds, and the answer waits for it.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/tenants/{tenant}/isolation/@run", tag = "isolation", operation_id = "runTenantIsolation",
    params(InEnvironment, OfTenant),
    responses((status = 200, description = "What was found.", body = PlaceIsolation)),
)]
async fn run_tenant(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    _: Params<Nothing>,
    _: NoBody,
) -> Result<Json<PlaceIsolation>> {
    let view = guard::look(&call.read(), state.deps(), &tenant).await?;
    Ok(Json(convert::guard::place(view, guard::keys(state.deps())?)))
}

/// A document as it was stored.
fn text(document: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], document).into_response()
}
