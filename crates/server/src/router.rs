//! The routes and the guards before them.
//!
//! From the outside in: ids and span, security headers, problems written out, panics caught, shedding, time, the
//! token and how often somebody may call, the record of attempts, custom verbs; then the route. So whatever a guard refuses is a problem with ids,
//! nobody without a token learns which routes exist, and no work is done for a request that will be turned away.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use utoipa_axum::router::OpenApiRouter;

use crate::middleware::{authorize, bearer, headers, ids, limit, panics, render, shed, time, verbs, witness};
use crate::problem::Failure;
use crate::{State, api};

/// All routes, with their documentation.
pub(crate) fn routes() -> OpenApiRouter<State> {
    OpenApiRouter::with_openapi(crate::openapi::head())
        .merge(api::health::routes())
        .merge(api::manifests::routes())
        .merge(api::tenants::routes())
        .merge(api::lifecycle::routes())
        .merge(api::history::routes())
        .merge(api::insight::routes())
        .merge(api::domains::routes())
        .merge(api::guard::routes())
        .merge(api::catalog::routes())
        .merge(api::operations::routes())
        .merge(api::rollouts::routes())
        .merge(api::audit::routes())
        .merge(api::events::routes())
        .merge(api::feed::routes())
        .merge(api::webhooks::routes())
        .merge(api::streams::routes())
        .merge(api::incidents::routes())
        .merge(api::routes::routes())
        .merge(api::logins::routes())
        .merge(api::forward::routes())
        .merge(api::tokens::routes())
        .merge(api::access::routes())
        .merge(api::approvals::routes())
        .merge(api::members::routes())
        .merge(api::pools::routes())
        .merge(api::quotas::routes())
        .merge(api::flags::routes())
        .merge(api::usage::routes())
        .merge(api::scim::routes())
        .merge(api::people::routes())
        .merge(api::plans::routes())
}

/// The door, ready to be served.
pub fn router(state: State) -> Router {
    let (routes, _) = routes().split_for_parts();
    let routes = routes
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        // Bodies are bounded by their extractors, which know the route's bound.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(authorize::check))
        .layer(from_fn(ids::route))
        .with_state(state.clone());
    Router::new()
        .fallback_service(verbs::Verbs::new(routes))
        .layer(from_fn_with_state(state.clone(), witness::record))
        .layer(from_fn_with_state(state.clone(), limit::admit))
        .layer(from_fn_with_state(state.clone(), bearer::check))
        .layer(from_fn_with_state(state.clone(), limit::failures))
        .layer(from_fn_with_state(state.clone(), time::bound))
        .layer(from_fn_with_state(state.clone(), shed::admit))
        .layer(from_fn_with_state(state.clone(), panics::catch))
        .layer(from_fn(render::problems))
        .layer(from_fn(headers::secure))
        .layer(from_fn_with_state(state, ids::assign))
}

async fn no_route() -> Failure {
    Failure::new(tenantry_domain::code::Code::RouteNotFound, "there is no such route")
}

async fn no_method() -> Failure {
    Failure::new(tenantry_domain::code::Code::MethodNotAllowed, "the route does not know this method")
}
