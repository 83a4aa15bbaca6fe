//! Who asks: a bearer token, on everything but health, the OpenAPI document and the address of the sign-in.
//!
//! The check comes before the routes, so that without a token every path looks the same. A token is one of ours, or an access
//! token of an issuer of people of the operator; its form alone says which.

use axum::extract::{Request, State as With};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tenantry_control::people;
use tenantry_control::tokens::{self, Bearer};
use tenantry_domain::access::token::MAX_BYTES;
use tenantry_domain::code::Code;
use tenantry_domain::name::EnvironmentName;

use super::is_open;
use crate::State;
use crate::problem::Failure;

/// The longest token of ours, in bytes.
const LONGEST: usize = 512;

/// Lets identified callers in.
pub async fn check(With(state): With<State>, mut request: Request, next: Next) -> Response {
    if is_open(request.uri().path()) {
        return next.run(request).await;
    }
    let is_proxy = request.uri().path().contains(FORWARD);
    match identify(&state, request.headers(), is_proxy).await {
        Ok(bearer) => {
            let bearer = narrow(bearer, request.uri().path());
            tracing::Span::current().record("actor", tracing::field::display(&bearer.actor));
            let place = environment(request.uri().path());
            request.extensions_mut().insert(bearer.clone());
            explain(next.run(request).await, &bearer, place.as_ref())
        }
        Err(failure) => failure.into_response(),
    }
}

/// Who the same credential names now, with the rights that it has where the path leads; nothing when it is not good any more, or
/// nobody can say.
pub(crate) async fn again(state: &State, headers: &HeaderMap, path: &str) -> Option<Bearer> {
    identify(state, headers, false).await.ok().map(|bearer| narrow(bearer, path))
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
    let found = match people::is_token(&token) {
        true => people::authenticate(state.deps(), &token).await?,
        false => tokens::authenticate(state.deps(), &token).await?,
    };
    // Unknown, wrong, expired and revoked tokens are told apart by nobody outside.
    found.ok_or_else(|| refuse("the token is not valid"))
}

/// The environment that a path names.
fn environment(path: &str) -> Option<EnvironmentName> {
    let rest = path.strip_prefix("/v1/environments/").or_else(|| path.strip_prefix("/scim/v2/environments/"))?;
    EnvironmentName::parse(rest.split(['/', ':']).next()?).ok()
}

/// What somebody may do where the request leads.
fn narrow(bearer: Bearer, path: &str) -> Bearer {
    match environment(path) {
        Some(environment) => bearer.within(&environment),
        None => bearer.outside(path.starts_with("/v1/operations/") || path.starts_with("/v1/users/")),
    }
}

/// A refusal in the words that help: somebody without a role learns that, and an environment that is not reached does not
/// exist, as for tokens of ours.
fn explain(mut response: Response, bearer: &Bearer, place: Option<&EnvironmentName>) -> Response {
    let is_denied = |failure: &Failure| failure.problem.code == Code::PolicyDenied.to_string();
    if bearer.reach.is_none() || !response.extensions().get::<Failure>().is_some_and(is_denied) {
        return response;
    }
    let failure = match (&bearer.person, place.filter(|place| !bearer.reaches(place))) {
        (Some(person), _) if bearer.is_roleless() => Failure::new(
            Code::PersonWithoutRole,
            format_args!("`{person}` is signed in, and none of its groups gives a role here"),
        ),
        (_, Some(place)) => {
            Failure::new(Code::EnvironmentNotFound, format_args!("environment `{place}` does not exist"))
        }
        _ => return response,
    };
    *response.status_mut() = StatusCode::from_u16(failure.kind().status()).unwrap_or(StatusCode::FORBIDDEN);
    response.extensions_mut().insert(failure);
    response
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
    let longest = if people::is_token(token) { MAX_BYTES } else { LONGEST };
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= longest).then_some(token)
}
