//! Tokens of the API.

use secrecy::ExposeSecret as _;
use tenantry_api::v1::token::{IssuedToken, Token};
use tenantry_control::tokens;

/// One token.
#[must_use]
pub fn token(view: tokens::Token) -> Token {
    let rights = view.rights;
    Token {
        id: view.id.to_string(),
        name: view.name,
        kind: view.kind.to_string(),
        roles: rights.roles.iter().map(ToString::to_string).collect(),
        scopes: rights.scopes.map(|scopes| scopes.iter().map(ToString::to_string).collect()),
        tenant: rights.tenant.map(|tenant| tenant.to_string()),
        person: view.person,
        version: view.version,
        created_at: view.created_at,
        created_by: view.created_by,
        expires_at: view.expires_at,
        rotated_at: view.rotated_at,
        old_until: view.old_until,
        last_used_at: view.last_used_at,
        revoked_at: view.revoked_at,
    }
}

/// A token with its text, on its only way out.
#[must_use]
pub fn issued(issued: tokens::Issued) -> IssuedToken {
    IssuedToken { token: token(issued.token), text: issued.text.map(|text| text.expose_secret().to_owned()) }
}
