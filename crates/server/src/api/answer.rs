//! Answers to mutations: accepted work with the place to follow it, or what is already so.

use std::time::Duration;

use axum::Json;
use axum::http::header::{ETAG, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tenantry_control::tenants::{self, TenantRef};
use tenantry_control::view::{Accepted, OperationStatus, Receipt};
use tenantry_control::{Ctx, operations};
use tenantry_domain::id::OperationId;

use crate::State;
use crate::convert;
use crate::problem::Result;

/// Between two looks at an operation. Nudges of this process come sooner; those of other replicas do not.
pub(super) const LOOK: Duration = Duration::from_millis(200);

fn set(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

/// The version's tag.
pub(super) fn etag(version: i64) -> String {
    format!("\"v{version}\"")
}

/// A value with its version.
pub(super) fn versioned<T: Serialize>(value: &T, version: i64) -> Response {
    let mut response = Json(value).into_response();
    set(response.headers_mut(), ETAG, &etag(version));
    response
}

/// A value with the operation that follows, if one does.
pub(super) fn following<T: Serialize>(value: &T, operation: Option<OperationId>, is_done: bool) -> Response {
    let status = if operation.is_some() && !is_done { StatusCode::ACCEPTED } else { StatusCode::OK };
    let mut response = (status, Json(value)).into_response();
    if let Some(id) = operation {
        let headers = response.headers_mut();
        set(headers, HeaderName::from_static("operation-id"), &id.to_string());
        set(headers, LOCATION, &format!("/v1/operations/{id}"));
    }
    response
}

/// The answer to a change of one tenant; waits for its operation when the caller asked for that.
pub(super) async fn accepted(state: &State, cx: &Ctx, accepted: Accepted, wait: Option<Duration>) -> Result {
    let mut tenant = accepted.tenant;
    let mut is_done = accepted.operation.is_none();
    if let (Some(wait), Some(id)) = (wait, accepted.operation) {
        is_done = settle(state, cx, id, wait).await?;
        // The caller waited to see what came of it.
        tenant = tenants::get(cx, state.deps(), &TenantRef::Id(tenant.id)).await?;
    }
    let shown = convert::tenant::tenant(&tenant);
    let mut response = following(&shown, accepted.operation, is_done);
    set(response.headers_mut(), ETAG, &etag(tenant.version));
    if let Some(Receipt { seq, hash }) = &accepted.receipt {
        set(response.headers_mut(), HeaderName::from_static("audit-receipt"), &format!("seq={seq};hash={hash}"));
    }
    Ok(response)
}

/// How long to rest behind a look: whoever watches an operation of thousands of tenants does not cost more than a tenth of
/// a connection.
pub(super) fn rest(least: Duration, took: Duration) -> Duration {
    least.max(took * 10).min(Duration::from_secs(2))
}

/// Waits for an operation's end; says whether everything was done. Ends early when the process does.
pub(super) async fn settle(state: &State, cx: &Ctx, id: OperationId, wait: Duration) -> Result<bool> {
    let end = tokio::time::Instant::now() + wait;
    let mut changes = state.deps().changes();
    let draining = state.draining();
    loop {
        let began = tokio::time::Instant::now();
        let status = operations::standing(cx, state.deps(), id).await?;
        let rest = rest(Duration::from_millis(10), began.elapsed());
        if status.is_final() || tokio::time::Instant::now() >= end || draining.is_cancelled() {
            return Ok(status == OperationStatus::Completed);
        }
        let _ = tokio::time::timeout_at(end, async {
            tokio::select! {
                _ = changes.changed() => tokio::time::sleep(rest).await,
                () = tokio::time::sleep(LOOK.max(rest)) => {}
                () = draining.cancelled() => {}
            }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_watches_much_looks_seldom() {
        let (short, least) = (Duration::from_millis(2), Duration::from_millis(100));
        assert_eq!(rest(least, short), least);
        assert_eq!(rest(least, Duration::from_millis(50)), Duration::from_millis(500));
        assert_eq!(rest(least, Duration::from_secs(9)), Duration::from_secs(2));
    }
}
