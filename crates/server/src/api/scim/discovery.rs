//! What is supported, which types of resources there are, and their schemas. The same for every tenant that there is.

use axum::extract::State as With;
use axum::http::StatusCode;
use serde_json::Value;
use tenantry_api::v1::directory::ScimDocument;
use tenantry_control::scim;
use tenantry_domain::member::scim::{Kind, ScimError, describe, show};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::{InEnvironment, OfTenant};
use super::refused::Result;
use super::{IdPath, OfResource, base, document};
use crate::State;
use crate::extract::{Call, TenantPath};

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .routes(routes!(provider))
        .routes(routes!(resource_types))
        .routes(routes!(resource_type))
        .routes(routes!(schemas))
        .routes(routes!(schema))
}

/// Say what is supported
#[utoipa::path(
    get, path = "/scim/v2/environments/{environment}/tenants/{tenant}/ServiceProviderConfig", tag = "scim", operation_id = "scimProvider",
    params(InEnvironment, OfTenant),
    responses((status = 200, description = "What is supported.", body = ScimDocument, content_type = "application/scim+json")),
)]
async fn provider(With(state): With<State>, call: Call, TenantPath(tenant): TenantPath) -> Result {
    let cx = call.read();
    scim::enter(&cx, state.deps(), &tenant).await?;
    Ok(document(StatusCode::OK, &describe::provider(&base(&cx.environment, &tenant))))
}

/// List the types of resources
#[utoipa::path(
    get, path = "/scim/v2/environments/{environment}/tenants/{tenant}/ResourceTypes", tag = "scim", operation_id = "scimResourceTypes",
    params(InEnvironment, OfTenant),
    responses((status = 200, description = "User and Group.", body = ScimDocument, content_type = "application/scim+json")),
)]
async fn resource_types(With(state): With<State>, call: Call, TenantPath(tenant): TenantPath) -> Result {
    let cx = call.read();
    scim::enter(&cx, state.deps(), &tenant).await?;
    let base = base(&cx.environment, &tenant);
    let all: Vec<Value> = Kind::ALL.into_iter().map(|kind| describe::resource_type(kind, &base)).collect();
    Ok(document(StatusCode::OK, &show::list(all.len() as u64, 1, &all)))
}

/// Read a type of resources
#[utoipa::path(
    get, path = "/scim/v2/environments/{environment}/tenants/{tenant}/ResourceTypes/{id}", tag = "scim", operation_id = "scimResourceType",
    params(InEnvironment, OfTenant, OfResource),
    responses((status = 200, description = "The type.", body = ScimDocument, content_type = "application/scim+json")),
)]
async fn resource_type(With(state): With<State>, call: Call, TenantPath(tenant): TenantPath, id: IdPath) -> Result {
    let cx = call.read();
    scim::enter(&cx, state.deps(), &tenant).await?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == id.0);
    let kind = kind.ok_or_else(|| absent("ResourceType", &id))?;
    Ok(document(StatusCode::OK, &describe::resource_type(kind, &base(&cx.environment, &tenant))))
}

/// List the schemas
#[utoipa::path(
    get, path = "/scim/v2/environments/{environment}/tenants/{tenant}/Schemas", tag = "scim", operation_id = "scimSchemas",
    params(InEnvironment, OfTenant),
    responses((status = 200, description = "The schemas of users and groups.", body = ScimDocument, content_type = "application/scim+json")),
)]
async fn schemas(With(state): With<State>, call: Call, TenantPath(tenant): TenantPath) -> Result {
    let cx = call.read();
    scim::enter(&cx, state.deps(), &tenant).await?;
    let base = base(&cx.environment, &tenant);
    let all: Vec<Value> = Kind::ALL.into_iter().map(|kind| describe::document(kind, &base)).collect();
    Ok(document(StatusCode::OK, &show::list(all.len() as u64, 1, &all)))
}

/// Read a schema
#[utoipa::path(
    get, path = "/scim/v2/environments/{environment}/tenants/{tenant}/Schemas/{id}", tag = "scim", operation_id = "scimSchema",
    params(InEnvironment, OfTenant, OfResource),
    responses((status = 200, description = "The schema.", body = ScimDocument, content_type = "application/scim+json")),
)]
async fn schema(With(state): With<State>, call: Call, TenantPath(tenant): TenantPath, id: IdPath) -> Result {
    let cx = call.read();
    scim::enter(&cx, state.deps(), &tenant).await?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.schema().eq_ignore_ascii_case(&id.0));
    let kind = kind.ok_or_else(|| absent("Schema", &id))?;
    Ok(document(StatusCode::OK, &describe::document(kind, &base(&cx.environment, &tenant))))
}

fn absent(kind: &'static str, id: &IdPath) -> ScimError {
    ScimError::Absent { kind, id: id.0.chars().filter(char::is_ascii_graphic).take(64).collect() }
}
