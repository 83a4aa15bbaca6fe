//! The tower layer: finds the tenant of each request, and makes it the current one for exactly that request.
//!
//! INVARIANT: the application is called with an open tenant that every source of the request names, or not at all. The
//! context is gone after success, error and cancellation.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::Uri;
use axum::response::{IntoResponse as _, Response};
use tower::{Layer, Service};
use tracing::Instrument as _;

use crate::context;
use crate::error::{Error, Mismatch};
use crate::known::Look;
use crate::sources::Sources;
use crate::span;
use crate::tenant::Tenant;
use crate::tenantry::Tenantry;
use crate::web::extract::CurrentTenant;
use crate::web::identify::{Facts, Found, Identification, identify};

/// The tenant claim of an access token. An authentication layer that has *verified* a token puts it into the request's
/// extensions, outside of the tenant layer; nobody else can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenTenant(pub String);

/// Puts tenants into requests.
#[derive(Debug, Clone)]
pub struct TenantLayer {
    tenantry: Tenantry,
    identification: Arc<Identification>,
}

impl TenantLayer {
    /// A layer that looks for tenants where `identification` says.
    #[must_use]
    pub fn new(tenantry: Tenantry, identification: Identification) -> Self {
        Self { tenantry, identification: Arc::new(identification) }
    }

    /// Puts the layer around a whole application. Use this rather than [`Router::layer`] where paths name tenants: the
    /// path is rewritten before routes are looked for. Layers that come first (authentication) go around the result.
    pub fn wrap(self, router: Router) -> Router {
        Router::new().fallback_service(self.layer(router))
    }
}

impl<S> Layer<S> for TenantLayer {
    type Service = TenantService<S>;
    fn layer(&self, inner: S) -> TenantService<S> {
        TenantService { inner, layer: self.clone() }
    }
}

/// An application inside of [`TenantLayer`].
#[derive(Debug, Clone)]
pub struct TenantService<S> {
    inner: S,
    layer: TenantLayer,
}

type Answer<E> = Pin<Box<dyn Future<Output = Result<Response, E>> + Send>>;

impl<S> Service<Request> for TenantService<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answer<Infallible>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        // The instance that was polled ready is the one to call.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let layer = self.layer.clone();
        Box::pin(async move {
            if layer.identification.excludes(request.uri().path()) {
                return context::scope(None, inner.call(request)).await;
            }
            match layer.admit(&mut request).await {
                Ok(Some(tenant)) => {
                    let parent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
                    let span = span::request(&tenant, request.method().as_str(), parent);
                    let answer = async { inner.call(request).await };
                    context::scope(Some(tenant), answer).instrument(span).await
                }
                Ok(None) => context::scope(None, inner.call(request)).await,
                Err(error) => Ok(error.into_response()),
            }
        })
    }
}

impl TenantLayer {
    /// Finds the tenant and puts it into the request; nothing for a request that may go on without.
    async fn admit(&self, request: &mut Request<Body>) -> Result<Option<Tenant>, Error> {
        let token = request.extensions().get::<TokenTenant>().map(|token| token.0.clone());
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
        let facts = Facts { headers: request.headers(), uri: request.uri(), peer, token: token.as_deref() };
        let found = identify(&facts, &self.identification)?;
        if found.sources.is_empty() && found.context.is_none() {
            return if self.identification.is_optional() {
                Ok(None)
            } else {
                Err(Error::TenantMismatch(Mismatch::Nameless))
            };
        }
        let tenant = self.resolve(&found).await?.admitted()?;
        let trace = request.headers().get("traceparent").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let Found { mount, context, .. } = found;
        if !mount.is_empty() {
            *request.uri_mut() = below(request.uri(), &mount)?;
        }
        let current = CurrentTenant::new(self.tenantry.clone(), tenant.clone(), mount, context, trace);
        request.extensions_mut().insert(current);
        Ok(Some(tenant))
    }

    async fn resolve(&self, found: &Found) -> Result<Tenant, Error> {
        let Some(token) = &found.context else {
            return self.tenantry.resolve(&found.sources, Look::Cached).await;
        };
        let said = self.tenantry.verify(token).await?;
        let alone = Sources::id(said.tenant);
        let sources = if found.sources.is_empty() { &alone } else { &found.sources };
        let tenant = self.tenantry.resolve(sources, Look::Cached).await?;
        if tenant.id() == said.tenant { Ok(tenant) } else { Err(Error::TenantMismatch(Mismatch::Disagree)) }
    }
}

/// The target without the part that names the tenant.
fn below(uri: &Uri, mount: &str) -> Result<Uri, Error> {
    let whole = uri.path_and_query().map_or("/", |target| target.as_str());
    let rest = whole.strip_prefix(mount).unwrap_or(whole);
    let rest = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
    let mut parts = uri.clone().into_parts();
    let target = rest.parse().map_err(|_| Error::TenantNotFound(crate::error::Absent::Path))?;
    parts.path_and_query = Some(target);
    Uri::from_parts(parts).map_err(|_| Error::TenantNotFound(crate::error::Absent::Path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_application_sees_the_rest_of_the_path() {
        for (whole, rest) in [
            ("/t/acme/orders?x=1", "/orders?x=1"),
            ("/t/acme", "/"),
            ("/t/acme?x=1", "/?x=1"),
            ("/t/acme//x", "//x"),
            ("http://example.com/t/acme/a%2Fb", "http://example.com/a%2Fb"),
        ] {
            assert_eq!(below(&whole.parse().unwrap(), "/t/acme").unwrap().to_string(), rest, "{whole}");
        }
    }
}
