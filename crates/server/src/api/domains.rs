//! Domains of tenants' own: what proves each, how it stands, and a look on request.

use axum::Json;
use axum::extract::State as With;
use tenantry_api::v1::domain::{Domain, DomainList};
use tenantry_control::domains;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::history::Nothing;
use super::{InEnvironment, OfDomain, OfTenant};
use crate::State;
use crate::convert;
use crate::extract::{Call, DomainPath, NoBody, Params, TenantPath};
use crate::problem::Result;

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(verify))
}

/// List the domains of a tenant's own
///
/// Those of its manifest, with the DNS record that proves each. A domain names its tenant only while it is verified.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/domains", tag = "domains", operation_id = "listDomains",
    params(InEnvironment, OfTenant),
    responses((status = 200, description = "The domains.", body = DomainList)),
)]
async fn list(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    _: Params<Nothing>,
) -> Result<Json<DomainList>> {
    let found = domains::list(&call.read(), state.deps(), &tenant).await?;
    Ok(Json(DomainList { items: found.into_iter().map(convert::domain::domain).collect() }))
}

/// Look for a domain's record now
///
/// The answer waits for DNS, up to 10 seconds, and says how the domain stands then. Without it the record is looked for
/// every 10 seconds in a domain's first hour, then more and more rarely; once it is verified, daily.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/tenants/{tenant}/domains/{domain}/@verify", tag = "domains", operation_id = "verifyDomain",
    params(InEnvironment, OfTenant, OfDomain),
    responses((status = 200, description = "How the domain stands.", body = Domain)),
)]
async fn verify(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    DomainPath(domain): DomainPath,
    _: Params<Nothing>,
    _: NoBody,
) -> Result<Json<Domain>> {
    let found = domains::verify(&call.read(), state.deps(), &tenant, &domain).await?;
    Ok(Json(convert::domain::domain(found)))
}
