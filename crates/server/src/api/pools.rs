//! A tenant's own pool of users at an identity provider, and its connections to providers of the tenant's own.

use axum::Json;
use axum::extract::State as With;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::Deserialize;
use tenantry_api::parse::{self, ConnectionKind};
use tenantry_api::v1::pool::{IdentityConnection, IdentityConnectionList, IdentityConnectionRequest, IdentityPool};
use tenantry_control::pools::{self, Connect, Connection, ConnectionName, Oidc, Saml};
use tenantry_domain::code::Code;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::history::Nothing;
use super::{InEnvironment, OfTenant};
use crate::State;
use crate::convert;
use crate::extract::{Call, JsonBody, NoBody, Params, TenantPath};
use crate::problem::{Failure, Result};

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(get)).routes(routes!(list)).routes(routes!(connect, disconnect))
}

/// `{connection}` of the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "for the documentation; extractors read the path")]
struct OfConnection {
    /// The connection's name.
    #[param(example = "oidc.okta", max_length = 32, pattern = "^(oidc|saml)\\.[a-z0-9-]{1,27}$")]
    connection: String,
}

/// The same, read.
struct ConnectionPath(ConnectionName);

impl FromRequestParts<State> for ConnectionPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        let unreadable = |_| Failure::field(Code::InvalidParameter, "connection", "is not UTF-8");
        let Path(path) = Path::<OfConnection>::from_request_parts(parts, state).await.map_err(unreadable)?;
        let wrong = "must be `oidc.` or `saml.`, and 1 to 27 of a to z, 0 to 9 and hyphens";
        let name = ConnectionName::parse(&path.connection);
        name.map(Self).ok_or_else(|| Failure::field(Code::InvalidParameter, "connection", wrong))
    }
}

/// Show a tenant's pool of users
///
/// Which pool it is, whether people can sign in to it, and why not. A sign-in page needs `pool`.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/identity-pool", tag = "members", operation_id = "getIdentityPool",
    params(InEnvironment, OfTenant),
    responses((status = 200, description = "The pool.", body = IdentityPool)),
)]
async fn get(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    _: Params<Nothing>,
) -> Result<Json<IdentityPool>> {
    let found = pools::get(&call.read(), state.deps(), &tenant).await?;
    Ok(Json(convert::pool::pool(found)))
}

/// List the connections of a tenant's pool
///
/// As the identity provider has them now.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/identity-pool/connections", tag = "members", operation_id = "listIdentityConnections",
    params(InEnvironment, OfTenant),
    responses((status = 200, description = "The connections.", body = IdentityConnectionList)),
)]
async fn list(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    _: Params<Nothing>,
) -> Result<Json<IdentityConnectionList>> {
    let found = pools::connections(&call.read(), state.deps(), &tenant).await?;
    let items = found.into_iter().map(|name| IdentityConnection { name: name.as_str().to_owned() }).collect();
    Ok(Json(IdentityConnectionList { items }))
}

/// Connect a tenant's pool to an identity provider of the tenant's own
///
/// Single sign-on, where the plan's `signIn` has `sso`. The content is handed on to the provider and kept nowhere here; sent
/// again, it takes the place of what was there.
#[utoipa::path(
    put, path = "/v1/environments/{environment}/tenants/{tenant}/identity-pool/connections/{connection}", tag = "members", operation_id = "setIdentityConnection",
    params(InEnvironment, OfTenant, OfConnection),
    request_body(content = IdentityConnectionRequest, example = json!({ "title": "Acme", "oidc": { "issuer": "https://acme.okta.example", "clientId": "tenantry", "clientSecret": "…" } })),
    responses((status = 200, description = "The connection.", body = IdentityConnection)),
)]
async fn connect(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    ConnectionPath(name): ConnectionPath,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result<Json<IdentityConnection>> {
    let body = parse::connection(&body)?;
    let connection = match body.kind {
        ConnectionKind::Oidc { issuer, client_id, client_secret } => {
            Connection::Oidc(Oidc { issuer, client_id, client_secret })
        }
        ConnectionKind::Saml { entity_id, sso_url, certificates, audience, callback } => {
            Connection::Saml(Saml { entity_id, sso_url, certificates, audience, callback })
        }
    };
    let wanted = Connect { name, title: body.title, connection };
    pools::connect(&call.read(), state.deps(), &tenant, &wanted).await?;
    Ok(Json(IdentityConnection { name: wanted.name.as_str().to_owned() }))
}

/// Take a connection of a tenant's pool away
///
/// People who sign in by it cannot any more. One that is gone already is gone.
#[utoipa::path(
    delete, path = "/v1/environments/{environment}/tenants/{tenant}/identity-pool/connections/{connection}", tag = "members", operation_id = "deleteIdentityConnection",
    params(InEnvironment, OfTenant, OfConnection),
    responses((status = 200, description = "It is gone.", body = IdentityConnection)),
)]
async fn disconnect(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    ConnectionPath(name): ConnectionPath,
    _: Params<Nothing>,
    _: NoBody,
) -> Result<Json<IdentityConnection>> {
    pools::disconnect(&call.read(), state.deps(), &tenant, &name).await?;
    Ok(Json(IdentityConnection { name: name.as_str().to_owned() }))
}
