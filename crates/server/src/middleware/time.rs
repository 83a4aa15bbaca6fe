//! No request without a deadline.

use std::time::Duration;

use axum::extract::{Request, State as With};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tenantry_domain::code::Code;

use crate::State;
use crate::problem::Failure;

/// How long a caller may let the server wait for an operation.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Ends a request that takes too long. Its transaction goes with it: a dropped connection is closed, not reused.
pub async fn bound(With(state): With<State>, request: Request, next: Next) -> Response {
    let waits = request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("wait=")));
    let bound = state.options().request + if waits { LONGEST_WAIT } else { Duration::ZERO };
    match tokio::time::timeout(bound, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            tracing::warn!(seconds = bound.as_secs(), "request took too long");
            Failure::new(Code::Timeout, format_args!("the request was not answered within {} s", bound.as_secs()))
                .into_response()
        }
    }
}
