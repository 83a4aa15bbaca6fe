//! Tokens of the API: making one, giving it another secret, taking it back.

use axum::Json;
use axum::extract::State as With;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use tenantry_api::parse;
use tenantry_api::v1::Page;
use tenantry_api::v1::token::{IssuedToken, Token, TokenRequest, TokenRotation};
use tenantry_control::tenants::TenantRef;
use tenantry_control::tokens::{self, RotateRequest, TokenQuery, Wanted};
use tenantry_domain::code::Code;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::history::Nothing;
use super::{InEnvironment, OfToken, OptionalKey, Precondition, RequiredKey, answer};
use crate::State;
use crate::convert;
use crate::extract::{Call, IfMatch, JsonBody, Params, TokenPath, page_size};
use crate::problem::{Failure, Result};

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, revoke)).routes(routes!(rotate))
}

fn tenant(text: &str) -> Result<TenantRef> {
    text.parse().map_err(|error| Failure::field(Code::InvalidParameter, "tenant", error))
}

/// Make a token
///
/// For a person of the operator, a machine, or (with `tenant`) a customer's own machine. It may do at most what its maker may.
/// The answer has its text: it is kept nowhere, and a repetition under the same key is answered without it.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/tokens", tag = "tokens", operation_id = "createToken",
    params(InEnvironment, RequiredKey),
    request_body(content = TokenRequest, example = json!({ "name": "deploy pipeline", "roles": ["deployer"], "expiresIn": "90d" })),
    responses((status = 201, description = "Made. Keep the text; it is not shown again.", body = IssuedToken)),
)]
async fn create(With(state): With<State>, call: Call, _: Params<Nothing>, JsonBody(body): JsonBody) -> Result {
    call.require_key()?;
    let token = parse::token(&body)?;
    let wanted = Wanted {
        name: token.name,
        kind: token.kind,
        roles: token.roles,
        scopes: token.scopes,
        tenant: token.tenant.as_deref().map(tenant).transpose()?,
        person: token.person,
        life: token.life,
    };
    let issued = tokens::create(&call.write(&body), state.deps(), wanted).await?;
    let version = issued.token.version;
    let mut response = answer::versioned(&convert::token::issued(issued), version);
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// Which tokens.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Only those of this tenant, by name or id.
    #[param(
        nullable = false,
        max_length = 40,
        pattern = "^([a-z0-9]([a-z0-9-]*[a-z0-9])?|ten_[0-9a-hjkmnp-tv-z]{26})$"
    )]
    tenant: Option<String>,
    /// `true` for revoked ones, too.
    #[param(nullable = false, example = "false", pattern = "^(true|false)$")]
    revoked: Option<String>,
    /// Items per page, 1 to 200; 50 unless given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    page_size: Option<String>,
    /// `nextPageToken` of the page before.
    page_token: Option<String>,
}

/// List tokens
///
/// Those of this environment, in the order of their making.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tokens", tag = "tokens", operation_id = "listTokens",
    params(InEnvironment, ListParams),
    responses((status = 200, description = "A page of tokens.", body = Page<Token>)),
)]
async fn list(With(state): With<State>, call: Call, Params(params): Params<ListParams>) -> Result<Json<Page<Token>>> {
    let with_revoked = match params.revoked.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Failure::field(Code::InvalidParameter, "revoked", "must be `true` or `false`")),
    };
    let query = TokenQuery { tenant: params.tenant.as_deref().map(tenant).transpose()?, with_revoked };
    let size = page_size(params.page_size.as_deref())?;
    let page = tokens::list(&call.read(), state.deps(), &query, size, params.page_token.as_deref()).await?;
    Ok(Json(convert::page(page, convert::token::token)))
}

/// Read a token
///
/// What it may do, when it was used last, when it ends. Not its text.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/tokens/{token}", tag = "tokens", operation_id = "getToken",
    params(InEnvironment, OfToken),
    responses((status = 200, description = "The token.", body = Token)),
)]
async fn get(With(state): With<State>, call: Call, TokenPath(id): TokenPath, _: Params<Nothing>) -> Result {
    let found = tokens::get(&call.read(), state.deps(), id).await?;
    let version = found.version;
    Ok(answer::versioned(&convert::token::token(found), version))
}

/// Take a token back
///
/// It is refused from the next call on, at every replica.
#[utoipa::path(
    delete, path = "/v1/environments/{environment}/tokens/{token}", tag = "tokens", operation_id = "revokeToken",
    params(InEnvironment, OfToken, Precondition, OptionalKey),
    responses((status = 200, description = "It is revoked.", body = Token)),
)]
async fn revoke(
    With(state): With<State>,
    call: Call,
    TokenPath(id): TokenPath,
    IfMatch(expected): IfMatch,
    _: Params<Nothing>,
) -> Result {
    let found = tokens::revoke(&call.write(&Value::Null), state.deps(), id, expected).await?;
    let version = found.version;
    Ok(answer::versioned(&convert::token::token(found), version))
}

/// Give a token another secret
///
/// The old one stays good for the grace, so that its users change over one by one.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/tokens/{token}/@rotate", tag = "tokens", operation_id = "rotateToken",
    params(InEnvironment, OfToken, Precondition, OptionalKey),
    request_body(content = TokenRotation, example = json!({ "grace": "24h" })),
    responses((status = 200, description = "Keep the text; it is not shown again.", body = IssuedToken)),
)]
async fn rotate(
    With(state): With<State>,
    call: Call,
    TokenPath(id): TokenPath,
    IfMatch(expected): IfMatch,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result {
    let wanted = parse::token_rotation(&body)?;
    let wanted = RotateRequest { grace: wanted.grace, life: wanted.life };
    let issued = tokens::rotate(&call.write(&body), state.deps(), id, expected, wanted).await?;
    let version = issued.token.version;
    Ok(answer::versioned(&convert::token::issued(issued), version))
}
