//! Logins of the gateway: making one, giving it another password, taking it back.

use axum::Json;
use axum::extract::State as With;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use tenantry_api::parse::{self, WhoseBody};
use tenantry_api::v1::Page;
use tenantry_api::v1::login::{GatewayLogin, GatewayLoginRequest, GatewayLoginRotation, IssuedGatewayLogin};
use tenantry_control::logins::{self, Query, RotateRequest, Wanted, WantedWhose};
use tenantry_control::tenants::TenantRef;
use tenantry_domain::code::Code;
use tenantry_domain::name::AppName;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::history::Nothing;
use super::{InEnvironment, OfLogin, OptionalKey, Precondition, RequiredKey, answer};
use crate::State;
use crate::convert;
use crate::extract::{Call, IfMatch, JsonBody, LoginPath, Params, page_size};
use crate::problem::{Failure, Result};

/// The routes.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new().routes(routes!(create, list)).routes(routes!(get, revoke)).routes(routes!(rotate))
}

fn tenant(field: &str, text: &str) -> Result<TenantRef> {
    text.parse().map_err(|error| Failure::field(Code::InvalidParameter, field, error))
}

/// Make a login of the gateway
///
/// For one tenant, or for a service that enters several tenants of an app. The answer has the password: it is kept nowhere,
/// and a repetition under the same key is answered without it.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/gateway-logins", tag = "gateway", operation_id = "createGatewayLogin",
    params(InEnvironment, RequiredKey),
    request_body(content = GatewayLoginRequest, example = json!({ "name": "acme-reports", "tenant": "acme", "access": "read-only" })),
    responses((status = 201, description = "Made. Keep the password; it is not shown again.", body = IssuedGatewayLogin)),
)]
async fn create(With(state): With<State>, call: Call, _: Params<Nothing>, JsonBody(body): JsonBody) -> Result {
    call.require_key()?;
    let login = parse::login(&body)?;
    let whose = match login.whose {
        WhoseBody::Tenant(text) => WantedWhose::Tenant(tenant("tenant", &text)?),
        WhoseBody::Service { app, only } => {
            let named = |(index, text): (usize, &String)| tenant(&format!("only[{index}]"), text);
            let only = only.map(|only| only.iter().enumerate().map(named).collect::<Result<_>>()).transpose()?;
            WantedWhose::Service { app, only }
        }
    };
    let wanted = Wanted {
        name: login.name,
        whose,
        mode: login.mode,
        access: login.access,
        server: login.server,
        proof: login.proof,
        connections: login.connections,
        expires: login.expires,
    };
    let issued = logins::create(&call.write(&body), state.deps(), wanted).await?;
    let version = issued.login.version;
    let mut response = answer::versioned(&convert::login::issued(issued), version);
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// Which logins.
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
    /// Only those of services of this app.
    #[param(nullable = false, max_length = 50, pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
    app: Option<String>,
    /// `true` for revoked ones, too. They are kept until their name is used again.
    #[param(nullable = false, example = "false", pattern = "^(true|false)$")]
    revoked: Option<String>,
    /// Items per page, 1 to 200; 50 unless given.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    page_size: Option<String>,
    /// `nextPageToken` of the page before.
    page_token: Option<String>,
}

/// List logins of the gateway
///
/// By name.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/gateway-logins", tag = "gateway", operation_id = "listGatewayLogins",
    params(InEnvironment, ListParams),
    responses((status = 200, description = "A page of logins.", body = Page<GatewayLogin>)),
)]
async fn list(
    With(state): With<State>,
    call: Call,
    Params(params): Params<ListParams>,
) -> Result<Json<Page<GatewayLogin>>> {
    let with_revoked = match params.revoked.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Failure::field(Code::InvalidParameter, "revoked", "must be `true` or `false`")),
    };
    let app = params.app.as_deref().map(AppName::parse).transpose();
    let query = Query {
        tenant: params.tenant.as_deref().map(|text| tenant("tenant", text)).transpose()?,
        app: app.map_err(|error| Failure::field(Code::InvalidParameter, "app", error))?,
        with_revoked,
    };
    let size = page_size(params.page_size.as_deref())?;
    let page = logins::list(&call.read(), state.deps(), &query, size, params.page_token.as_deref()).await?;
    Ok(Json(convert::page(page, convert::login::login)))
}

/// Read a login of the gateway
///
/// A revoked one as well, until its name is used again.
#[utoipa::path(
    get, path = "/v1/environments/{environment}/gateway-logins/{name}", tag = "gateway", operation_id = "getGatewayLogin",
    params(InEnvironment, OfLogin),
    responses((status = 200, description = "The login.", body = GatewayLogin)),
)]
async fn get(With(state): With<State>, call: Call, LoginPath(name): LoginPath, _: Params<Nothing>) -> Result {
    let found = logins::get(&call.read(), state.deps(), &name).await?;
    let version = found.version;
    Ok(answer::versioned(&convert::login::login(found), version))
}

/// Take a login of the gateway back
///
/// Gateways refuse it within a second and end its sessions. Its name is free then.
#[utoipa::path(
    delete, path = "/v1/environments/{environment}/gateway-logins/{name}", tag = "gateway", operation_id = "revokeGatewayLogin",
    params(InEnvironment, OfLogin, Precondition, OptionalKey),
    responses((status = 200, description = "It is revoked.", body = GatewayLogin)),
)]
async fn revoke(
    With(state): With<State>,
    call: Call,
    LoginPath(name): LoginPath,
    IfMatch(expected): IfMatch,
    _: Params<Nothing>,
) -> Result {
    let found = logins::revoke(&call.write(&Value::Null), state.deps(), &name, expected).await?;
    let version = found.version;
    Ok(answer::versioned(&convert::login::login(found), version))
}

/// Give a login of the gateway another password
///
/// The old one stays good for the grace, so that clients change over one by one; the one before that ends at once.
#[utoipa::path(
    post, path = "/v1/environments/{environment}/gateway-logins/{name}/@rotate", tag = "gateway", operation_id = "rotateGatewayLogin",
    params(InEnvironment, OfLogin, Precondition, OptionalKey),
    request_body(content = GatewayLoginRotation, example = json!({ "grace": "24h" })),
    responses((status = 200, description = "Keep the password; it is not shown again.", body = IssuedGatewayLogin)),
)]
async fn rotate(
    With(state): With<State>,
    call: Call,
    LoginPath(name): LoginPath,
    IfMatch(expected): IfMatch,
    _: Params<Nothing>,
    JsonBody(body): JsonBody,
) -> Result {
    let wanted = parse::rotation(&body)?;
    let wanted = RotateRequest { grace: wanted.grace, expires: wanted.expires };
    let issued = logins::rotate(&call.write(&body), state.deps(), &name, expected, wanted).await?;
    let version = issued.login.version;
    Ok(answer::versioned(&convert::login::issued(issued), version))
}
