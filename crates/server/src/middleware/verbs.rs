//! Custom verbs: `…/acme:suspend` is routed as `…/acme/@suspend`, because the router knows whole segments only.
//!
//! Environments and tenants have one spelling: what comes before the router goes by the path as it was sent, and the router
//! would decode it. No name of either needs an escape, so one that has any leads nowhere.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;
use axum::response::Response;
use tower::Service;

/// The routes behind the rewriting.
#[derive(Debug, Clone)]
pub struct Verbs {
    routes: Router,
}

impl Verbs {
    /// Wraps the routes.
    #[must_use]
    pub const fn new(routes: Router) -> Self {
        Self { routes }
    }
}

impl Service<Request> for Verbs {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request>::poll_ready(&mut self.routes, cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        if let Some(uri) = rewrite(request.uri()) {
            *request.uri_mut() = uri;
        }
        let answer = self.routes.call(request);
        Box::pin(answer)
    }
}

/// The inner form of a path, if it differs. The inner form itself leads nowhere from outside.
fn rewrite(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    // The ids of schemas have colons, and the protocol has no custom verbs.
    if crate::api::scim::refused::is_here(path) && !path.contains("/@") && !is_disguised(path) {
        return None;
    }
    let (head, last) = path.rsplit_once('/')?;
    let inner = if path.contains("/@") || is_disguised(path) {
        "/@".to_owned()
    } else {
        let (name, verb) = last.split_once(':')?;
        format!("{head}/{name}/@{verb}")
    };
    let inner = match uri.query() {
        Some(query) => format!("{inner}?{query}"),
        None => inner,
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(inner).ok()?);
    Uri::from_parts(parts).ok()
}

/// Whether environment or tenant are escaped.
fn is_disguised(path: &str) -> bool {
    let mut before = "";
    path.split('/').take(7).any(|part| {
        let is_name = matches!(before, "environments" | "tenants");
        before = part;
        is_name && part.contains('%')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_verbs_of_the_last_segment_are_rewritten() {
        let cases = [
            ("/a/acme:suspend", Some("/a/acme/@suspend")),
            ("/a/acme:suspend?wait=5s", Some("/a/acme/@suspend?wait=5s")),
            ("/a/manifests:apply", Some("/a/manifests/@apply")),
            ("/a/x:y:z", Some("/a/x/@y:z")),
            ("/a/acme/@suspend", Some("/@")),
            ("/a/acme%3Asuspend", None),
            ("/v1/environments/%70rod/tenants", Some("/@")),
            ("/v1/environments/prod/tenants/%61cme", Some("/@")),
            ("/v1/environments/prod/tenants/acme%3Asuspend", Some("/@")),
            ("/scim/v2/environments/prod/tenants/%61cme/Users", Some("/@")),
            ("/v1/environments/prod/flags/a%2Eb", None),
            ("/v1/environments/prod/forward-auth/envoy/tenants/a/tenants/%61", None),
            ("/a:b/acme", None),
            ("/a/acme?x=a:b", None),
            ("/scim/v2/x/Schemas/urn:a:b", None),
            ("/scim/v2/x/@Users", Some("/@")),
        ];
        for (path, expected) in cases {
            let found = rewrite(&path.parse().unwrap());
            assert_eq!(found.map(|uri| uri.to_string()).as_deref(), expected, "{path}");
        }
    }
}
