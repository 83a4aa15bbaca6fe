//! Bodies of requests about pools of users.

use secrecy::SecretString;
use serde_json::Value;

use super::read::{Node, Object, Report};
use super::request::body;
use crate::problem::Rejection;

/// The largest certificate, in bytes.
const MAX_PEM: usize = 8 * 1024;

/// A wanted connection to an identity provider of a tenant's own.
#[derive(Debug, Clone)]
pub struct ConnectionBody {
    /// For people who sign in.
    pub title: String,
    /// How it works.
    pub kind: ConnectionKind,
}

/// How a wanted connection works.
#[derive(Debug, Clone)]
pub enum ConnectionKind {
    /// By OpenID Connect.
    Oidc {
        /// The issuer, an https address.
        issuer: String,
        /// What it calls the provider.
        client_id: String,
        /// What the provider shows there.
        client_secret: SecretString,
    },
    /// By SAML 2.0.
    Saml {
        /// The tenant's identity provider.
        entity_id: String,
        /// Where it signs people in, an https address.
        sso_url: String,
        /// Its certificates, as PEM.
        certificates: Vec<String>,
        /// What it calls us.
        audience: String,
        /// Where it sends people back to, an https address.
        callback: String,
    },
}

/// The body that asks for a connection.
///
/// # Errors
/// Everything that is wrong with it. Nothing of a secret is repeated.
pub fn connection(value: &Value) -> Result<ConnectionBody, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let title = object.required("title").and_then(|node| node.line(report, 100));
        let oidc = object.optional("oidc", |node| oidc(node, report));
        let saml = object.optional("saml", |node| saml(node, report));
        let is_one = object.mentions("oidc") != object.mentions("saml");
        object.finish();
        if !is_one {
            node.complain(report, "must have exactly one of `oidc` and `saml`");
            return None;
        }
        Some(ConnectionBody { title: title?, kind: oidc?.or(saml?)? })
    })
}

fn oidc(node: &Node<'_>, report: &Report) -> Option<ConnectionKind> {
    let object = node.object(report)?;
    let issuer = address(&object, "issuer", report);
    let client_id = object.required("clientId").and_then(|node| node.line(report, 256));
    let client_secret = object.required("clientSecret").and_then(|node| node.check(report, secret));
    object.finish();
    Some(ConnectionKind::Oidc { issuer: issuer?, client_id: client_id?, client_secret: client_secret? })
}

fn saml(node: &Node<'_>, report: &Report) -> Option<ConnectionKind> {
    let object = node.object(report)?;
    let entity_id = object.required("entityId").and_then(|node| node.line(report, 1024));
    let sso_url = address(&object, "ssoUrl", report);
    let certificates =
        object.required("certificates").and_then(|node| node.list(report, 10, |node| node.check(report, certificate)));
    if certificates.as_ref().is_some_and(Vec::is_empty) {
        report.add(object.field("certificates"), "must hold at least one certificate");
    }
    let audience = object.required("audience").and_then(|node| node.line(report, 1024));
    let callback = address(&object, "callback", report);
    object.finish();
    Some(ConnectionKind::Saml {
        entity_id: entity_id?,
        sso_url: sso_url?,
        certificates: certificates.filter(|list| !list.is_empty())?,
        audience: audience?,
        callback: callback?,
    })
}

fn address(object: &Object<'_, '_>, name: &'static str, report: &Report) -> Option<String> {
    let check = |text: &str| {
        let is_address = text.len() <= 2048 && text.bytes().all(|byte| byte.is_ascii_graphic());
        let url = reqwest::Url::parse(text).ok().filter(|url| is_address && url.scheme() == "https");
        let url = url.filter(|url| url.username().is_empty() && url.password().is_none());
        url.map(|_| text.to_owned()).ok_or("must be an https address without user and password")
    };
    object.required(name).and_then(|node| node.check(report, check))
}

fn secret(text: &str) -> Result<SecretString, &'static str> {
    let is_secret = (1..=1024).contains(&text.len()) && !text.chars().any(char::is_control);
    if is_secret { Ok(SecretString::from(text)) } else { Err("must have 1 to 1024 characters") }
}

fn certificate(text: &str) -> Result<String, &'static str> {
    let text = text.trim();
    let is_pem = text.len() <= MAX_PEM
        && text.starts_with("-----BEGIN CERTIFICATE-----")
        && text.ends_with("-----END CERTIFICATE-----");
    if is_pem { Ok(text.to_owned()) } else { Err("must be one certificate as PEM, of at most 8 KiB") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use secrecy::ExposeSecret as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_connection_is_of_one_kind() {
        let oidc = json!({ "issuer": "https://acme.okta.example", "clientId": "t", "clientSecret": "s3cret" });
        let read = connection(&json!({ "title": "Acme", "oidc": oidc })).unwrap();
        let ConnectionKind::Oidc { client_secret, .. } = &read.kind else { unreachable!() };
        assert_eq!(client_secret.expose_secret(), "s3cret");
        assert!(!format!("{read:?}").contains("s3cret"));
        let pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        let saml = json!({
            "entityId": "https://adfs.acme.example", "ssoUrl": "https://adfs.acme.example/sso", "certificates": [pem],
            "audience": "tenantry", "callback": "https://acme.example/handler",
        });
        assert!(connection(&json!({ "title": "Acme", "saml": saml })).is_ok());
        assert!(connection(&json!({ "title": "Acme", "saml": saml, "oidc": oidc })).is_err());
        assert!(connection(&json!({ "title": "Acme" })).is_err());
    }

    #[test]
    fn complaints_come_all_at_once_and_repeat_no_secret() {
        let body = json!({ "title": "", "extra": 1, "oidc": {
            "issuer": "http://acme.example", "clientId": 7, "clientSecret": "s3\u{7}cret", "more": true,
        } });
        let rejection = connection(&body).unwrap_err();
        let text = format!("{rejection:?}");
        for field in ["title", "extra", "oidc.issuer", "oidc.clientId", "oidc.clientSecret", "oidc.more"] {
            assert!(text.contains(&format!("\"{field}\"")), "{field}: {text}");
        }
        assert!(!text.contains("s3"), "{text}");
    }
}
