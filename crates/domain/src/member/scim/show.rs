//! Resources and lists as clients see them.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::schema::Kind;
use crate::Timestamp;
use crate::member::RoleName;

/// What of a resource is ours.
#[derive(Debug, Clone, Copy)]
pub struct Shell {
    /// Its id.
    pub id: Uuid,
    /// Rises with every change.
    pub version: i64,
    /// Since when.
    pub created: Timestamp,
    /// The last change.
    pub changed: Timestamp,
}

/// The ETag of a version. Weak: what groups and roles show of a user may differ while it stays.
#[must_use]
pub fn etag(version: i64) -> String {
    format!("W/\"{version}\"")
}

fn resource(kind: Kind, base: &str, shell: &Shell, doc: Map<String, Value>) -> Map<String, Value> {
    let mut shown = doc;
    shown.insert("schemas".to_owned(), json!([kind.schema()]));
    shown.insert("id".to_owned(), json!(shell.id));
    shown.insert(
        "meta".to_owned(),
        json!({
            "resourceType": kind.as_str(), "created": shell.created, "lastModified": shell.changed,
            "location": format!("{base}/{}/{}", kind.endpoint(), shell.id), "version": etag(shell.version),
        }),
    );
    shown
}

/// A user, with what they hold and the groups that they are in (id and name).
#[must_use]
pub fn user(
    base: &str,
    shell: &Shell,
    doc: Map<String, Value>,
    is_active: bool,
    role: Option<&RoleName>,
    groups: &[(Uuid, String)],
) -> Value {
    let mut shown = resource(Kind::User, base, shell, doc);
    // A value that was taken away has no value, and stands for the usual one.
    if !is_active || shown.contains_key("active") {
        shown.insert("active".to_owned(), Value::Bool(is_active));
    }
    if let Some(role) = role {
        shown.insert("roles".to_owned(), json!([{ "value": role, "primary": true }]));
    }
    if !groups.is_empty() {
        let group = |(id, name): &(Uuid, String)| json!({ "value": id, "$ref": format!("{base}/Groups/{id}"), "display": name });
        shown.insert("groups".to_owned(), groups.iter().map(group).collect());
    }
    Value::Object(shown)
}

/// A group; with its members (ids) unless they were not looked up.
#[must_use]
pub fn group(base: &str, shell: &Shell, doc: Map<String, Value>, members: Option<&[Uuid]>) -> Value {
    let mut shown = resource(Kind::Group, base, shell, doc);
    if let Some(members) = members.filter(|members| !members.is_empty()) {
        let member = |id: &Uuid| json!({ "value": id, "$ref": format!("{base}/Users/{id}"), "type": "User" });
        shown.insert("members".to_owned(), members.iter().map(member).collect());
    }
    Value::Object(shown)
}

/// A list (RFC 7644, section 3.4.2); `start` counts from 1.
#[must_use]
pub fn list(total: u64, start: u64, resources: &[Value]) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": total, "startIndex": start, "itemsPerPage": resources.len(), "Resources": resources,
    })
}

/// An error (RFC 7644, section 3.12).
#[must_use]
pub fn error(status: u16, word: Option<&str>, detail: &str) -> Value {
    let mut shown = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": status.to_string(), "detail": detail,
    });
    if let Some(word) = word {
        shown["scimType"] = json!(word);
    }
    shown
}
