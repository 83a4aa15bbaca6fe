//! Custom verbs: `…/acme:suspend` is routed as `…/acme/@suspend`, because the router knows whole segments only.

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
    let (head, last) = path.rsplit_once('/')?;
    let inner = if path.contains("/@") {
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
            ("/a:b/acme", None),
            ("/a/acme?x=a:b", None),
        ];
        for (path, expected) in cases {
            let found = rewrite(&path.parse().unwrap());
            assert_eq!(found.map(|uri| uri.to_string()).as_deref(), expected, "{path}");
        }
    }
}
