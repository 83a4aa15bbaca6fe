//! Logins of the gateway.

use secrecy::{ExposeSecret as _, SecretString};
use tenantry_api::v1::login::{GatewayLogin, IssuedGatewayLogin};
use tenantry_control::logins::{Allowed, Issued, Login, Whose};

/// One login.
#[must_use]
pub fn login(view: Login) -> GatewayLogin {
    let terms = view.login;
    let (tenant, app, only) = match terms.whose {
        Whose::Tenant(tenant) => (Some(tenant.to_string()), None, None),
        Whose::Service { app, tenants: Allowed::All } => (None, Some(app.to_string()), None),
        Whose::Service { app, tenants: Allowed::These(tenants) } => {
            (None, Some(app.to_string()), Some(tenants.iter().map(ToString::to_string).collect()))
        }
    };
    GatewayLogin {
        name: view.name.to_string(),
        environment: view.environment.to_string(),
        tenant,
        slug: view.slug.map(|slug| slug.to_string()),
        app,
        only,
        mode: terms.mode.to_string(),
        access: terms.access.to_string(),
        server: terms.server.to_string(),
        proof: terms.proof.to_string(),
        connections: terms.connections,
        version: view.version,
        status: view.standing.as_str().to_owned(),
        created_at: view.created_at,
        created_by: view.created_by,
        updated_at: view.updated_at,
        rotated_at: view.rotated_at,
        old_password_until: view.old_until,
        expires_at: terms.expires,
        revoked_at: view.revoked_at,
    }
}

/// A login with its password, on its only way out.
#[must_use]
pub fn issued(issued: Issued) -> IssuedGatewayLogin {
    let shown = |secret: SecretString| secret.expose_secret().to_owned();
    IssuedGatewayLogin { login: login(issued.login), password: issued.password.map(shown), url: issued.url.map(shown) }
}
