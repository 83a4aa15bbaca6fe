//! The guards before the routes, one per file. Their order is in [`crate::router`].

pub mod authorize;
pub mod bearer;
pub mod headers;
pub mod ids;
pub mod limit;
pub mod panics;
pub mod render;
pub mod shed;
pub mod time;
pub mod verbs;
pub mod witness;

/// Routes that tell nothing about tenants and must answer when everything else is at its limit.
pub(crate) fn is_health(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz" | "/startupz")
}

/// Routes that need no token.
pub(crate) fn is_open(path: &str) -> bool {
    is_health(path) || matches!(path, "/openapi.json" | "/v1/asyncapi.json" | "/v1/sign-in")
}
