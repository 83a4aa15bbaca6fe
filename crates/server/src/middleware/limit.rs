//! How often somebody may call: principals by the class of the call, tenants by their plan, and strangers who fail to say
//! who they are.
//!
//! What is refused for the caller's own rate costs no look at our database; no refusal is in the audit, and each says when
//! to come back. Every answer to a
//! limited caller says how much is left, so that nobody has to find out by being refused.

use std::net::IpAddr;

use axum::extract::{Request, State as With};
use axum::http::header::{AUTHORIZATION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tenantry_control::quotas::rates;
use tenantry_control::tokens::Bearer;
use tenantry_domain::code::Code;
use tenantry_domain::limit::Class;
use tenantry_domain::limit::fields::{self, Judged};
use tenantry_domain::name::EnvironmentName;

use super::is_open;
use crate::State;
use crate::problem::Failure;

/// The address at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE: HeaderName = HeaderName::from_static("ratelimit");

/// Turns strangers away who fail too often to say who they are. Sits before the token is looked at.
pub async fn failures(With(state): With<State>, request: Request, next: Next) -> Response {
    let rates = state.deps().rates();
    let address = address(&request, rates.proxies()).filter(|_| !is_open(request.uri().path()));
    let Some(address) = address else { return next.run(request).await };
    let credentials = request.headers().get(AUTHORIZATION).map(|value| value.as_bytes().to_vec()).unwrap_or_default();
    if let Some(judged) = rates.wait(address, &credentials).await {
        return refused(&judged, "too many requests from this address without a valid token");
    }
    let response = next.run(request).await;
    let is_stranger = response
        .extensions()
        .get::<Failure>()
        .is_some_and(|failure| failure.problem.code == Code::Unauthenticated.to_string());
    if is_stranger {
        rates.failed(address);
    } else {
        rates.succeeded(&credentials).await;
    }
    response
}

/// Lets callers in as often as their rates, and those of the tenant that they name, allow.
pub async fn admit(With(state): With<State>, request: Request, next: Next) -> Response {
    let Some(bearer) = request.extensions().get::<Bearer>().cloned() else { return next.run(request).await };
    let path = request.uri().path();
    let class = class(request.method(), path);
    let tenant = tenant(path).filter(|(environment, _)| bearer.reaches(environment));
    let tenant = tenant.as_ref().map(|(environment, name)| (environment, *name));
    // What names no environment that exists names no tenant; the route says so.
    let is_there = async {
        match tenant {
            Some((environment, _)) => state.knows(environment).await.unwrap_or(false),
            None => false,
        }
    };
    let judged = rates::admit(state.deps(), &bearer, tenant, is_there, class).await;
    let Some(most) = judged.iter().filter(|one| !one.verdict.allowed).max_by_key(|one| one.verdict.retry) else {
        let mut response = next.run(request).await;
        tell(response.headers_mut(), &judged);
        return response;
    };
    let mut response = refused(most, &format!("the rate `{}` is used up", most.policy));
    tell(response.headers_mut(), &judged);
    response
}

/// An answer that says no, and for how long.
pub fn refused(judged: &Judged, detail: &str) -> Response {
    let mut response = Failure::new(Code::TooManyRequests, detail).into_response();
    wait(response.headers_mut(), judged);
    tell(response.headers_mut(), &[*judged]);
    response
}

/// Says when to come back.
pub fn wait(headers: &mut HeaderMap, judged: &Judged) {
    if let Some(wait) = judged.verdict.retry {
        let random = u64::from(uuid::Uuid::new_v4().as_fields().0);
        headers.insert(RETRY_AFTER, HeaderValue::from(fields::retry_after(wait, random)));
    }
}

/// Says what is allowed and what is left.
pub fn tell(headers: &mut HeaderMap, judged: &[Judged]) {
    if judged.is_empty() {
        return;
    }
    for (name, text) in [(POLICY, fields::policy(judged)), (RATE, fields::rates(judged))] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    }
}

/// What a call costs, by its method and path alone: it is judged before it is routed. What counts is where a word stands,
/// never that it stands somewhere: names of tenants, roles and features are anybody's choice.
fn class(method: &Method, path: &str) -> Class {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match parts.as_slice() {
        ["ofrep", ..] | ["v1", "context-keys"] => Class::Resolve,
        ["v1", "environments", _, "tenants", _, rest @ ..] => of_tenant(method, rest),
        ["v1", "environments", _, noun, ..] => match noun.split(':').next().unwrap_or_default() {
            "forward-auth" | "resolve" | "credentials" | "ofrep" => Class::Resolve,
            "manifests" | "audit" | "exports" => Class::Bulk,
            // By POST because it says much, not because it changes anything.
            "placements" => Class::Read,
            _ => by_method(method),
        },
        _ => by_method(method),
    }
}

/// The same for what stands behind a tenant's name.
fn of_tenant(method: &Method, rest: &[&str]) -> Class {
    match rest {
        ["route" | "members:check"] | ["limits", _] => Class::Resolve,
        ["features", name] if name.ends_with(":use") => Class::Resolve,
        ["members:import" | "audit" | "export" | "exports"] => Class::Bulk,
        _ => by_method(method),
    }
}

fn by_method(method: &Method) -> Class {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) { Class::Read } else { Class::Write }
}

/// The environment and tenant that a path names. In any other spelling they lead nowhere ([`super::verbs`]).
fn tenant(path: &str) -> Option<(EnvironmentName, &str)> {
    let parts: Vec<&str> = path.split('/').skip(1).take(6).collect();
    let (environment, name) = match parts.as_slice() {
        ["v1", "environments", environment, "tenants", name, ..]
        | ["scim", "v2", "environments", environment, "tenants", name, ..] => (environment, name),
        _ => return None,
    };
    let name = name.split(':').next().filter(|name| !name.is_empty())?;
    Some((EnvironmentName::parse(environment).ok()?, name))
}

/// Whose request it is: the peer's, or behind proxies what the outermost of ours has seen. What stands further to the left
/// was written by whoever wanted to.
fn address(request: &Request, proxies: u8) -> Option<IpAddr> {
    let Peer(peer) = *request.extensions().get::<Peer>()?;
    let Some(place) = usize::from(proxies).checked_sub(1) else { return Some(peer) };
    let all = request.headers().get_all("x-forwarded-for").iter();
    let mut seen: Vec<&str> = all.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).collect();
    seen.reverse();
    let named = seen.get(place).and_then(|text| text.trim().parse().ok());
    Some(named.unwrap_or(peer))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn calls_have_classes() {
        let cases = [
            ("GET", "/v1/environments/prod/tenants", Class::Read),
            ("GET", "/v1/environments/prod/tenants/acme", Class::Read),
            ("HEAD", "/v1/operations/op_1", Class::Read),
            ("POST", "/v1/environments/prod/tenants/acme:suspend", Class::Write),
            ("DELETE", "/v1/environments/prod/plans/free", Class::Write),
            ("POST", "/v1/environments/prod/tenants/acme/quotas/users:take", Class::Write),
            ("POST", "/v1/environments/prod/manifests:apply", Class::Bulk),
            ("POST", "/v1/environments/prod/manifests:plan", Class::Bulk),
            ("GET", "/v1/environments/prod/audit", Class::Bulk),
            ("POST", "/v1/environments/prod/audit:verify", Class::Bulk),
            ("GET", "/v1/environments/prod/tenants/acme/audit", Class::Bulk),
            ("GET", "/v1/environments/prod/resolve", Class::Resolve),
            ("GET", "/v1/environments/prod/tenants/acme/route", Class::Resolve),
            ("POST", "/v1/environments/prod/credentials", Class::Resolve),
            ("GET", "/v1/environments/prod/forward-auth/nginx", Class::Resolve),
            ("DELETE", "/v1/environments/prod/forward-auth/envoy/any/audit", Class::Resolve),
            ("POST", "/v1/environments/prod/tenants/acme/limits/requests:take", Class::Resolve),
            ("GET", "/v1/context-keys", Class::Resolve),
            ("POST", "/ofrep/v1/evaluate/flags", Class::Resolve),
            ("POST", "/v1/environments/prod/ofrep/v1/evaluate/flags/ai", Class::Resolve),
            ("POST", "/v1/environments/prod/tenants/acme/members:check", Class::Resolve),
            ("POST", "/v1/environments/prod/tenants/acme/features/ai:use", Class::Resolve),
            ("POST", "/v1/environments/prod/tenants/acme/members:import", Class::Bulk),
            ("POST", "/v1/environments/prod/placements:explain", Class::Read),
            // Names that somebody chose like words of ours.
            ("DELETE", "/v1/environments/prod/tenants/limits/roles/route", Class::Write),
            ("PUT", "/v1/environments/prod/tenants/acme/roles/audit", Class::Write),
            ("GET", "/v1/environments/prod/tenants/limits", Class::Read),
            ("POST", "/v1/environments/prod/tenants/route:suspend", Class::Write),
            ("PUT", "/v1/environments/prod/tenants/limits/members/route", Class::Write),
            ("DELETE", "/v1/environments/prod/flags/export", Class::Write),
            ("POST", "/v1/environments/prod/tenants/acme/roles/limits:x/limits/y", Class::Write),
            ("GET", "/v1/environments/resolve/tenants", Class::Read),
            ("POST", "/v1/environments/audit/tenants", Class::Write),
            ("GET", "/", Class::Read),
        ];
        for (method, path, expected) in cases {
            assert_eq!(class(&method.parse().unwrap(), path), expected, "{method} {path}");
        }
    }

    #[test]
    fn paths_name_tenants() {
        let prod = EnvironmentName::parse("prod").unwrap();
        for path in ["tenants/acme", "tenants/acme:suspend", "tenants/acme/quotas/users:take"] {
            for root in ["/v1", "/scim/v2"] {
                let path = format!("{root}/environments/prod/{path}");
                assert_eq!(tenant(&path), Some((prod.clone(), "acme")), "{path}");
            }
        }
        for path in
            ["/v1/environments/prod/tenants", "/v1/environments/prod/tenants/", "/v1/environments/a/b/tenants/x"]
        {
            assert_eq!(tenant(path), None, "{path}");
        }
    }

    #[test]
    fn only_what_our_own_proxies_say_is_believed() {
        let request = |headers: &[&str]| {
            let mut builder = Request::builder();
            for value in headers {
                builder = builder.header("x-forwarded-for", *value);
            }
            let mut request = builder.body(axum::body::Body::empty()).unwrap();
            request.extensions_mut().insert(Peer("192.0.2.1".parse().unwrap()));
            request
        };
        let cases: [(&[&str], u8, &str); 6] = [
            (&["203.0.113.9"], 0, "192.0.2.1"),
            (&["203.0.113.9"], 1, "203.0.113.9"),
            (&["198.51.100.7, 203.0.113.9"], 1, "203.0.113.9"),
            (&["198.51.100.7", "203.0.113.9"], 2, "198.51.100.7"),
            (&["203.0.113.9"], 2, "192.0.2.1"),
            (&["nonsense"], 1, "192.0.2.1"),
        ];
        for (headers, proxies, expected) in cases {
            assert_eq!(address(&request(headers), proxies), Some(expected.parse().unwrap()), "{headers:?} {proxies}");
        }
    }
}
