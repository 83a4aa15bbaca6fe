//! Who asks: a bearer token, on everything but health and the OpenAPI document.
//!
//! The check comes before the routes, so that without a token every path looks the same.

use axum::extract::{Request, State as With};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tenantry_control::tokens::{self, Bearer};
use tenantry_domain::code::Code;

use super::is_open;
use crate::State;
use crate::problem::Failure;

/// Lets identified callers in.
pub async fn check(With(state): With<State>, mut request: Request, next: Next) -> Response {
    if is_open(request.uri().path()) {
        return next.run(request).await;
    }
    let is_proxy = request.uri().path().contains(FORWARD);
    match identify(&state, request.headers(), is_proxy).await {
        Ok(bearer) => {
            tracing::Span::current().record("actor", tracing::field::display(&bearer.actor));
            request.extensions_mut().insert(bearer);
            next.run(request).await
        }
        Err(failure) => failure.into_response(),
    }
}

/// Routes that proxies ask. Some can send a token only as a password.
const FORWARD: &str = "/forward-auth/";

async fn identify(state: &State, headers: &HeaderMap, is_proxy: bool) -> Result<Bearer, Failure> {
    let refuse = |detail: &str| Failure::new(Code::Unauthenticated, detail);
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(header), None) = (given.next(), given.next()) else {
        return Err(refuse("the request needs exactly one Authorization header"));
    };
    let text = header.to_str().ok();
    let token = text
        .and_then(bearer_of)
        .map(ToOwned::to_owned)
        .or_else(|| text.filter(|_| is_proxy).and_then(password_of))
        .ok_or_else(|| refuse("the Authorization header holds no bearer token"))?;
    // Unknown, wrong, expired and revoked tokens are told apart by nobody outside.
    tokens::authenticate(state.deps(), &token).await?.ok_or_else(|| refuse("the token is not valid"))
}

/// The password of `Basic` credentials (RFC 7617).
fn password_of(header: &str) -> Option<String> {
    let (scheme, credentials) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || credentials.len() > 1024 {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
    text.split_once(':').map(|(_, password)| password.to_owned()).filter(|password| !password.is_empty())
}

/// The scheme's name has no case (RFC 9110, section 11.1).
fn bearer_of(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= 512).then_some(token)
}
