//! Refusals as problem documents (RFC 9457). For people outside: no cause, no address, no foreign name.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::error::Error;

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut problem = json!({
            "type": "about:blank",
            "title": self.title(),
            "status": status.as_u16(),
            "reason": self.reason(),
            "hint": self.hint(),
        });
        // What went wrong on our side is for the log; what is wrong with the request is for the caller.
        if status.is_server_error() {
            tracing::warn!(reason = self.reason(), error = %self, "a tenant's request was not served");
        } else {
            problem["detail"] = json!(self.to_string());
        }
        let mut response = (status, problem.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
