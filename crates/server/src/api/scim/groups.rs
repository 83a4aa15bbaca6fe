//! Groups of a directory.

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

/// List groups of a directory
///
/// Oldest first. Leave `members` out (`excludedAttributes=members`) where they are not needed.
#[utoipa::path(
    get, path = "/scim/v2/environments/{environment}/tenants/{tenant}/Groups", tag = "scim", operation_id = "scimListGroups",
    params(InEnvironment, OfTenant, ListParams),
    responses((status = 200, description = "A page of groups.", body = ScimDocument, content_type = "application/scim+json")),
)]
async fn list(With(state): With<State>, call: Call, TenantPath(tenant): TenantPath, asked: Asked) -> Result {
    let (cx, query) = (call.read(), asked.query(Kind::Group)?);
    let base = base(&cx.environment, &tenant);
    let found = scim::groups(&cx, state.deps(), place(&tenant, &base), &query).await?;
    Ok(asked.list(Kind::Group, found))
}

/// Search groups of a directory
///
/// As the list, with what is asked for in the body instead of the address (RFC 7644, section 3.4.3).
#[utoipa::path(
    post, path = "/scim/v2/environments/{environment}/tenants/{tenant}/Groups/.search", tag = "scim", operation_id = "scimSearchGroups",
    params(InEnvironment, OfTenant),
    request_body(content = ScimDocument, content_type = "application/scim+json", example = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "count": 10 })),
    responses((status = 200, description = "A page of groups.", body = ScimDocument, content_type = "application/scim+json")),
)]
async fn search(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    ScimBody(body): ScimBody,
) -> Result {
    let asked = Asked::in_body(&body)?;
    let (cx, query) = (call.read(), asked.query(Kind::Group)?);
    let base = base(&cx.environment, &tenant);
    let found = scim::groups(&cx, state.deps(), place(&tenant, &base), &query).await?;
    Ok(asked.list(Kind::Group, found))
}

/// Make a group of a directory
///
/// It gives no role until an admin of the tenant maps it to one.
#[utoipa::path(
    post, path = "/scim/v2/environments/{environment}/tenants/{tenant}/Groups", tag = "scim", operation_id = "scimCreateGroup",
    params(InEnvironment, OfTenant, ShowParams, OptionalKey),
    request_body(content = ScimDocument, content_type = "application/scim+json", example = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Engineering", "members": [] })),
    responses((status = 201, description = "The group.", body = ScimDocument, content_type = "application/scim+json")),
)]
async fn create(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    asked: Asked,
    ScimBody(body): ScimBody,
) -> Result {
    let (cx, doc) = (call.write(&body), resource::read(Kind::Group, &body)?);
    let base = base(&cx.environment, &tenant);
    let made = scim::create_group(&cx, state.deps(), place(&tenant, &base), doc).await?;
    Ok(asked.answer(Kind::Group, made, StatusCode::CREATED))
}

/// Read a group of a directory
#[utoipa::path(
    get, path = "/scim/v2/environments/{environment}/tenants/{tenant}/Groups/{id}", tag = "scim", operation_id = "scimGetGroup",
    params(InEnvironment, OfTenant, OfResource, ShowParams),
    responses(
        (status = 200, description = "The group.", body = ScimDocument, content_type = "application/scim+json"),
        (status = 304, description = "It is what the client has (`If-None-Match`)."),
    ),
)]
async fn get(With(state): With<State>, call: Call, TenantPath(tenant): TenantPath, id: IdPath, asked: Asked) -> Result {
    let (cx, id) = (call.read(), id.of(Kind::Group)?);
    let base = base(&cx.environment, &tenant);
    let found = scim::group(&cx, state.deps(), place(&tenant, &base), id, asked.projection.shows("members")).await?;
    if asked.knows(found.version) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    Ok(asked.answer(Kind::Group, found, StatusCode::OK))
}

/// Put a document in the place of a group's
///
/// Members that the document leaves out leave the group.
#[utoipa::path(
    put, path = "/scim/v2/environments/{environment}/tenants/{tenant}/Groups/{id}", tag = "scim", operation_id = "scimReplaceGroup",
    params(InEnvironment, OfTenant, OfResource, ShowParams, Precondition, OptionalKey),
    request_body(content = ScimDocument, content_type = "application/scim+json", example = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Engineering", "members": [] })),
    responses((status = 200, description = "The group.", body = ScimDocument, content_type = "application/scim+json")),
)]
async fn replace(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    id: IdPath,
    asked: Asked,
    ScimBody(body): ScimBody,
) -> Result {
    let (cx, doc, id) = (call.write(&body), resource::read(Kind::Group, &body)?, id.of(Kind::Group)?);
    let base = base(&cx.environment, &tenant);
    let at = (id, asked.expected()?);
    let changed = scim::replace_group(&cx, state.deps(), place(&tenant, &base), at, doc).await;
    Ok(asked.answer(Kind::Group, changed.map_err(Refused::of_change)?, StatusCode::OK))
}

/// Change a group of a directory
///
/// At most 2,000 members come and go in a request. The answer has no body: a group may have many members.
#[utoipa::path(
    patch, path = "/scim/v2/environments/{environment}/tenants/{tenant}/Groups/{id}", tag = "scim", operation_id = "scimPatchGroup",
    params(InEnvironment, OfTenant, OfResource, ShowParams, Precondition, OptionalKey),
    request_body(content = ScimDocument, content_type = "application/scim+json", example = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{ "op": "add", "path": "members", "value": [{ "value": "019300a0-5b1c-7d60-9a3e-0d2f4c6b8a90" }] }] })),
    responses((status = 204, description = "The group is changed.")),
)]
async fn patch(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    id: IdPath,
    asked: Asked,
    ScimBody(body): ScimBody,
) -> Result {
    let (cx, patch, id) = (call.write(&body), Patch::parse(&body)?, id.of(Kind::Group)?);
    let base = base(&cx.environment, &tenant);
    let at = (id, asked.expected()?);
    let changed = scim::patch_group(&cx, state.deps(), place(&tenant, &base), at, &patch).await;
    Ok(bare(Some(changed.map_err(Refused::of_change)?.version)))
}

/// Delete a group of a directory
///
/// Its members lose what it gave them.
#[utoipa::path(
    delete, path = "/scim/v2/environments/{environment}/tenants/{tenant}/Groups/{id}", tag = "scim", operation_id = "scimDeleteGroup",
    params(InEnvironment, OfTenant, OfResource, Precondition, OptionalKey),
    responses((status = 204, description = "The group is gone.")),
)]
async fn delete(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    id: IdPath,
    asked: Asked,
) -> Result {
    let (cx, id) = (call.write(&json!({})), id.of(Kind::Group)?);
    let base = base(&cx.environment, &tenant);
    scim::delete_group(&cx, state.deps(), place(&tenant, &base), (id, asked.expected()?)).await?;
    Ok(bare(None))
}
