//! A handler that panics costs its own request, nothing else.

use std::panic::AssertUnwindSafe;

use axum::extract::{Request, State as With};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use tenantry_domain::code::Code;

use crate::State;
use crate::problem::Failure;

/// Turns a panic into a problem. What it said is logged, not told.
pub async fn catch(With(state): With<State>, request: Request, next: Next) -> Response {
    // The request is gone with the panic; nothing that it touched is looked at again.
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(payload) => {
            state.metrics().panicked();
            let text = payload.downcast_ref::<&str>().copied();
            let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
            tracing::error!(panic = text, "a handler panicked");
            Failure::new(Code::Internal, "an internal error").into_response()
        }
    }
}
