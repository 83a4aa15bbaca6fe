//! Roles of a tenant.

use axum::Json;
use axum::extract::{FromRequestParts, State as With};
use axum::http::request::Parts;
use serde::Deserialize;
use tenantry_api::parse::member as parse;
use tenantry_api::v1::member::{MemberRole, MemberRoleList, MemberRoleRequest};
use tenantry_control::members;
use tenantry_domain::code::Code;
use tenantry_domain::member::RoleName;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::history::Nothing;
use super::super::{InEnvironment, OfTenant, OptionalKey, Precondition, answer};
use super::{Behalf, body_of};
use crate::State;
use crate::convert;
use crate::extract::{Call, IfMatch, JsonBody, Params, TenantPath, path_value};
use crate::problem::{Failure, Result};

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get, put, delete))
}

/// `{name}` of a role in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "for the documentation; extractors read the path")]
struct OfRole {
    /// The role's name.
    #[param(example = "support", max_length = 40, pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
    name: String,
}

/// `{name}` of a role.
#[derive(Debug)]
struct RolePath(RoleName);

impl FromRequestParts<State> for RolePath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        let name = RoleName::parse(&path_value(parts, state, "name").await?);
        name.map(Self).map_err(|error| Failure::field(Code::InvalidParameter, "name", error))
    }
}

/// List the roles of a tenant
///
/// Those that every tenant has, then its own.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/roles", tag = "members", operation_id = "listMemberRoles",
    params(InEnvironment, OfTenant, Behalf),
    responses((status = 200, description = "The roles.", body = MemberRoleList)),
)]
async fn list(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    Params(behalf): Params<Behalf>,
) -> Result<Json<MemberRoleList>> {
    let found = members::roles(&call.read(), state.deps(), &tenant, behalf.acting()?).await?;
    Ok(Json(MemberRoleList { items: found.into_iter().map(convert::member::role).collect() }))
}

/// Read a role
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/roles/{name}", tag = "members", operation_id = "getMemberRole",
    params(InEnvironment, OfTenant, OfRole, Behalf),
    responses((status = 200, description = "The role.", body = MemberRole)),
)]
async fn get(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    RolePath(name): RolePath,
    Params(behalf): Params<Behalf>,
) -> Result {
    let found = members::role(&call.read(), state.deps(), &tenant, behalf.acting()?, &name).await?;
    let version = found.version;
    Ok(answer::versioned(&convert::member::role(found), version))
}

/// Define a role, or change one
///
/// A change works at once for everybody who holds it. No role has more than the acting user holds. `If-Match: "v0"` stands
/// for a role that is not there yet.
#[utoipa::path(
    put, path = "/v1/environments/{environment}/tenants/{tenant}/roles/{name}", tag = "members", operation_id = "setMemberRole",
    params(InEnvironment, OfTenant, OfRole, Precondition, OptionalKey),
    request_body(content = MemberRoleRequest, example = json!({ "title": "Support", "permissions": ["tenant:data:read", "feature:exports"] })),
    responses((status = 200, description = "The role.", body = MemberRole)),
)]
async fn put(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    RolePath(name): RolePath,
    IfMatch(expected): IfMatch,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result {
    let wanted = parse::role(&body)?;
    let role = (wanted.title.as_deref(), &wanted.permissions);
    let cx = call.write(&body);
    let made = members::define(&cx, state.deps(), &tenant, wanted.acting, (&name, expected), role).await?;
    let version = made.version;
    Ok(answer::versioned(&convert::member::role(made), version))
}

/// Delete a role
///
/// One that nobody holds and no open invitation names.
#[utoipa::path(
    delete, path = "/v1/environments/{environment}/tenants/{tenant}/roles/{name}", tag = "members", operation_id = "deleteMemberRole",
    params(InEnvironment, OfTenant, OfRole, Behalf, Precondition, OptionalKey),
    responses((status = 200, description = "It is gone.", body = MemberRole)),
)]
async fn delete(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    RolePath(name): RolePath,
    IfMatch(expected): IfMatch,
    Params(behalf): Params<Behalf>,
) -> Result {
    let acting = behalf.acting()?;
    let cx = call.write(&body_of(acting));
    let gone = members::delete_role(&cx, state.deps(), &tenant, acting, (&name, expected)).await?;
    let version = gone.version;
    Ok(answer::versioned(&convert::member::role(gone), version))
}
