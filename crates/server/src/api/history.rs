//! What was wanted of a tenant before, and what changed.

use axum::Json;
use axum::extract::State as With;
use serde::Deserialize;
use tenantry_api::parse::Report;
use tenantry_api::problem::Rejection;
use tenantry_api::v1::Page;
use tenantry_api::v1::version::{Comparison, Version};
use tenantry_control::tenants;
use tenantry_domain::code::Code;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{InEnvironment, OfTenant, OfVersion};
use crate::State;
use crate::convert;
use crate::extract::{Call, PageParams, Params, TenantPath, VersionPath};
use crate::problem::Result;

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get)).routes(routes!(compare))
}

/// List a tenant's versions
///
/// Newest first.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/versions", tag = "history", operation_id = "listTenantVersions",
    params(InEnvironment, OfTenant, PageParams),
    responses((status = 200, description = "A page of versions.", body = Page<Version>)),
)]
async fn list(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    Params(page): Params<PageParams>,
) -> Result<Json<Page<Version>>> {
    let (size, cx) = (page.size()?, call.read());
    let found = tenants::versions(&cx, state.deps(), &tenant, size, page.page_token.as_deref()).await?;
    Ok(Json(convert::page(found, convert::version::tenant)))
}

/// Read a version of a tenant
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/versions/{version}", tag = "history", operation_id = "getTenantVersion",
    params(InEnvironment, OfTenant, OfVersion),
    responses((status = 200, description = "The version.", body = Version)),
)]
async fn get(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    VersionPath(version): VersionPath,
    _: Params<Nothing>,
) -> Result<Json<Version>> {
    let found = tenants::version(&call.read(), state.deps(), &tenant, version).await?;
    Ok(Json(convert::version::tenant(found)))
}

/// A route without parameters.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct Nothing {}

/// Which versions.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct CompareParams {
    /// The one version.
    #[param(required = true, value_type = i64, minimum = 1, example = 1)]
    from: Option<String>,
    /// The other version.
    #[param(required = true, value_type = i64, minimum = 1, example = 2)]
    to: Option<String>,
}

impl CompareParams {
    fn numbers(&self) -> Result<(i64, i64)> {
        let report = Report::new();
        let number = |name: &str, text: &Option<String>| {
            let number = text.as_deref().unwrap_or_default().parse::<i64>().ok().filter(|number| *number >= 1);
            if number.is_none() {
                report.add(name, "must be a whole number from 1");
            }
            number
        };
        match (number("from", &self.from), number("to", &self.to)) {
            (Some(from), Some(to)) => Ok((from, to)),
            _ => Err(Rejection::fields(Code::InvalidParameter, report.into_complaints()).into()),
        }
    }
}

/// Compare two versions of a tenant
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/versions/@compare", tag = "history", operation_id = "compareTenantVersions",
    params(InEnvironment, OfTenant, CompareParams),
    responses((status = 200, description = "What differs.", body = Comparison)),
)]
async fn compare(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    Params(params): Params<CompareParams>,
) -> Result<Json<Comparison>> {
    let (from, to) = params.numbers()?;
    let changes = tenants::compare(&call.read(), state.deps(), &tenant, from, to).await?;
    let changes = changes.into_iter().map(|change| convert::version::change("Tenant", change)).collect();
    Ok(Json(Comparison { from, to, changes }))
}
