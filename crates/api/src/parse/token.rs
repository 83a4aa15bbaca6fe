//! Bodies of requests about tokens of the API.

use jiff::SignedDuration;
use serde_json::Value;
use tenantry_domain::policy::rights::SCOPES_MOST;
use tenantry_domain::policy::{ActorKind, Pattern, Role};

use super::bounds::parse_duration;
use super::request::body;
use crate::problem::Rejection;

/// A wanted token. Its tenant is a text here: who that is, the registry knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenBody {
    /// For people.
    pub name: String,
    /// As what its bearer acts.
    pub kind: ActorKind,
    /// What it is to be.
    pub roles: Vec<Role>,
    /// Only these actions; absent for all that the roles allow.
    pub scopes: Option<Vec<Pattern>>,
    /// The only tenant that it reaches, by name or id.
    pub tenant: Option<String>,
    /// Who uses it.
    pub person: Option<String>,
    /// How long it lives.
    pub life: Option<SignedDuration>,
}

/// A wanted rotation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenRotationBody {
    /// For how long the old secret stays good.
    pub grace: Option<SignedDuration>,
    /// How long the token lives from now on.
    pub life: Option<SignedDuration>,
}

/// The body that asks for a token.
///
/// # Errors
/// Everything that is wrong with it.
pub fn token(value: &Value) -> Result<TokenBody, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let name = object.required("name").and_then(|node| node.line(report, 100));
        let kinds = [("service", ActorKind::Service), ("operator", ActorKind::Operator)];
        let kind = object.or("kind", ActorKind::Service, |node| node.word(report, &kinds));
        let words = Role::ALL.map(|role| (role.as_str(), role));
        let roles = object
            .required("roles")
            .and_then(|node| node.list(report, Role::ALL.len(), |node| node.word(report, &words)));
        let scopes = object.optional("scopes", |node| {
            node.list(report, SCOPES_MOST, |node| {
                node.check(report, |text| Pattern::parse(text).map_err(|error| error.to_string()))
            })
        });
        let tenant = object.optional("tenant", |node| node.line(report, 40));
        let person = object.optional("person", |node| node.line(report, 100));
        let life = object.optional("expiresIn", |node| node.check(report, parse_duration));
        object.finish();
        Some(TokenBody {
            name: name?,
            kind: kind?,
            roles: roles?,
            scopes: scopes?,
            tenant: tenant?,
            person: person?,
            life: life?,
        })
    })
}

/// The body that asks for another secret.
///
/// # Errors
/// Everything that is wrong with it.
pub fn token_rotation(value: &Value) -> Result<TokenRotationBody, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let grace = object.optional("grace", |node| node.check(report, parse_duration));
        let life = object.optional("expiresIn", |node| node.check(report, parse_duration));
        object.finish();
        Some(TokenRotationBody { grace: grace?, life: life? })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_a_services_unless_it_says_so() {
        let read =
            token(&json!({ "name": "ci", "roles": ["deployer"], "scopes": ["*.read"], "expiresIn": "7d" })).unwrap();
        assert_eq!(
            (read.kind, read.roles.as_slice(), read.tenant),
            (ActorKind::Service, [Role::Deployer].as_slice(), None)
        );
        assert_eq!(read.life, Some(SignedDuration::from_hours(168)));
        assert_eq!(token_rotation(&json!({})).unwrap(), TokenRotationBody::default());
    }

    #[test]
    fn everything_that_is_wrong_is_told() {
        let wrong = json!({
            "name": "", "kind": "controller", "roles": ["emperor"], "scopes": ["tenant"], "expiresIn": "soon",
            "rights": "all", "environment": "prod"
        });
        let fields: Vec<_> = token(&wrong).unwrap_err().errors.into_iter().map(|error| error.field).collect();
        assert_eq!(fields, ["name", "kind", "roles[0]", "scopes[0]", "expiresIn", "environment", "rights"]);
        assert!(token_rotation(&json!({ "grace": "1" })).is_err());
    }
}
