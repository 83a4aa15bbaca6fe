//! Forward-auth: a proxy asks for each request whose it is, and passes it on only when the tenant is open.
//!
//! The proxy is authenticated by its own token; what the client says in `Authorization` or `X-Tenant-ID` is never
//! believed here. A client that sends `X-Tenant-ID` must agree with where it sends its request to. An access token that the
//! proxy hands on in `X-Original-Authorization` is verified, and must agree as well. The answer's headers are what the proxy
//! hands to the service behind it.

use axum::extract::{OriginalUri, Path, State as With};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use tenantry_control::Refusal;
use tenantry_control::quotas::rates;
use tenantry_control::routes::{self, Openness, Resolution};
use tenantry_domain::access::{Claims, Source};
use tenantry_domain::code::{Code, Kind};
use tenantry_domain::limit::fields::Judged;

use utoipa_axum::router::OpenApiRouter;

use crate::State;
use crate::extract::{AccessToken, Call};
use crate::middleware::limit;
use crate::problem::{Failure, Result};

/// The proxies whose way of asking is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxy {
    /// `auth_request`: the request is in `X-Original-Host` and `X-Original-URI`; only 401 and 403 refuse.
    Nginx,
    /// `forwardAuth`: the request is in `X-Forwarded-Host` and `X-Forwarded-Uri`.
    Traefik,
    /// `ext_authz` over HTTP: the request is in `Host` and, behind the prefix, in the path.
    Envoy,
    /// A Lua action: as for nginx, with the answer's own status.
    Haproxy,
}

impl Proxy {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "nginx" => Some(Self::Nginx),
            "traefik" => Some(Self::Traefik),
            "envoy" => Some(Self::Envoy),
            "haproxy" => Some(Self::Haproxy),
            _ => None,
        }
    }

    /// The host and the path of the request that is asked for.
    fn asked(self, headers: &HeaderMap, uri: &Uri) -> Result<(String, String)> {
        let one = |name: &'static str| -> Result<Option<String>> {
            let mut given = headers.get_all(name).iter();
            match (given.next(), given.next()) {
                (None, _) => Ok(None),
                (Some(value), None) => match value.to_str() {
                    Ok(text) => Ok(Some(text.to_owned())),
                    Err(_) => Err(malformed(name, "is not text")),
                },
                (Some(_), Some(_)) => Err(malformed(name, "is given twice")),
            }
        };
        let need = |name: &'static str| one(name)?.ok_or_else(|| malformed(name, "is required of the proxy"));
        match self {
            Self::Nginx | Self::Haproxy => Ok((need("x-original-host")?, need("x-original-uri")?)),
            Self::Traefik => Ok((need("x-forwarded-host")?, need("x-forwarded-uri")?)),
            Self::Envoy => {
                // Over HTTP/2 the host is in the authority.
                let host = match uri.authority() {
                    Some(authority) => authority.as_str().to_owned(),
                    None => need("host")?,
                };
                // As it was sent: what is decoded here and not elsewhere would be two requests in one.
                let path = uri.path().split_once(ENVOY).map_or("/", |(_, path)| path);
                Ok((host, path.to_owned()))
            }
        }
    }

    /// What nginx does not know as a refusal would be an error of its own.
    fn status(self, failure: &Failure) -> StatusCode {
        let own = StatusCode::from_u16(failure.kind().status()).unwrap_or(StatusCode::FORBIDDEN);
        match (self, failure.kind()) {
            (Self::Nginx, Kind::Unauthenticated | Kind::Unavailable | Kind::Internal) => own,
            (Self::Nginx, _) => StatusCode::FORBIDDEN,
            (_, Kind::Invalid) => StatusCode::BAD_REQUEST,
            _ => own,
        }
    }
}

fn malformed(header: &str, message: &str) -> Failure {
    Failure::field(Code::MalformedRequest, header, message)
}

const TENANT: HeaderName = HeaderName::from_static("x-tenant-id");
const SLUG: HeaderName = HeaderName::from_static("x-tenant-slug");
const GENERATION: HeaderName = HeaderName::from_static("x-tenant-generation");
const ISOLATION: HeaderName = HeaderName::from_static("x-tenant-isolation");
const CELL: HeaderName = HeaderName::from_static("x-tenant-cell");
const CONTEXT: HeaderName = HeaderName::from_static("tenantry-context");
const ERROR: HeaderName = HeaderName::from_static("x-tenant-error");

/// What stands before the request's own path when Envoy asks.
const ENVOY: &str = "/forward-auth/envoy";

/// The path's part that names the proxy.
#[derive(Debug, serde::Deserialize)]
struct Parts {
    proxy: String,
}

/// The routes. They are no part of the document of the API: proxies ask with any method, and with the request's own path.
pub fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::new()
        .route("/v1/environments/{environment}/forward-auth/{proxy}", any(forward))
        .route("/v1/environments/{environment}/forward-auth/{proxy}/", any(forward))
        .route("/v1/environments/{environment}/forward-auth/{proxy}/{*rest}", any(forward))
}

/// Answers a proxy, whatever the method: proxies ask with that of the request.
async fn forward(
    With(state): With<State>,
    call: Call,
    Path(parts): Path<Parts>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Response {
    let Some(proxy) = Proxy::parse(&parts.proxy) else {
        let detail = "the proxies are nginx, haproxy, envoy and traefik";
        return Failure::new(Code::RouteNotFound, detail).into_response();
    };
    match judge(&state, call, proxy, &uri, &headers).await {
        Ok(response) => response,
        Err(failure) => refuse(proxy, failure),
    }
}

async fn judge(state: &State, call: Call, proxy: Proxy, uri: &Uri, headers: &HeaderMap) -> Result<Response> {
    let (host, path) = proxy.asked(headers, uri)?;
    let said = match headers.get_all(TENANT).iter().collect::<Vec<_>>().as_slice() {
        [] => None,
        [one] => Some(one.to_str().map_err(|_| malformed("x-tenant-id", "is not text"))?),
        _ => return Err(malformed("x-tenant-id", "is given twice")),
    };
    let cx = call.read();
    let token = match AccessToken::of(headers)?.0 {
        Some(token) => Some(routes::token::claim(&cx, state.deps(), &token).await?),
        None => None,
    };
    let claims = Claims { host: Some(&host), path: Some(&path), header: said, token: token.as_deref() };
    let found = routes::resolve(&cx, state.deps(), &claims).await?;
    if found.sources == [Source::Header] {
        // The client's word alone.
        return Err(Refusal::Nameless.into());
    }
    let tenant = &found.tenant;
    admit(tenant)?;
    let judged = rates::request(state.deps(), &cx.environment, tenant).await;
    if let Some(judged) = judged.filter(|judged| !judged.verdict.allowed) {
        return Ok(too_many(proxy, tenant, &judged));
    }
    let mut response = StatusCode::OK.into_response();
    let answer = response.headers_mut();
    limit::tell(answer, judged.as_slice());
    let context = routes::context::token(state.deps(), &cx.environment, tenant)?;
    for (name, text) in [
        (TENANT, tenant.id.to_string()),
        (SLUG, tenant.slug.to_string()),
        (GENERATION, tenant.generation.to_string()),
        (ISOLATION, tenant.isolation.map(|level| level.to_string()).unwrap_or_default()),
        (CELL, tenant.cell.as_ref().map(ToString::to_string).unwrap_or_default()),
        (CONTEXT, context),
    ] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            answer.insert(name, value);
        }
    }
    Ok(response)
}

/// Whether the tenant's users are let in.
fn admit(tenant: &Resolution) -> Result<()> {
    let code = match tenant.state {
        Openness::Open => return Ok(()),
        Openness::Preparing => Code::TenantPreparing,
        Openness::Suspended => Code::TenantSuspended,
        Openness::Archived => Code::TenantArchived,
    };
    Err(Failure::new(code, format_args!("tenant `{}` is not open", tenant.slug)))
}

/// The tenant's requests come too often for its plan. A proxy that knows fewer words gets the same in headers.
fn too_many(proxy: Proxy, tenant: &Resolution, judged: &Judged) -> Response {
    let detail = format_args!("tenant `{}` sends more requests than its plan allows", tenant.slug);
    let mut response = refuse(proxy, Failure::new(Code::TooManyRequests, detail));
    limit::wait(response.headers_mut(), judged);
    limit::tell(response.headers_mut(), &[*judged]);
    response
}

fn refuse(proxy: Proxy, failure: Failure) -> Response {
    let status = proxy.status(&failure);
    let code = HeaderValue::from_str(&failure.problem.code);
    let mut response = failure.with_status(status).into_response();
    if let Ok(code) = code {
        response.headers_mut().insert(ERROR, code);
    }
    response
}
