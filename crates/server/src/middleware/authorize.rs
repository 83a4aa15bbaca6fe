//! The right that each route takes, before anything is read or looked up for it.
//!
//! Use cases judge again, on what they found. Here it is made sure that there is no route without a case: one that is not in
//! the tables is answered to nobody, and a test compares them with the documented routes.

use axum::extract::{MatchedPath, Request};
use axum::http::header::ALLOW;
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tenantry_control::Refusal;
use tenantry_control::tokens::Bearer;
use tenantry_domain::code::Code;
use tenantry_domain::policy;

use super::is_open;
use super::witness::ACTIONS;
use crate::problem::Failure;

/// Calls that change nothing, with the right that they take. Those that change something are in [`ACTIONS`].
pub const READS: &[(Method, &str, &str)] = &[
    (Method::GET, "/metrics", "metrics.read"),
    (Method::GET, "/ofrep/v1/configuration", "flag.evaluate"),
    (Method::POST, "/ofrep/v1/evaluate/flags", "flag.evaluate"),
    (Method::POST, "/ofrep/v1/evaluate/flags/{key}", "flag.evaluate"),
    (Method::GET, "/scim/v2/environments/{environment}/tenants/{tenant}/Groups", "scim.read"),
    (Method::GET, "/scim/v2/environments/{environment}/tenants/{tenant}/Groups/{id}", "scim.read"),
    (Method::GET, "/scim/v2/environments/{environment}/tenants/{tenant}/ResourceTypes", "scim.read"),
    (Method::GET, "/scim/v2/environments/{environment}/tenants/{tenant}/ResourceTypes/{id}", "scim.read"),
    (Method::GET, "/scim/v2/environments/{environment}/tenants/{tenant}/Schemas", "scim.read"),
    (Method::GET, "/scim/v2/environments/{environment}/tenants/{tenant}/Schemas/{id}", "scim.read"),
    (Method::GET, "/scim/v2/environments/{environment}/tenants/{tenant}/ServiceProviderConfig", "scim.read"),
    (Method::GET, "/scim/v2/environments/{environment}/tenants/{tenant}/Users", "scim.read"),
    (Method::GET, "/scim/v2/environments/{environment}/tenants/{tenant}/Users/{id}", "scim.read"),
    (Method::POST, "/scim/v2/environments/{environment}/tenants/{tenant}/.search", "scim.read"),
    (Method::POST, "/scim/v2/environments/{environment}/tenants/{tenant}/Groups/.search", "scim.read"),
    (Method::POST, "/scim/v2/environments/{environment}/tenants/{tenant}/Users/.search", "scim.read"),
    (Method::GET, "/v1/context-keys", "tenant.resolve"),
    (Method::GET, "/v1/environments/{environment}/access-requests", "access.read"),
    (Method::GET, "/v1/environments/{environment}/access-requests/{grant}", "access.read"),
    (Method::GET, "/v1/environments/{environment}/approvals", "approval.read"),
    (Method::GET, "/v1/environments/{environment}/approvals/{approval}", "approval.read"),
    (Method::GET, "/v1/environments/{environment}/policy", "policy.read"),
    (Method::GET, "/v1/environments/{environment}/apps", "catalog.read"),
    (Method::GET, "/v1/environments/{environment}/apps/{name}", "catalog.read"),
    (Method::GET, "/v1/environments/{environment}/apps/{name}/rollout-plan", "rollout.read"),
    (Method::GET, "/v1/environments/{environment}/apps/{name}/versions", "catalog.read"),
    (Method::GET, "/v1/environments/{environment}/apps/{name}/versions/{version}", "catalog.read"),
    (Method::GET, "/v1/environments/{environment}/audit", "audit.read"),
    (Method::POST, "/v1/environments/{environment}/audit:verify", "audit.verify"),
    (Method::GET, "/v1/environments/{environment}/cells", "catalog.read"),
    (Method::GET, "/v1/environments/{environment}/cells/{name}", "catalog.read"),
    (Method::GET, "/v1/environments/{environment}/cells/{name}/isolation", "isolation.read"),
    (Method::GET, "/v1/environments/{environment}/cells/{name}/isolation/report", "isolation.read"),
    (Method::GET, "/v1/environments/{environment}/cells/{name}/versions", "catalog.read"),
    (Method::GET, "/v1/environments/{environment}/cells/{name}/versions/{version}", "catalog.read"),
    (Method::GET, "/v1/environments/{environment}/events", "event.read"),
    (Method::GET, "/v1/environments/{environment}/events/stream", "event.read"),
    (Method::GET, "/v1/environments/{environment}/flags", "flag.read"),
    (Method::GET, "/v1/environments/{environment}/flags/{name}", "flag.read"),
    (Method::GET, "/v1/environments/{environment}/gateway-logins", "gateway.login.read"),
    (Method::GET, "/v1/environments/{environment}/gateway-logins/{name}", "gateway.login.read"),
    (Method::GET, "/v1/environments/{environment}/level-deviations", "tenant.read"),
    (Method::POST, "/v1/environments/{environment}/manifests:plan", "manifests.plan"),
    (Method::GET, "/v1/environments/{environment}/meters", "catalog.read"),
    (Method::GET, "/v1/environments/{environment}/meters/{name}", "catalog.read"),
    (Method::GET, "/v1/environments/{environment}/meters/{name}/versions", "catalog.read"),
    (Method::GET, "/v1/environments/{environment}/meters/{name}/versions/{version}", "catalog.read"),
    (Method::GET, "/v1/environments/{environment}/ofrep/v1/configuration", "flag.evaluate"),
    (Method::POST, "/v1/environments/{environment}/ofrep/v1/evaluate/flags", "flag.evaluate"),
    (Method::POST, "/v1/environments/{environment}/ofrep/v1/evaluate/flags/{key}", "flag.evaluate"),
    (Method::GET, "/v1/environments/{environment}/operations", "operation.read"),
    (Method::GET, "/v1/environments/{environment}/operations/{operation}", "operation.read"),
    (Method::POST, "/v1/environments/{environment}/placements:explain", "placement.explain"),
    (Method::GET, "/v1/environments/{environment}/plans", "catalog.read"),
    (Method::GET, "/v1/environments/{environment}/plans/{name}", "catalog.read"),
    (Method::GET, "/v1/environments/{environment}/plans/{name}/bindings", "catalog.read"),
    (Method::GET, "/v1/environments/{environment}/plans/{name}/versions", "catalog.read"),
    (Method::GET, "/v1/environments/{environment}/plans/{name}/versions/{version}", "catalog.read"),
    (Method::GET, "/v1/environments/{environment}/regions", "catalog.read"),
    (Method::GET, "/v1/environments/{environment}/regions/{name}", "catalog.read"),
    (Method::GET, "/v1/environments/{environment}/regions/{name}/versions", "catalog.read"),
    (Method::GET, "/v1/environments/{environment}/regions/{name}/versions/{version}", "catalog.read"),
    (Method::GET, "/v1/environments/{environment}/resolve", "tenant.resolve"),
    (Method::GET, "/v1/environments/{environment}/rollouts", "rollout.read"),
    (Method::GET, "/v1/environments/{environment}/rollouts/{rollout}", "rollout.read"),
    (Method::GET, "/v1/environments/{environment}/rollouts/{rollout}/targets", "rollout.read"),
    (Method::GET, "/v1/environments/{environment}/tenants", "tenant.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}", "tenant.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/audit", "audit.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/directory", "directory.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/directory/groups", "directory.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/domains", "domain.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/drift", "tenant.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/additions", "tenant.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/entitlements", "tenant.read"),
    (Method::GET, "/v1/environments/{environment}/streams", "stream.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/events", "event.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/events/stream", "event.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/feature-usage", "tenant.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/features", "flag.evaluate"),
    (Method::POST, "/v1/environments/{environment}/tenants/{tenant}/features/{name}:use", "flag.use"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/identity-pool", "identity.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/identity-pool/connections", "identity.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/invitations", "invitation.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/invitations/{invitation}", "invitation.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/isolation", "isolation.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/isolation/report", "isolation.read"),
    (Method::POST, "/v1/environments/{environment}/tenants/{tenant}/limits/{class}:take", "limit.take"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/members", "member.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/members/{user}", "member.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/members/{user}/permissions", "member.read"),
    (Method::POST, "/v1/environments/{environment}/tenants/{tenant}/members:check", "member.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/operations", "operation.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/ownership-offer", "member.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/placement", "tenant.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/quotas", "quota.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/roles", "role.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/roles/{name}", "role.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/route", "tenant.route"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/versions", "tenant.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/versions/{version}", "tenant.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/versions:compare", "tenant.read"),
    (Method::GET, "/v1/environments/{environment}/tokens", "token.read"),
    (Method::GET, "/v1/environments/{environment}/tokens/{token}", "token.read"),
    (Method::GET, "/v1/environments/{environment}/tenants/{tenant}/usage", "usage.read"),
    (Method::GET, "/v1/environments/{environment}/usage", "usage.read"),
    // Counting decides nothing; whoever is refused is told in the answer, event by event.
    (Method::POST, "/v1/environments/{environment}/usage", "usage.write"),
    (Method::GET, "/v1/environments/{environment}/webhooks", "webhook.read"),
    (Method::GET, "/v1/environments/{environment}/webhooks/{webhook}", "webhook.read"),
    (Method::GET, "/v1/environments/{environment}/webhooks/{webhook}/attempts", "webhook.read"),
    (Method::GET, "/v1/environments/{environment}/webhooks/{webhook}/dead-letters", "webhook.read"),
    (Method::GET, "/v1/environments/{environment}/webhooks/{webhook}/replays", "webhook.read"),
    (Method::GET, "/v1/environments/{environment}/incidents", "incident.read"),
    (Method::GET, "/v1/environments/{environment}/incidents/{incident}", "incident.read"),
    // They change nothing, and say how many people there are: whoever may tell them may know.
    (Method::POST, "/v1/environments/{environment}/incidents:preview", "incident.open"),
    (Method::POST, "/v1/environments/{environment}/incidents/{incident}:preview", "incident.update"),
    (Method::GET, "/v1/environments/{environment}/notifications", "notification.read"),
    (Method::GET, "/v1/operations/{operation}", "operation.read"),
    (Method::GET, "/v1/operations/{operation}/events", "operation.read"),
    (Method::GET, "/v1/users/{user}/tenants", "member.read"),
    (Method::GET, "/v1/whoami", KNOWN),
];

/// What everybody may who is known, whatever it may else: it tells a caller of itself alone.
const KNOWN: &str = "caller.read";

/// Routes that proxies ask, by whatever method they pass on.
const FORWARD: &str = "/v1/environments/{environment}/forward-auth/";

/// The right that a route takes; nothing for one that is not known, which nobody has.
#[must_use]
pub fn right(method: &Method, template: &str) -> Option<&'static str> {
    if template.starts_with(FORWARD) {
        return Some("tenant.resolve");
    }
    // Whoever may read may ask whether there is something to be read.
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let cases = ACTIONS.iter().chain(READS);
    cases.into_iter().find(|(verb, path, _)| verb == method && *path == template).map(|(_, _, action)| *action)
}

/// A method that the route does not have, or that nobody gave a case.
fn no_method(template: &str) -> Response {
    let mut response = Failure::new(Code::MethodNotAllowed, "the route does not know this method").into_response();
    let known = ACTIONS.iter().chain(READS).filter(|(_, path, _)| *path == template);
    let mut methods: Vec<_> = known.map(|(method, ..)| method.as_str()).collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    if let Ok(value) = HeaderValue::from_str(&methods.join(",")) {
        response.headers_mut().insert(ALLOW, value);
    }
    response
}

/// Refuses whoever lacks the right that the route takes.
pub async fn check(matched: Option<MatchedPath>, request: Request, next: Next) -> Response {
    let Some(matched) = matched.filter(|_| !is_open(request.uri().path())) else { return next.run(request).await };
    let template = matched.as_str().replace("/@", ":");
    let Some(bearer) = request.extensions().get::<Bearer>() else {
        return Failure::new(Code::Unauthenticated, "the caller is not known").into_response();
    };
    let Some(action) = right(request.method(), &template) else { return no_method(&template) };
    if action == KNOWN {
        return next.run(request).await;
    }
    match policy::may(&bearer.actor, &bearer.rights, action) {
        Ok(()) => next.run(request).await,
        Err(denial) => Failure::from(Refusal::from(denial)).into_response(),
    }
}
