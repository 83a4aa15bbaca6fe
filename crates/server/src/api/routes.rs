//! What applications ask: whose request it is, how to reach the tenant's data, with which credential.

use axum::Json;
use axum::extract::State as With;
use serde::Deserialize;
use tenantry_api::parse;
use tenantry_api::v1::route::{CredentialRequest, CredentialView, KeySet, Resolution, TenantRoute};
use tenantry_control::routes;
use tenantry_domain::access::Claims;
use tenantry_domain::code::Code;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::history::Nothing;
use super::{InEnvironment, OfTenant};
use crate::State;
use crate::convert;
use crate::extract::{AccessToken, Call, JsonBody, Params, TenantPath};
use crate::problem::{Failure, Result};

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(resolve))
        .routes(routes!(route))
        .routes(routes!(credential))
        .routes(routes!(keys))
}

/// What a request says of its tenant.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Sources {
    /// Its host.
    #[param(example = "acme.example.com", max_length = 300)]
    host: Option<String>,
    /// Its path; `/t/<slug>/…` names a tenant.
    #[param(example = "/t/acme/orders", max_length = 4096)]
    path: Option<String>,
    /// Its `X-Tenant-ID`, if the peer is authenticated.
    #[param(example = "acme", max_length = 100)]
    tenant: Option<String>,
    /// The tenant claim of its access token, if the caller verified that itself.
    #[param(example = "ten_01jd8x3v9mfk2t5h7q0w4z6y8c", max_length = 100)]
    claim: Option<String>,
}

/// Find the tenant of a request
///
/// All sources that are given must name one tenant. The answer comes out of memory; a change is seen within half a second.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/resolve", tag = "routes", operation_id = "resolveTenant",
    params(
        InEnvironment, Sources,
        ("X-Original-Authorization" = Option<String>, Header,
            description = "Its `Authorization`. A bearer token is verified, and the tenant that it names is a source."),
    ),
    responses((status = 200, description = "The tenant.", body = Resolution)),
)]
async fn resolve(
    With(state): With<State>,
    call: Call,
    AccessToken(token): AccessToken,
    Params(sources): Params<Sources>,
) -> Result<Json<Resolution>> {
    let cx = call.read();
    let verified = match (&token, &sources.claim) {
        (None, _) => None,
        (Some(token), None) => Some(routes::token::claim(&cx, state.deps(), token).await?),
        (Some(_), Some(_)) => {
            let message = "is one too many: the access token is given and speaks for itself";
            return Err(Failure::field(Code::InvalidParameter, "claim", message));
        }
    };
    let claims = Claims {
        host: sources.host.as_deref(),
        path: sources.path.as_deref(),
        header: sources.tenant.as_deref(),
        token: verified.as_deref().or(sources.claim.as_deref()),
    };
    let found = routes::resolve(&cx, state.deps(), &claims).await?;
    Ok(Json(convert::route::resolution(&found)))
}

/// Say how to reach a tenant's data
///
/// Server, database, schema and login at the present placement. Holds no secret.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/route", tag = "routes", operation_id = "getTenantRoute",
    params(InEnvironment, OfTenant),
    responses((status = 200, description = "The route.", body = TenantRoute)),
)]
async fn route(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    _: Params<Nothing>,
) -> Result<Json<TenantRoute>> {
    let (tenant, route) = routes::route(&call.read(), state.deps(), &tenant).await?;
    Ok(Json(convert::route::route(&tenant, &route)))
}

/// Issue a credential
///
/// Password and seal key of one login. Every issue is in the audit.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/credentials", tag = "routes", operation_id = "issueCredential",
    params(InEnvironment), request_body = CredentialRequest,
    responses((status = 200, description = "The credential. Keep it in memory only.", body = CredentialView)),
)]
async fn credential(
    With(state): With<State>,
    call: Call,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result<Json<CredentialView>> {
    let text = parse::credential(&body)?;
    let reference = text.parse()?;
    let found = routes::issue(&call.read(), state.deps(), &reference).await?;
    Ok(Json(convert::route::credential(text, &found)))
}

/// List the keys of context tokens
///
/// A JSON Web Key Set (RFC 7517): what `Tenantry-Context`, the token that forward-auth hands to services, is verified with.
#[utoipa::path(
    get, path = "/v1/context-keys", tag = "routes", operation_id = "listContextKeys",
    responses((status = 200, description = "The keys.", body = KeySet)),
)]
async fn keys(With(state): With<State>, _: Params<Nothing>) -> Result<Json<KeySet>> {
    Ok(Json(convert::route::keys(routes::context::keys(state.deps()))))
}
