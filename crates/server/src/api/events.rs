//! Facts of the outbox, for readers that follow by number.

use axum::Json;
use axum::extract::State as With;
use serde::Deserialize;
use tenantry_api::v1::Page;
use tenantry_api::v1::event::Event;
use tenantry_control::events;
use tenantry_control::tenants::TenantRef;
use tenantry_domain::code::Code;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{InEnvironment, OfTenant};
use crate::State;
use crate::convert;
use crate::extract::{Call, Params, TenantPath, page_size};
use crate::problem::{Failure, Result};

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(of_tenant))
}

/// Which events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Behind this number; from the first one unless given. `nextPageToken` of a page is the value for the next.
    #[param(value_type = Option<i64>, minimum = 0, example = 0)]
    after: Option<String>,
    /// Items per page, 1 to 200; 50 unless given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    page_size: Option<String>,
}

/// A place in a sequence.
pub(super) fn number(name: &str, text: &str) -> Result<i64> {
    let number = text.parse::<i64>().ok().filter(|number| *number >= 0);
    number.ok_or_else(|| Failure::field(Code::InvalidParameter, name, "must be a whole number from 0"))
}

async fn page(state: &State, call: Call, tenant: Option<&TenantRef>, params: ListParams) -> Result<Json<Page<Event>>> {
    let after = number("after", params.after.as_deref().unwrap_or("0"))?;
    let size = page_size(params.page_size.as_deref())?.get();
    let rows = events::list(&call.read(), state.deps(), tenant, after, u32::from(size)).await?;
    let is_full = rows.len() >= usize::from(size);
    let next = rows.last().filter(|_| is_full).map(|row| row.sequence.to_string());
    Ok(Json(Page { items: rows.into_iter().map(convert::event::event).collect(), next_page_token: next }))
}

/// List the environment's own events
///
/// In order. Tenants have sequences of their own.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/events", tag = "events", operation_id = "listEvents",
    params(InEnvironment, ListParams),
    responses((status = 200, description = "Events in order.", body = Page<Event>)),
)]
async fn list(With(state): With<State>, call: Call, Params(params): Params<ListParams>) -> Result<Json<Page<Event>>> {
    page(&state, call, None, params).await
}

/// List a tenant's events
///
/// In order; numbers have no gaps.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/events", tag = "events", operation_id = "listTenantEvents",
    params(InEnvironment, OfTenant, ListParams),
    responses((status = 200, description = "Events in order.", body = Page<Event>)),
)]
async fn of_tenant(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<Event>>> {
    page(&state, call, Some(&tenant), params).await
}
