//! Problems written out, with the request's chain; also those that the framework answers by itself.

use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::middleware::Next;
use axum::response::Response;
use tenantry_api::problem::MEDIA_TYPE;

use super::ids::{Ids, Route};
use crate::api::scim::refused as scim;
use crate::problem::{Failure, Foreign, of_status};

/// Turns every answer that is an error into a problem document.
pub async fn problems(request: Request, next: Next) -> Response {
    let correlation = request.extensions().get::<Ids>().map(|ids| ids.correlation.clone());
    let is_scim = scim::is_here(request.uri().path());
    let mut response = next.run(request).await;
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    if response.extensions().get::<Foreign>().is_some() {
        return response;
    }
    let is_routed = response.extensions().get::<Route>().is_some();
    let failure = response.extensions_mut().remove::<Failure>().unwrap_or_else(|| of_status(status, is_routed));
    if is_scim {
        let (status, body) = scim::write(&failure, &response);
        *response.status_mut() = status;
        return written(response, scim::MEDIA, body);
    }
    let mut problem = *failure.problem;
    problem.correlation_id = correlation;
    *response.status_mut() = axum::http::StatusCode::from_u16(problem.status).unwrap_or(status);
    // Our shape holds nothing that JSON cannot say.
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    written(response, MEDIA_TYPE, body)
}

fn written(mut response: Response, media: &'static str, body: Vec<u8>) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    headers.remove(CONTENT_LENGTH);
    *response.body_mut() = Body::from(body);
    response
}
