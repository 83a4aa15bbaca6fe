//! Bodies of requests about people of a tenant.
//!
//! Every field that is not known is a complaint: nobody becomes owner by a field that was not asked for.
//! Long because each of a dozen bodies has its reader here, and one test tries the same attack on all of them.

use std::collections::BTreeSet;
use std::str::FromStr;

use jiff::SignedDuration;
use serde_json::Value;
use tenantry_domain::code::FieldError;
use tenantry_domain::id::UserId;
use tenantry_domain::member::{Email, Identity, Permission, Role, RoleName, identity};

use super::bounds::parse_duration;
use super::read::{Node, Object, Report};
use super::request::body;
use crate::problem::Rejection;

/// Most rows of an import.
const ROWS: usize = 1000;
/// Most characters of a name.
const NAME: usize = 200;

/// A person and what they will hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberBody {
    /// What the issuer calls them.
    pub identity: Identity,
    /// Their address.
    pub email: Email,
    /// Their name.
    pub name: Option<String>,
    /// What they will hold.
    pub role: RoleName,
    /// On whose behalf.
    pub acting: Option<UserId>,
}

/// A wanted role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberPatchBody {
    /// What they will hold.
    pub role: RoleName,
    /// On whose behalf.
    pub acting: Option<UserId>,
}

/// A wanted role of a tenant's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleBody {
    /// For people.
    pub title: Option<String>,
    /// Exactly these.
    pub permissions: BTreeSet<Permission>,
    /// On whose behalf.
    pub acting: Option<UserId>,
}

/// A wanted invitation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationBody {
    /// Who.
    pub email: Email,
    /// As what.
    pub role: RoleName,
    /// How long it holds.
    pub valid_for: Option<SignedDuration>,
    /// Whether the caller delivers it.
    pub by_link: bool,
    /// Whether the person gets an account in the tenant's pool beforehand.
    pub with_account: bool,
    /// On whose behalf.
    pub acting: Option<UserId>,
}

/// An answer to an invitation.
#[derive(Clone, PartialEq, Eq)]
pub struct AcceptanceBody {
    /// The token, not looked at yet.
    pub token: String,
    /// What the issuer calls the person.
    pub identity: Identity,
    /// Their address.
    pub email: Email,
    /// Whether the issuer has verified it.
    pub is_verified: bool,
    /// Their name.
    pub name: Option<String>,
}

/// Many members; a row that cannot be read is a row with complaints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportBody {
    /// The rows.
    pub rows: Vec<Result<ImportRowBody, Vec<FieldError>>>,
    /// Whether it is only tried.
    pub dry_run: bool,
    /// On whose behalf.
    pub acting: Option<UserId>,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportRowBody {
    /// Is to be a member.
    Member {
        /// What the issuer calls them.
        identity: Identity,
        /// Their address.
        email: Email,
        /// Their name.
        name: Option<String>,
        /// What they will hold.
        role: RoleName,
    },
    /// Is to be a member no more.
    Gone(Identity),
}

/// The body that makes somebody a member.
///
/// # Errors
/// Everything that is wrong with it.
pub fn member(value: &Value) -> Result<MemberBody, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let identity = person(&object, report);
        let email = object.required("email").and_then(|node| node.parse::<Email>(report));
        let name = object.optional("name", |node| node.line(report, NAME));
        let role = object.required("role").and_then(|node| node.parse::<RoleName>(report));
        let acting = acting(&object, report);
        object.finish();
        Some(MemberBody { identity: identity?, email: email?, name: name?, role: role?, acting: acting? })
    })
}

/// The body that gives a member another role.
///
/// # Errors
/// Everything that is wrong with it.
pub fn member_patch(value: &Value) -> Result<MemberPatchBody, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let role = object.required("role").and_then(|node| node.parse::<RoleName>(report));
        let acting = acting(&object, report);
        object.finish();
        Some(MemberPatchBody { role: role?, acting: acting? })
    })
}

/// The body that defines a role.
///
/// # Errors
/// Everything that is wrong with it.
pub fn role(value: &Value) -> Result<RoleBody, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let title = object.optional("title", |node| node.line(report, 100));
        let permissions = object
            .required("permissions")
            .and_then(|node| node.list(report, Role::MOST_PERMISSIONS, |node| node.parse::<Permission>(report)));
        let acting = acting(&object, report);
        object.finish();
        Some(RoleBody { title: title?, permissions: permissions?.into_iter().collect(), acting: acting? })
    })
}

/// The body that invites somebody.
///
/// # Errors
/// Everything that is wrong with it.
pub fn invitation(value: &Value) -> Result<InvitationBody, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let email = object.required("email").and_then(|node| node.parse::<Email>(report));
        let role = object.required("role").and_then(|node| node.parse::<RoleName>(report));
        let valid_for = object.optional("validFor", |node| node.check(report, parse_duration));
        let by_link = by_link(&object, report);
        let with_account = object.or("account", false, |node| node.boolean(report));
        let acting = acting(&object, report);
        object.finish();
        Some(InvitationBody {
            email: email?,
            role: role?,
            valid_for: valid_for?,
            by_link: by_link?,
            with_account: with_account?,
            acting: acting?,
        })
    })
}

/// The body that sends an invitation again: whether the caller delivers it, and on whose behalf.
///
/// # Errors
/// Everything that is wrong with it.
pub fn resend(value: &Value) -> Result<(bool, Option<UserId>), Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let (by_link, acting) = (by_link(&object, report), acting(&object, report));
        object.finish();
        Some((by_link?, acting?))
    })
}

/// A body that says on whose behalf, and nothing else.
///
/// # Errors
/// Everything that is wrong with it.
pub fn on_behalf(value: &Value) -> Result<Option<UserId>, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let acting = acting(&object, report);
        object.finish();
        acting
    })
}

/// The body that offers the ownership: who offers it, and for how long.
///
/// # Errors
/// Everything that is wrong with it.
pub fn transfer(value: &Value) -> Result<(UserId, Option<SignedDuration>), Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let acting = object.required("actingUser").and_then(|node| node.parse::<UserId>(report));
        let valid_for = object.optional("validFor", |node| node.check(report, parse_duration));
        object.finish();
        Some((acting?, valid_for?))
    })
}

/// The body that accepts an invitation.
///
/// # Errors
/// Everything that is wrong with it.
pub fn acceptance(value: &Value) -> Result<AcceptanceBody, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let token = token_of(&object, report);
        let identity = person(&object, report);
        let email = object.required("email").and_then(|node| node.parse::<Email>(report));
        let is_verified = object.required("emailVerified").and_then(|node| node.boolean(report));
        let name = object.optional("name", |node| node.line(report, NAME));
        object.finish();
        Some(AcceptanceBody {
            token: token?,
            identity: identity?,
            email: email?,
            is_verified: is_verified?,
            name: name?,
        })
    })
}

/// The body that declines an invitation: its token, not looked at yet.
///
/// # Errors
/// Everything that is wrong with it.
pub fn decline(value: &Value) -> Result<String, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let token = token_of(&object, report);
        object.finish();
        token
    })
}

/// The body that asks what a user may do.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check(value: &Value) -> Result<(UserId, Permission), Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let user = object.required("user").and_then(|node| node.parse::<UserId>(report));
        let permission = object.required("permission").and_then(|node| node.parse::<Permission>(report));
        object.finish();
        Some((user?, permission?))
    })
}

/// The body that brings many members.
///
/// # Errors
/// Everything that is wrong with its frame; what is wrong with a row stays with the row.
pub fn import(value: &Value) -> Result<ImportBody, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let rows = object.required("rows").and_then(|node| node.items(report, ROWS));
        let dry_run = object.or("dryRun", false, |node| node.boolean(report));
        let acting = acting(&object, report);
        object.finish();
        let rows = rows?.iter().map(import_row).collect();
        Some(ImportBody { rows, dry_run: dry_run?, acting: acting? })
    })
}

fn import_row(node: &Node<'_>) -> Result<ImportRowBody, Vec<FieldError>> {
    let report = Report::new();
    // Complaints name the field inside the row; the report says which row.
    match Some(Node::root(node.value())).and_then(|node| read_row(&node, &report)) {
        Some(row) if report.is_clean() => Ok(row),
        _ => Err(report.into_complaints()),
    }
}

fn read_row(node: &Node<'_>, report: &Report) -> Option<ImportRowBody> {
    let object = node.object(report)?;
    let identity = person(&object, report);
    let remove = object.or("remove", false, |node| node.boolean(report));
    let email = object.optional("email", |node| node.parse::<Email>(report));
    let name = object.optional("name", |node| node.line(report, NAME));
    let role = object.optional("role", |node| node.parse::<RoleName>(report));
    let (has_email, has_role) = (object.mentions("email"), object.mentions("role"));
    object.finish();
    if remove? {
        if role?.is_some() {
            report.add("role", "does not go with `remove`");
        }
        return identity.map(ImportRowBody::Gone);
    }
    for (name, is_there) in [("email", has_email), ("role", has_role)] {
        if !is_there {
            report.add(name, "is required, or `remove: true`");
        }
    }
    Some(ImportRowBody::Member { identity: identity?, email: email??, name: name?, role: role?? })
}

fn person(object: &Object<'_, '_>, report: &Report) -> Option<Identity> {
    let part = |most| move |text: &str| identity::check(text, most);
    let issuer = object.required("issuer").and_then(|node| node.check(report, part(Identity::ISSUER)));
    let pool = object.or("pool", String::new(), |node| node.check(report, part(Identity::POOL)));
    let subject = object.required("subject").and_then(|node| node.check(report, part(Identity::SUBJECT)));
    Some(Identity { issuer: issuer?, pool: pool?, subject: subject? })
}

#[allow(clippy::option_option, reason = "absent, given and wrong are three things")]
fn acting(object: &Object<'_, '_>, report: &Report) -> Option<Option<UserId>> {
    object.optional("actingUser", |node| node.check(report, UserId::from_str))
}

fn by_link(object: &Object<'_, '_>, report: &Report) -> Option<bool> {
    object.or("delivery", false, |node| node.word(report, &[("mail", false), ("link", true)]))
}

fn token_of(object: &Object<'_, '_>, report: &Report) -> Option<String> {
    object.required("token").and_then(|node| node.line(report, 100))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const USER: &str = "usr_01jd8x3v9mfk2t5h7q0w4z6y8c";

    fn fields<T: std::fmt::Debug>(result: Result<T, Rejection>) -> Vec<String> {
        result.unwrap_err().errors.into_iter().map(|error| error.field).collect()
    }

    #[test]
    fn nothing_is_taken_that_was_not_asked_for() {
        // What somebody would like to slip in, in every body that writes.
        for extra in [
            "tenant",
            "tenantId",
            "state",
            "plan",
            "quota",
            "version",
            "createdAt",
            "createdBy",
            "invitedBy",
            "permissions",
        ] {
            let with = |mut value: Value| {
                value[extra] = json!("x");
                value
            };
            let person =
                json!({ "issuer": "https://i.example", "subject": "1", "email": "a@example.com", "role": "member" });
            assert_eq!(fields(member(&with(person.clone()))), [extra]);
            assert_eq!(fields(member_patch(&with(json!({ "role": "admin" })))), [extra]);
            assert_eq!(fields(invitation(&with(json!({ "email": "a@example.com", "role": "member" })))), [extra]);
            assert_eq!(fields(on_behalf(&with(json!({})))), [extra]);
            assert_eq!(fields(transfer(&with(json!({ "actingUser": USER })))), [extra]);
            assert_eq!(fields(import(&with(json!({ "rows": [] })))), [extra]);
            let row = import(&json!({ "rows": [with(person)] })).unwrap().rows.remove(0);
            assert_eq!(row.unwrap_err()[0].field, extra);
        }
        let accept = json!({ "token": "t", "issuer": "i", "subject": "1", "email": "a@example.com", "emailVerified": true, "role": "owner" });
        let wrong = acceptance(&accept).map(|_| ()).unwrap_err();
        assert_eq!(wrong.errors[0].field, "role");
    }

    #[test]
    fn everything_that_is_wrong_is_told() {
        assert_eq!(fields(member(&json!({}))), ["issuer", "subject", "email", "role"]);
        let wrong =
            json!({ "email": "a", "role": "A", "validFor": "soon", "delivery": "pigeon", "actingUser": "ten_x" });
        assert_eq!(fields(invitation(&wrong)), ["email", "role", "validFor", "delivery", "actingUser"]);
        assert_eq!(fields(role(&json!({ "permissions": ["tenant:x", "a"] }))), ["permissions[0]", "permissions[1]"]);
        assert_eq!(fields(check(&json!({ "user": "x", "permission": "*" }))), ["user", "permission"]);
        assert_eq!(fields(transfer(&json!({}))), ["actingUser"]);
        let invited = invitation(&json!({ "email": "A@Example.com", "role": "member", "delivery": "link" })).unwrap();
        assert!(invited.by_link && invited.email.as_str() == "A@example.com");
    }

    #[test]
    fn a_row_is_a_member_or_one_who_goes() {
        let rows = json!({ "rows": [
            { "issuer": "i", "subject": "1", "email": "a@example.com", "role": "member" },
            { "issuer": "i", "subject": "1", "remove": true },
            { "issuer": "i", "subject": "1" },
            { "issuer": "i", "subject": "1", "remove": true, "role": "member" },
            7,
        ], "dryRun": true });
        let read = import(&rows).unwrap();
        assert!(read.dry_run && read.rows[0].is_ok());
        assert!(matches!(&read.rows[1], Ok(ImportRowBody::Gone(identity)) if identity.subject == "1"));
        let named =
            |row: usize| read.rows[row].clone().unwrap_err().into_iter().map(|error| error.field).collect::<Vec<_>>();
        assert_eq!(
            (named(2), named(3), named(4)),
            (vec!["email".into(), "role".into()], vec!["role".into()], vec![String::new()])
        );
        let many = json!({ "rows": vec![json!({}); 1001] });
        assert_eq!(fields(import(&many)), ["rows"]);
    }
}
