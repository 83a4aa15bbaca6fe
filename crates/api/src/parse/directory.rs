//! Bodies of requests about a tenant's directory. Every field that is not known is a complaint.

use std::str::FromStr as _;

use serde_json::Value;
use tenantry_domain::id::UserId;
use tenantry_domain::member::{Email, Identity, RoleName, Standard, identity};

use super::request::body;
use crate::problem::Rejection;

/// How a directory is to be set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryBody {
    /// Whose subjects the external ids are.
    pub issuer: Option<String>,
    /// The pool inside the issuer.
    pub pool: String,
    /// What somebody holds whom no group gives a role.
    pub default_role: RoleName,
    /// On whose behalf.
    pub acting: Option<UserId>,
}

/// Which role a group is to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRoleBody {
    /// The role; absent for none.
    pub role: Option<RoleName>,
    /// On whose behalf.
    pub acting: Option<UserId>,
}

/// Who claims to be whom the directory announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimBody {
    /// What the issuer calls the person.
    pub identity: Identity,
    /// Their address.
    pub email: Email,
    /// Whether the issuer has verified it.
    pub is_verified: bool,
    /// Their name.
    pub name: Option<String>,
}

/// The body that sets a directory up.
///
/// # Errors
/// Everything that is wrong with it.
pub fn directory(value: &Value) -> Result<DirectoryBody, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let part = |most| move |text: &str| identity::check(text, most);
        let issuer = object.optional("issuer", |node| node.check(report, part(Identity::ISSUER)));
        let pool = object.or("pool", String::new(), |node| node.check(report, part(Identity::POOL)));
        let role = object.or("defaultRole", Standard::Readonly.into(), |node| node.parse::<RoleName>(report));
        let acting = object.optional("actingUser", |node| node.check(report, UserId::from_str));
        if object.mentions("pool") && !object.mentions("issuer") {
            report.add("pool", "goes with an `issuer` only");
        }
        object.finish();
        Some(DirectoryBody { issuer: issuer?, pool: pool?, default_role: role?, acting: acting? })
    })
}

/// The body that maps a group to a role.
///
/// # Errors
/// Everything that is wrong with it.
pub fn group_role(value: &Value) -> Result<GroupRoleBody, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let role = object.optional("role", |node| node.parse::<RoleName>(report));
        let acting = object.optional("actingUser", |node| node.check(report, UserId::from_str));
        object.finish();
        Some(GroupRoleBody { role: role?, acting: acting? })
    })
}

/// The body of a claim.
///
/// # Errors
/// Everything that is wrong with it.
pub fn claim(value: &Value) -> Result<ClaimBody, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let part = |most| move |text: &str| identity::check(text, most);
        let issuer = object.required("issuer").and_then(|node| node.check(report, part(Identity::ISSUER)));
        let pool = object.or("pool", String::new(), |node| node.check(report, part(Identity::POOL)));
        let subject = object.required("subject").and_then(|node| node.check(report, part(Identity::SUBJECT)));
        let email = object.required("email").and_then(|node| node.parse::<Email>(report));
        let is_verified = object.required("emailVerified").and_then(|node| node.boolean(report));
        let name = object.optional("name", |node| node.line(report, 200));
        object.finish();
        let identity = Identity { issuer: issuer?, pool: pool?, subject: subject? };
        Some(ClaimBody { identity, email: email?, is_verified: is_verified?, name: name? })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields<T: std::fmt::Debug>(result: Result<T, Rejection>) -> Vec<String> {
        result.unwrap_err().errors.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn nothing_is_taken_that_was_not_asked_for() {
        for extra in ["tenant", "version", "users", "owner", "permissions"] {
            assert_eq!(fields(directory(&json!({ extra: "x" }))), [extra]);
            assert_eq!(fields(group_role(&json!({ "role": "member", extra: "x" }))), [extra]);
            let whole =
                json!({ "issuer": "i", "subject": "1", "email": "a@b.example", "emailVerified": true, extra: "x" });
            assert_eq!(fields(claim(&whole)), [extra]);
        }
        assert_eq!(fields(claim(&json!({}))), ["issuer", "subject", "email", "emailVerified"]);
        assert_eq!(fields(directory(&json!({ "pool": "p" }))), ["pool"]);
        let found = directory(&json!({})).unwrap();
        assert_eq!((found.issuer, found.default_role.as_str()), (None, "readonly"));
        assert_eq!(group_role(&json!({})).unwrap().role, None);
    }
}
