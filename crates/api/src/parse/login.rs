//! Bodies of requests about logins of the gateway.

use std::str::FromStr;

use jiff::SignedDuration;
use serde_json::Value;
use tenantry_domain::Timestamp;
use tenantry_domain::gateway::{Access, Allowed, Login, LoginName, Mode, Proof, Server};
use tenantry_domain::name::AppName;

use super::bounds::{self, parse_duration};
use super::read::{Node, Object, Report};
use super::request::body;
use crate::problem::Rejection;

/// A wanted login. Tenants are texts here: who they are, the registry knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginBody {
    /// Its name.
    pub name: LoginName,
    /// Whose it is.
    pub whose: WhoseBody,
    /// How long it keeps a server session.
    pub mode: Mode,
    /// Whether it may write.
    pub access: Access,
    /// Which server of the tenant's cell it is served by.
    pub server: Server,
    /// How it proves itself.
    pub proof: Proof,
    /// The most client connections of it on one gateway.
    pub connections: Option<u32>,
    /// From when on it is refused.
    pub expires: Option<Timestamp>,
}

/// Whose a wanted login is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhoseBody {
    /// A tenant's, by name or id.
    Tenant(String),
    /// A service's.
    Service {
        /// Only tenants of this app.
        app: AppName,
        /// Only these, by name or id; absent for all.
        only: Option<Vec<String>>,
    },
}

/// A wanted rotation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RotationBody {
    /// For how long the old password stays good.
    pub grace: Option<SignedDuration>,
    /// A new end of the login.
    pub expires: Option<Timestamp>,
}

/// The body that asks for a login.
///
/// # Errors
/// Everything that is wrong with it.
pub fn login(value: &Value) -> Result<LoginBody, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let name = object.required("name").and_then(|node| node.parse::<LoginName>(report));
        let whose = whose(&object, report);
        let mode = object.or("mode", Mode::default(), |node| word(node, report, Mode::ALL, Mode::as_str));
        let access = object.or("access", Access::default(), |node| word(node, report, Access::ALL, Access::as_str));
        let server = object.or("server", Server::default(), |node| word(node, report, Server::ALL, Server::as_str));
        let proof = object.or("proof", Proof::default(), |node| word(node, report, Proof::ALL, Proof::as_str));
        let connections =
            object.optional("connections", |node| node.integer(report, 1, u64::from(Login::MOST_CONNECTIONS)));
        let expires = object.optional("expiresAt", |node| bounds::time(node, report));
        object.finish();
        Some(LoginBody {
            name: name?,
            whose: whose?,
            mode: mode?,
            access: access?,
            server: server?,
            proof: proof?,
            connections: connections?.and_then(|most| u32::try_from(most).ok()),
            expires: expires?,
        })
    })
}

/// The body that asks for another password.
///
/// # Errors
/// Everything that is wrong with it.
pub fn rotation(value: &Value) -> Result<RotationBody, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let grace = object.optional("grace", |node| node.check(report, parse_duration));
        let expires = object.optional("expiresAt", |node| bounds::time(node, report));
        object.finish();
        Some(RotationBody { grace: grace?, expires: expires? })
    })
}

fn whose(object: &Object<'_, '_>, report: &Report) -> Option<WhoseBody> {
    let tenant = object.optional("tenant", |node| node.line(report, 40));
    let app = object.optional("app", |node| node.check(report, AppName::from_str));
    let only = object.optional("only", |node| node.list(report, Allowed::MOST, |node| node.line(report, 40)));
    let (tenant, app, only) = (tenant?, app?, only?);
    match (tenant, app) {
        (Some(tenant), None) if only.is_none() => Some(WhoseBody::Tenant(tenant)),
        (Some(_), None) => {
            report.add(object.field("only"), "goes with `app`; a tenant's login enters its own tenant anyway");
            None
        }
        (None, Some(app)) => Some(WhoseBody::Service { app, only }),
        (None, None) => {
            report.add(object.field("tenant"), "is required, or `app` for a service that enters several tenants");
            None
        }
        (Some(_), Some(_)) => {
            report.add(object.field("app"), "cannot stand beside `tenant`: a login is a tenant's or a service's");
            None
        }
    }
}

fn word<T: Copy>(node: &Node<'_>, report: &Report, all: &[T], name: impl Fn(T) -> &'static str) -> Option<T> {
    let words: Vec<(&str, T)> = all.iter().map(|one| (name(*one), *one)).collect();
    node.word(report, &words)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complaints(value: &Value) -> Vec<String> {
        login(value).unwrap_err().errors.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn a_login_is_a_tenants_or_a_services() {
        let acme = login(&json!({ "name": "acme-app", "tenant": "acme" })).unwrap();
        assert_eq!(acme.whose, WhoseBody::Tenant("acme".to_owned()));
        assert_eq!((acme.mode, acme.access, acme.proof), (Mode::Transaction, Access::ReadWrite, Proof::Password));
        let chat = json!({
            "name": "chat", "app": "chat", "only": ["acme", "globex"], "mode": "session", "access": "read-only",
            "server": "prefer-standby", "proof": "token", "connections": 5, "expiresAt": "2027-03-31"
        });
        let chat = login(&chat).unwrap();
        let only = Some(vec!["acme".to_owned(), "globex".to_owned()]);
        assert_eq!(chat.whose, WhoseBody::Service { app: AppName::parse("chat").unwrap(), only });
        assert_eq!((chat.mode, chat.access, chat.proof), (Mode::Session, Access::ReadOnly, Proof::Token));
        assert_eq!((acme.server, chat.server), (Server::Primary, Server::PreferStandby));
        assert_eq!(
            (chat.connections, chat.expires.map(|at| at.to_string())),
            (Some(5), Some("2027-03-31T00:00:00Z".into()))
        );
        assert_eq!(complaints(&json!({ "name": "chat" })), ["tenant"]);
        assert_eq!(complaints(&json!({ "name": "chat", "app": "chat", "tenant": "acme" })), ["app"]);
        assert_eq!(complaints(&json!({ "name": "chat", "tenant": "acme", "only": ["acme"] })), ["only"]);
    }

    #[test]
    fn everything_that_is_wrong_is_told() {
        let wrong = json!({
            "name": "pg_chat", "app": "Chat", "only": [7], "mode": "statement", "access": "none", "server": "any", "proof": "x",
            "connections": 0, "expiresAt": "soon", "colour": "red"
        });
        let fields =
            ["name", "app", "only[0]", "mode", "access", "server", "proof", "connections", "expiresAt", "colour"];
        assert_eq!(complaints(&wrong), fields);
        assert_eq!(rotation(&json!({})).unwrap(), RotationBody::default());
        let rotated = rotation(&json!({ "grace": "90m" })).unwrap();
        assert_eq!(rotated.grace, Some(SignedDuration::from_mins(90)));
        assert!(rotation(&json!({ "grace": "soon" })).is_err() && rotation(&json!({ "x": 1 })).is_err());
    }
}
