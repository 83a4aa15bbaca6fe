//! Tenants as those who serve their requests know them, and how to reach their data.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret as _;
use tenantry_api::v1::route::{CredentialView, Key, KeySet, Resolution, SealKeyView, TenantRoute};
use tenantry_control::routes::{self, MAX_AGE, Openness};

const fn state(state: Openness) -> &'static str {
    match state {
        Openness::Preparing => "preparing",
        Openness::Open => "open",
        Openness::Suspended => "suspended",
        Openness::Archived => "archived",
    }
}

fn max_age() -> u64 {
    u64::try_from(MAX_AGE.as_millis()).unwrap_or(u64::MAX)
}

/// A resolution.
#[must_use]
pub fn resolution(found: &routes::Resolved) -> Resolution {
    let tenant = &found.tenant;
    Resolution {
        tenant: tenant.id.to_string(),
        uuid: tenant.id.uuid().to_string(),
        slug: tenant.slug.to_string(),
        state: state(tenant.state).to_owned(),
        generation: tenant.generation,
        isolation: tenant.isolation.map(|level| level.to_string()),
        cell: tenant.cell.as_ref().map(ToString::to_string),
        plan: tenant.plan.to_string(),
        sources: found.sources.iter().map(|source| source.to_string()).collect(),
        max_age_ms: max_age(),
    }
}

/// A route.
#[must_use]
pub fn route(tenant: &routes::Resolution, route: &routes::Route) -> TenantRoute {
    TenantRoute {
        tenant: tenant.id.to_string(),
        uuid: tenant.id.uuid().to_string(),
        slug: tenant.slug.to_string(),
        state: state(tenant.state).to_owned(),
        generation: route.generation,
        isolation: route.isolation.to_string(),
        cell: route.cell.to_string(),
        host: route.host.clone(),
        port: route.port,
        database: route.database.clone(),
        schema: route.schema.clone(),
        role: route.role.clone(),
        connections: route.connections,
        secret_ref: route.secret.to_string(),
        max_age_ms: max_age(),
    }
}

/// A credential, for the one answer that carries it.
#[must_use]
pub fn credential(secret_ref: String, found: &routes::Credential) -> CredentialView {
    CredentialView {
        secret_ref,
        role: found.role.clone(),
        password: found.password.expose_secret().to_owned(),
        seal: SealKeyView { kid: found.kid, key: STANDARD.encode(found.key.as_slice()) },
    }
}

/// The keys of context tokens.
#[must_use]
pub fn keys(keys: Vec<routes::context::PublicKey>) -> KeySet {
    let key = |key: routes::context::PublicKey| Key {
        kty: "OKP".to_owned(),
        crv: "Ed25519".to_owned(),
        alg: "EdDSA".to_owned(),
        usage: "sig".to_owned(),
        kid: key.kid,
        x: key.x,
    };
    KeySet { keys: keys.into_iter().map(key).collect() }
}
