//! Who is who in the logs: each request gets an id of its own and belongs to a chain of requests.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State as With};
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use tenantry_domain::id::RequestId;
use tracing::Instrument as _;

use crate::State;

/// The ids of one request.
#[derive(Debug, Clone)]
pub struct Ids {
    /// Minted here.
    pub request: RequestId,
    /// The caller's, or the request's own id.
    pub correlation: String,
}

/// The route's template, left in the answer for those who count.
#[derive(Debug, Clone)]
pub struct Route(pub String);

/// A caller's chain must be short and printable: it goes into headers, logs and audit entries.
fn is_chain(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\' | b'<' | b'>'))
}

/// Gives the request its ids, opens its span, counts it, and puts the ids into the answer.
pub async fn assign(With(state): With<State>, mut request: Request, next: Next) -> Response {
    let id = RequestId::from_uuid(uuid::Uuid::now_v7());
    let given =
        request.headers().get("x-correlation-id").and_then(|value| value.to_str().ok()).filter(|text| is_chain(text));
    let correlation = given.map_or_else(|| id.to_string(), ToOwned::to_owned);
    let span = tracing::info_span!(
        "request",
        method = %request.method(),
        path = request.uri().path(),
        request_id = %id,
        correlation_id = correlation,
        actor = tracing::field::Empty,
        status = tracing::field::Empty,
    );
    let method = request.method().clone();
    request.extensions_mut().insert(Ids { request: id, correlation: correlation.clone() });
    let (began, counted) = (Instant::now(), state.metrics().enter());
    let mut response = next.run(request).instrument(span.clone()).await;
    drop(counted);
    let route = response.extensions().get::<Route>().map_or("none", |route| route.0.as_str());
    let status = response.status().as_u16();
    state.metrics().answered(known(&method), route, status, began.elapsed());
    span.record("status", status);
    span.in_scope(|| {
        tracing::info!(route, millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX), "answered")
    });
    let headers = response.headers_mut();
    for (name, text) in [("x-request-id", id.to_string()), ("x-correlation-id", correlation)] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    }
    response
}

/// Leaves the route's template in the answer. Sits at the routes, where the template is known.
pub async fn route(matched: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(matched) = matched {
        response.extensions_mut().insert(Route(matched.as_str().replace("/@", ":")));
    }
    response
}

/// Methods are free text; counters must not grow by them.
fn known(method: &axum::http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
