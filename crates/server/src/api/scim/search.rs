//! Searching users and groups together (RFC 7644, section 3.4.3): users first, then groups.

use axum::extract::State as With;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use tenantry_api::v1::directory::ScimDocument;
use tenantry_control::scim::{self, Listed};
use tenantry_domain::member::scim::{Filter, Kind, ScimError, show};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::{InEnvironment, OfTenant};
use super::refused::Result;
use super::{Asked, ScimBody, base, document, place};
use crate::State;
use crate::extract::{Call, TenantPath};

pub(super) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(search))
}

/// What is asked of one kind of resource; nothing where the filter names what the kind does not have, since no resource
/// of it can have a value there.
fn query(asked: &Asked, kind: Kind) -> Result<Option<scim::Query>> {
    let other = if kind == Kind::User { Kind::Group } else { Kind::User };
    let text = asked.filter.as_deref().unwrap_or_default();
    match asked.query(kind) {
        Ok(query) => Ok(Some(query)),
        Err(_) if !text.is_empty() && Filter::parse(text, other).is_ok() => Ok(None),
        Err(refused) => Err(refused),
    }
}

/// Search all resources of a directory
///
/// Users first, then groups.
#[utoipa::path(
    post, path = "/scim/v2/environments/{environment}/tenants/{tenant}/.search", tag = "scim", operation_id = "scimSearch",
    params(InEnvironment, OfTenant),
    request_body(content = ScimDocument, content_type = "application/scim+json", example = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "count": 10 })),
    responses((status = 200, description = "A page of users and groups.", body = ScimDocument, content_type = "application/scim+json")),
)]
async fn search(
    With(state): With<State>,
    call: Call,
    TenantPath(tenant): TenantPath,
    ScimBody(body): ScimBody,
) -> Result<Response> {
    let asked = Asked::in_body(&body)?;
    let (users, groups) = (query(&asked, Kind::User)?, query(&asked, Kind::Group)?);
    if users.is_none() && groups.is_none() {
        return Err(ScimError::Comparison(String::new()).into());
    }
    let cx = call.read();
    let base = base(&cx.environment, &tenant);
    let place = place(&tenant, &base);
    scim::enter(&cx, state.deps(), &tenant).await?;
    let nobody = Listed { total: 0, resources: Vec::new() };
    let users = match users {
        Some(query) => scim::users(&cx, state.deps(), place, &query).await?,
        None => nobody.clone(),
    };
    let groups = match groups {
        Some(query) => {
            let start = asked.start.saturating_sub(users.total).max(1);
            let count = asked.count.saturating_sub(users.resources.len());
            scim::groups(&cx, state.deps(), place, &scim::Query { start, count, ..query }).await?
        }
        None => nobody,
    };
    let total = users.total + groups.total;
    let users = users.resources.into_iter().map(|one| asked.projection.apply(Kind::User, one));
    let groups = groups.resources.into_iter().map(|one| asked.projection.apply(Kind::Group, one));
    let all: Vec<Value> = users.chain(groups).collect();
    Ok(document(StatusCode::OK, &show::list(total, asked.start, &all)))
}
