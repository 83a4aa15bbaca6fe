//! People of a tenant: members, what they may do, and many of them at once. Invitations and roles are next door.
//!
//! A request may name the member on whose behalf it is made, `actingUser`: in the body of what changes something, in the
//! query of what reads or deletes.

mod invitations;
mod ownership;
mod roles;

use axum::Json;
use axum::extract::{FromRequestParts, State as With};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;
use serde_json::{Value, json};
use tenantry_api::parse::member as parse;
use tenantry_api::parse::member::ImportRowBody;
use tenantry_api::v1::Page;
use tenantry_api::v1::member::{
    Member, MemberCheck, MemberCheckRequest, MemberImport, MemberImportReport, MemberPatch, MemberPermissions,
    MemberRequest, Membership,
};
use tenantry_control::Refusal;
use tenantry_control::members::{self, Add, ImportRow};
use tenantry_domain::code::Code;
use tenantry_domain::id::UserId;
use tenantry_domain::member::{Refused, RoleName};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::history::Nothing;
use super::{InEnvironment, OfTenant, OptionalKey, Precondition, RequiredKey, answer};
use crate::State;
use crate::convert;
use crate::extract::{Call, Caller, IfMatch, JsonBody, PageParams, Params, TenantPath, page_size, path_value};
use crate::problem::{Failure, Result};

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(import))
        .routes(routes!(check))
        .routes(routes!(get, patch, remove))
        .routes(routes!(permissions))
        .routes(routes!(tenants))
        .merge(ownership::routes())
        .merge(roles::routes())
        .merge(invitations::routes())
}

/// `{user}` of the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "for the documentation; extractors read the path")]
struct OfUser {
    /// The user's id.
    #[param(example = "usr_01jd8x3v9mfk2t5h7q0w4z6y8c", pattern = "^usr_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    user: String,
}

/// `{user}`: an id.
#[derive(Debug)]
struct UserPath(UserId);

impl FromRequestParts<State> for UserPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        let parsed = path_value(parts, state, "user").await?.parse();
        parsed.map(Self).map_err(|error| {
            Failure::field(Code::InvalidParameter, "user", error).hint("Name the user by their id (`usr_…`).")
        })
    }
}

/// On whose behalf a request without a body is made.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct Behalf {
    /// The member on whose behalf this is asked.
    #[param(nullable = false, pattern = "^usr_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    acting_user: Option<String>,
}

impl Behalf {
    fn acting(&self) -> Result<Option<UserId>> {
        acting(self.acting_user.as_deref())
    }
}

fn acting(text: Option<&str>) -> Result<Option<UserId>> {
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|error| Failure::field(Code::InvalidParameter, "actingUser", error))
}

/// Which members.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Only those who hold this role.
    #[param(nullable = false, max_length = 40, pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
    role: Option<String>,
    /// The member on whose behalf this is asked.
    #[param(nullable = false, pattern = "^usr_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    acting_user: Option<String>,
    /// Items per page, 1 to 200; 50 unless given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    page_size: Option<String>,
    /// `nextPageToken` of the page before.
    page_token: Option<String>,
}

/// List the members of a tenant
///
/// In the order in which their users became known.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/members", tag = "members", operation_id = "listMembers",
    params(InEnvironment, OfTenant, ListParams),
    responses((status = 200, description = "A page of members.", body = Page<Member>)),
)]
async fn list(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<Member>>> {
    let role = params.role.as_deref().map(RoleName::parse).transpose();
    let role = role.map_err(|error| Failure::field(Code::InvalidParameter, "role", error))?;
    let (acting, size) = (acting(params.acting_user.as_deref())?, page_size(params.page_size.as_deref())?);
    let page = (size, params.page_token.as_deref());
    let page = members::list(&call.read(), state.deps(), &tenant, acting, role.as_ref(), page).await?;
    Ok(Json(convert::page(page, convert::member::member)))
}

/// Make somebody a member
///
/// Without an invitation: their account at the issuer exists, they may never have logged in. The first member of a tenant is
/// made so, usually as its owner.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/tenants/{tenant}/members", tag = "members", operation_id = "addMember",
    params(InEnvironment, OfTenant, RequiredKey),
    request_body(content = MemberRequest, example = json!({
        "issuer": "https://login.example.com", "subject": "248289761001", "email": "anna@example.com", "role": "owner"
    })),
    responses((status = 201, description = "They are a member.", body = Member)),
)]
async fn add(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result {
    call.require_key()?;
    let wanted = parse::member(&body)?;
    let add = Add { identity: wanted.identity, email: wanted.email, name: wanted.name, role: wanted.role };
    let member = members::add(&call.write(&body), state.deps(), &tenant, wanted.acting, &add).await?;
    let version = member.version;
    let mut response = answer::versioned(&convert::member::member(member), version);
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// Read a member
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/members/{user}", tag = "members", operation_id = "getMember",
    params(InEnvironment, OfTenant, OfUser, Behalf),
    responses((status = 200, description = "The member.", body = Member)),
)]
async fn get(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    UserPath(user): UserPath,
    Params(behalf): Params<Behalf>,
) -> Result {
    let member = members::get(&call.read(), state.deps(), &tenant, behalf.acting()?, user).await?;
    let version = member.version;
    Ok(answer::versioned(&convert::member::member(member), version))
}

/// Give a member another role
///
/// Works at once. Ownership is not given so on behalf of a member; it is handed on by consent of both sides.
#[utoipa::path(
    patch, path = "/v1/environments/{environment}/tenants/{tenant}/members/{user}", tag = "members", operation_id = "changeMember",
    params(InEnvironment, OfTenant, OfUser, Precondition, OptionalKey),
    request_body(content = MemberPatch, example = json!({ "role": "admin" })),
    responses((status = 200, description = "The member.", body = Member)),
)]
async fn patch(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    UserPath(user): UserPath,
    IfMatch(expected): IfMatch,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result {
    let wanted = parse::member_patch(&body)?;
    let cx = call.write(&body);
    let member =
        members::change_role(&cx, state.deps(), &tenant, wanted.acting, (user, expected), &wanted.role).await?;
    let version = member.version;
    Ok(answer::versioned(&convert::member::member(member), version))
}

/// Remove a member
///
/// A member who acts for themselves leaves. The last owner stays.
#[utoipa::path(
    delete, path = "/v1/environments/{environment}/tenants/{tenant}/members/{user}", tag = "members", operation_id = "removeMember",
    params(InEnvironment, OfTenant, OfUser, Behalf, Precondition, OptionalKey),
    responses((status = 200, description = "They were a member until now.", body = Member)),
)]
async fn remove(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    UserPath(user): UserPath,
    IfMatch(expected): IfMatch,
    Params(behalf): Params<Behalf>,
) -> Result {
    let acting = behalf.acting()?;
    let cx = call.write(&body_of(acting));
    let member = members::remove(&cx, state.deps(), &tenant, acting, (user, expected)).await?;
    let version = member.version;
    Ok(answer::versioned(&convert::member::member(member), version))
}

/// Bring many members into line
///
/// Every row is done or refused for itself; the report says which. The same rows again change nothing.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/tenants/{tenant}/members/@import", tag = "members", operation_id = "importMembers",
    params(InEnvironment, OfTenant, RequiredKey),
    request_body(content = MemberImport, example = json!({ "rows": [
        { "issuer": "https://login.example.com", "subject": "1", "email": "anna@example.com", "role": "member" },
        { "issuer": "https://login.example.com", "subject": "2", "remove": true }
    ] })),
    responses((status = 200, description = "What became of each row.", body = MemberImportReport)),
)]
async fn import(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result<Json<MemberImportReport>> {
    call.require_key()?;
    let wanted = parse::import(&body)?;
    let row = |row| match row {
        Ok(ImportRowBody::Member { identity, email, name, role }) => ImportRow::Member { identity, email, name, role },
        Ok(ImportRowBody::Gone(identity)) => ImportRow::Gone(identity),
        Err(wrong) => ImportRow::Unreadable(wrong),
    };
    let rows: Vec<_> = wanted.rows.into_iter().map(row).collect();
    let cx = call.write(&body);
    let report = members::import(&cx, state.deps(), &tenant, wanted.acting, &rows, wanted.dry_run).await?;
    Ok(Json(convert::member::imported(report)))
}

/// Ask whether a user may do something
///
/// As of now: a role that was taken away a moment ago does not count. Somebody who is no member may nothing.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/tenants/{tenant}/members/@check", tag = "members", operation_id = "checkMember",
    params(InEnvironment, OfTenant),
    request_body(content = MemberCheckRequest, example = json!({ "user": "usr_01jd8x3v9mfk2t5h7q0w4z6y8c", "permission": "tenant:data:write" })),
    responses((status = 200, description = "Whether they may, and what is missing.", body = MemberCheck)),
)]
async fn check(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result<Json<MemberCheck>> {
    let (user, permission) = parse::check(&body)?;
    let checked = members::check(&call.read(), state.deps(), &tenant, user, &[permission]).await?;
    Ok(Json(convert::member::check(checked)))
}

/// Read what a member may do
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/members/{user}/permissions", tag = "members", operation_id = "getMemberPermissions",
    params(InEnvironment, OfTenant, OfUser),
    responses((status = 200, description = "Role and permissions, as of now.", body = MemberPermissions)),
)]
async fn permissions(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    UserPath(user): UserPath,
    _: Params<Nothing>,
) -> Result<Json<MemberPermissions>> {
    let checked = members::check(&call.read(), state.deps(), &tenant, user, &[]).await?;
    let found = convert::member::permissions(user, checked);
    let missing = || Failure::from(Refusal::from(Refused::NoMember(user.to_string())));
    found.map(Json).ok_or_else(missing)
}

/// List the tenants of a user
///
/// For choosing one after log-in. A user's id is enough to find them, whatever their environment; who may not see the
/// environment finds nothing.
#[utoipa::path(
    get, path = "/v1/users/{user}/tenants", tag = "members", operation_id = "listTenantsOfUser",
    params(OfUser, PageParams),
    responses((status = 200, description = "A page of memberships.", body = Page<Membership>)),
)]
async fn tenants(
    With(state): With<State>,
    caller: Caller,
    UserPath(user): UserPath,
    Params(page): Params<PageParams>,
) -> Result<Json<Page<Membership>>> {
    // In the words of a user that is not known.
    let hidden = || Failure::from(Refusal::from(Refused::NoMember(user.to_string())));
    let size = page.size()?;
    let environment = members::user_environment(state.deps(), user).await?;
    let cx = caller.enter(&state, environment).await.map_err(|failure| unseen(failure, hidden))?;
    let found = members::tenants_of(&cx, state.deps(), user, size, page.page_token.as_deref()).await?;
    Ok(Json(convert::page(found, convert::member::membership)))
}

/// An environment that the caller does not reach is not told from a thing that is not there.
fn unseen(failure: Failure, hidden: impl FnOnce() -> Failure) -> Failure {
    if failure.problem.code == Code::EnvironmentNotFound.to_string() { hidden() } else { failure }
}

/// What tells one bodiless request from another under the same key.
fn body_of(acting: Option<UserId>) -> Value {
    json!({ "actingUser": acting })
}
