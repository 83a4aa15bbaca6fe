//! How a tenant's admins set its directory up: whose subjects its external ids are, which groups give which roles, and who
//! is whom at the first log-in.

use axum::Json;
use axum::extract::{FromRequestParts, State as With};
use axum::http::request::Parts;
use serde::Deserialize;
use tenantry_api::parse::directory as parse;
use tenantry_api::v1::Page;
use tenantry_api::v1::directory::{Directory, DirectoryClaim, DirectoryGroup, DirectoryGroupRole, DirectoryRequest};
use tenantry_api::v1::member::Member;
use tenantry_control::members::Answer;
use tenantry_control::scim;
use tenantry_domain::code::Code;
use tenantry_domain::id::UserId;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::super::history::Nothing;
use super::super::{InEnvironment, OfTenant, OptionalKey, Precondition, answer};
use crate::State;
use crate::convert;
use crate::extract::{Call, IfMatch, JsonBody, Params, TenantPath, page_size, path_value};
use crate::problem::{Failure, Result};

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(get, put)).routes(routes!(groups)).routes(routes!(map)).routes(routes!(claim))
}

/// `{group}` of the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "for the documentation; extractors read the path")]
struct OfGroup {
    /// The group's id.
    #[param(example = "019300a0-5b1c-7d60-9a3e-0d2f4c6b8a90", format = Uuid)]
    group: String,
}

struct GroupPath(Uuid);

impl FromRequestParts<State> for GroupPath {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self> {
        let text = path_value(parts, state, "group").await?;
        let id = Uuid::try_parse(&text).map(Self);
        id.map_err(|_| Failure::field(Code::InvalidParameter, "group", "must be a group's id, a UUID"))
    }
}

/// On whose behalf something is read.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct Behalf {
    /// The member on whose behalf this is asked.
    #[param(nullable = false, pattern = "^usr_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    acting_user: Option<String>,
}

/// Which groups.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// The member on whose behalf this is asked.
    #[param(nullable = false, pattern = "^usr_[0-7][0-9a-hjkmnp-tv-z]{25}$")]
    acting_user: Option<String>,
    /// Items per page, 1 to 200; 50 unless given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    page_size: Option<String>,
    /// `nextPageToken` of the page before.
    page_token: Option<String>,
}

fn acting(text: Option<&str>) -> Result<Option<UserId>> {
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|error| Failure::field(Code::InvalidParameter, "actingUser", error))
}

/// Read how a tenant's directory is set up
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/directory", tag = "scim", operation_id = "getDirectory",
    params(InEnvironment, OfTenant, Behalf),
    responses((status = 200, description = "The directory.", body = Directory)),
)]
async fn get(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    Params(behalf): Params<Behalf>,
) -> Result {
    let acting = acting(behalf.acting_user.as_deref())?;
    let found = scim::directory(&call.read(), state.deps(), &tenant, acting).await?;
    let version = found.version;
    Ok(answer::versioned(&convert::directory::directory(found), version))
}

/// Set a tenant's directory up
///
/// With an issuer, a user of the directory is the person whom this issuer calls by the user's `externalId`. Without one,
/// people are claimed at their first log-in. `If-Match: "v0"` stands for a directory that nobody has set up yet.
#[utoipa::path(
    put, path = "/v1/environments/{environment}/tenants/{tenant}/directory", tag = "scim", operation_id = "setDirectory",
    params(InEnvironment, OfTenant, Precondition, OptionalKey),
    request_body(content = DirectoryRequest, example = json!({ "issuer": "https://login.example.com", "defaultRole": "readonly" })),
    responses((status = 200, description = "It is so.", body = Directory)),
)]
async fn put(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    IfMatch(expected): IfMatch,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result {
    let wanted = parse::directory(&body)?;
    let cx = call.write(&body);
    let row = scim::Wanted { issuer: wanted.issuer, pool: wanted.pool, default_role: wanted.default_role };
    let made = scim::set(&cx, state.deps(), &tenant, wanted.acting, expected, &row).await?;
    let version = made.version;
    Ok(answer::versioned(&convert::directory::directory(made), version))
}

/// List the groups of a tenant's directory
///
/// Oldest first, with the roles that they give.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tenants/{tenant}/directory/groups", tag = "scim", operation_id = "listDirectoryGroups",
    params(InEnvironment, OfTenant, ListParams),
    responses((status = 200, description = "A page of groups.", body = Page<DirectoryGroup>)),
)]
async fn groups(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<DirectoryGroup>>> {
    let (acting, size) = (acting(params.acting_user.as_deref())?, page_size(params.page_size.as_deref())?);
    let page = (size, params.page_token.as_deref());
    let page = scim::directory_groups(&call.read(), state.deps(), &tenant, acting, page).await?;
    Ok(Json(convert::page(page, convert::directory::group)))
}

/// Say which role a group gives
///
/// Or that it gives none. Works at once for all who are in it; nobody gives more than they hold, and no group gives `owner`.
#[utoipa::path(
    put, path = "/v1/environments/{environment}/tenants/{tenant}/directory/groups/{group}/role", tag = "scim", operation_id = "mapDirectoryGroup",
    params(InEnvironment, OfTenant, OfGroup, OptionalKey),
    request_body(content = DirectoryGroupRole, example = json!({ "role": "member" })),
    responses((status = 200, description = "It is so.", body = DirectoryGroup)),
)]
async fn map(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    GroupPath(group): GroupPath,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result {
    let wanted = parse::group_role(&body)?;
    let cx = call.write(&body);
    let mapped = scim::map(&cx, state.deps(), &tenant, wanted.acting, group, wanted.role.as_ref()).await?;
    let version = mapped.version;
    Ok(answer::versioned(&convert::directory::group(mapped), version))
}

/// Say who has logged in
///
/// Makes them the member that the directory announced by this address. Takes an address that the issuer has verified, in a
/// domain that the tenant has proven to be its own.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/tenants/{tenant}/directory/@claim", tag = "scim", operation_id = "claimDirectoryUser",
    params(InEnvironment, OfTenant, OptionalKey),
    request_body(content = DirectoryClaim, example = json!({
        "issuer": "https://login.example.com", "subject": "248289761001", "email": "anna@acme.example", "emailVerified": true
    })),
    responses((status = 200, description = "They are a member.", body = Member)),
)]
async fn claim(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result {
    let wanted = parse::claim(&body)?;
    let cx = call.write(&body);
    let who =
        Answer { identity: wanted.identity, email: wanted.email, is_verified: wanted.is_verified, name: wanted.name };
    let joined = scim::claim(&cx, state.deps(), &tenant, &who).await?;
    let version = joined.version;
    Ok(answer::versioned(&convert::member::member(joined), version))
}
