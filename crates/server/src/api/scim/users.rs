//! Users of a directory.

use axum::extract::State as With;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde_json::json;
use tenantry_api::v1::directory::ScimDocument;
use tenantry_control::scim;
use tenantry_domain::member::scim::{Kind, Patch, resource};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::{InEnvironment, OfTenant, OptionalKey};
use super::refused::{Refused, Result};
use super::{Asked, IdPath, ListParams, OfResource, Precondition, ScimBody, ShowParams, bare, base, place};
use crate::State;
use crate::extract::{Call, TenantPath};

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(search))
        .routes(routes!(list, create))
        .routes(routes!(get, replace, patch, delete))
}

/// List users of a directory
///
/// Oldest first. A filter that names `userName`, `externalId` or `id` finds by an index.
#[utoipa::path(
    get, path = "/scim/v2/environments/{environment}/tenants/{tenant}/Users", tag = "scim", operation_id = "scimListUsers",
    params(InEnvironment, OfTenant, ListParams),
    responses((status = 200, description = "A page of users.", body = ScimDocument, content_type = "application/scim+json")),
)]
async fn list(With(state): With<State>, call: Call, TenantPath(tenant): TenantPath, asked: Asked) -> Result {
    let (cx, query) = (call.read(), asked.query(Kind::User)?);
    let base = base(&cx.environment, &tenant);
    let found = scim::users(&cx, state.deps(), place(&tenant, &base), &query).await?;
    Ok(asked.list(Kind::User, found))
}

/// Search users of a directory
///
/// As the list, with what is asked for in the body instead of the address (RFC 7644, section 3.4.3).
#[utoipa::path(
    post, path = "/scim/v2/environments/{environment}/tenants/{tenant}/Users/.search", tag = "scim", operation_id = "scimSearchUsers",
    params(InEnvironment, OfTenant),
    request_body(content = ScimDocument, content_type = "application/scim+json", example = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "count": 10 })),
    responses((status = 200, description = "A page of users.", body = ScimDocument, content_type = "application/scim+json")),
)]
async fn search(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    ScimBody(body): ScimBody,
) -> Result {
    let asked = Asked::in_body(&body)?;
    let (cx, query) = (call.read(), asked.query(Kind::User)?);
    let base = base(&cx.environment, &tenant);
    let found = scim::users(&cx, state.deps(), place(&tenant, &base), &query).await?;
    Ok(asked.list(Kind::User, found))
}

/// Make a user of a directory
///
/// An active one becomes a member as soon as it is known who signs in as them.
#[utoipa::path(
    post, path = "/scim/v2/environments/{environment}/tenants/{tenant}/Users", tag = "scim", operation_id = "scimCreateUser",
    params(InEnvironment, OfTenant, ShowParams, OptionalKey),
    request_body(content = ScimDocument, content_type = "application/scim+json", example = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "anna@acme.example", "externalId": "248289761001", "active": true })),
    responses((status = 201, description = "The user.", body = ScimDocument, content_type = "application/scim+json")),
)]
async fn create(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    asked: Asked,
    ScimBody(body): ScimBody,
) -> Result {
    let (cx, doc) = (call.write(&body), resource::read(Kind::User, &body)?);
    let base = base(&cx.environment, &tenant);
    let made = scim::create_user(&cx, state.deps(), place(&tenant, &base), doc).await?;
    Ok(asked.answer(Kind::User, made, StatusCode::CREATED))
}

/// Read a user of a directory
#[utoipa::path(
    get, path = "/scim/v2/environments/{environment}/tenants/{tenant}/Users/{id}", tag = "scim", operation_id = "scimGetUser",
    params(InEnvironment, OfTenant, OfResource, ShowParams),
    responses(
        (status = 200, description = "The user.", body = ScimDocument, content_type = "application/scim+json"),
        (status = 304, description = "It is what the client has (`If-None-Match`)."),
    ),
)]
async fn get(With(state): With<State>, call: Call, TenantPath(tenant): TenantPath, id: IdPath, asked: Asked) -> Result {
    let (cx, id) = (call.read(), id.of(Kind::User)?);
    let base = base(&cx.environment, &tenant);
    let found = scim::user(&cx, state.deps(), place(&tenant, &base), id).await?;
    if asked.knows(found.version) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    Ok(asked.answer(Kind::User, found, StatusCode::OK))
}

/// Put a document in the place of a user's
///
/// What the document leaves out is removed. `active: false` ends the membership at once.
#[utoipa::path(
    put, path = "/scim/v2/environments/{environment}/tenants/{tenant}/Users/{id}", tag = "scim", operation_id = "scimReplaceUser",
    params(InEnvironment, OfTenant, OfResource, ShowParams, Precondition, OptionalKey),
    request_body(content = ScimDocument, content_type = "application/scim+json", example = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "anna@acme.example", "externalId": "248289761001", "active": true })),
    responses((status = 200, description = "The user.", body = ScimDocument, content_type = "application/scim+json")),
)]
async fn replace(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    id: IdPath,
    asked: Asked,
    ScimBody(body): ScimBody,
) -> Result {
    let (cx, doc, id) = (call.write(&body), resource::read(Kind::User, &body)?, id.of(Kind::User)?);
    let base = base(&cx.environment, &tenant);
    let at = (id, asked.expected()?);
    let changed = scim::replace_user(&cx, state.deps(), place(&tenant, &base), at, doc).await;
    Ok(asked.answer(Kind::User, changed.map_err(Refused::of_change)?, StatusCode::OK))
}

/// Change a user of a directory
///
/// Operations in the forms of the standard, of Entra ID and of Okta. `active: false` ends the membership at once, `true` gives it back.
#[utoipa::path(
    patch, path = "/scim/v2/environments/{environment}/tenants/{tenant}/Users/{id}", tag = "scim", operation_id = "scimPatchUser",
    params(InEnvironment, OfTenant, OfResource, ShowParams, Precondition, OptionalKey),
    request_body(content = ScimDocument, content_type = "application/scim+json", example = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{ "op": "replace", "path": "active", "value": false }] })),
    responses((status = 200, description = "The user.", body = ScimDocument, content_type = "application/scim+json")),
)]
async fn patch(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    id: IdPath,
    asked: Asked,
    ScimBody(body): ScimBody,
) -> Result {
    let (cx, patch, id) = (call.write(&body), Patch::parse(&body)?, id.of(Kind::User)?);
    let base = base(&cx.environment, &tenant);
    let at = (id, asked.expected()?);
    let changed = scim::patch_user(&cx, state.deps(), place(&tenant, &base), at, &patch).await;
    Ok(asked.answer(Kind::User, changed.map_err(Refused::of_change)?, StatusCode::OK))
}

/// Delete a user of a directory
///
/// The membership ends with it.
#[utoipa::path(
    delete, path = "/scim/v2/environments/{environment}/tenants/{tenant}/Users/{id}", tag = "scim", operation_id = "scimDeleteUser",
    params(InEnvironment, OfTenant, OfResource, Precondition, OptionalKey),
    responses((status = 204, description = "The user is gone.")),
)]
async fn delete(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    id: IdPath,
    asked: Asked,
) -> Result {
    let (cx, id) = (call.write(&json!({})), id.of(Kind::User)?);
    let base = base(&cx.environment, &tenant);
    scim::delete_user(&cx, state.deps(), place(&tenant, &base), (id, asked.expected()?)).await?;
    Ok(bare(None))
}
