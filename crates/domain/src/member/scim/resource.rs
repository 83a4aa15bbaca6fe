//! What a client sends, brought into the form in which it is kept.
//!
//! INVARIANT: the kept form holds attributes of the schema that are the client's to say, in the schema's names, and no
//! others; texts are bounded and hold no control characters.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::filter::Path;
use super::schema::{Attribute, Form, Found, Kind, Mutability, Scope};
use super::{MOST_MEMBERS, ScimError, shown};
use crate::member::Email;

/// Most characters of a text.
const LONGEST: usize = 255;
/// Most values of an attribute that is not a group's members.
pub(super) const MOST_VALUES: usize = 20;

/// A user as the rest of us needs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// `userName`.
    pub user_name: String,
    /// The same in lower case; unique in the tenant.
    pub key: String,
    /// What the directory calls them.
    pub external_id: Option<String>,
    /// Whether they may be a member.
    pub is_active: bool,
    /// The primary address, or another one, or the name if it is one; absent where there is none of a form that we read.
    pub email: Option<Email>,
    /// Their name for people.
    pub name: Option<String>,
}

impl Person {
    /// Reads the kept form.
    #[must_use]
    pub fn of(doc: &Map<String, Value>) -> Self {
        let text = |name: &str| doc.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
        let user_name = text("userName").unwrap_or_default();
        let part = |name: &str| doc.get("name").and_then(|all| all.get(name)).and_then(Value::as_str);
        let both = match (part("givenName"), part("familyName")) {
            (Some(given), Some(family)) => Some(format!("{given} {family}")),
            (one, other) => one.or(other).map(ToOwned::to_owned),
        };
        let name = text("displayName").or_else(|| part("formatted").map(ToOwned::to_owned)).or(both);
        Self {
            key: user_name.to_lowercase(),
            external_id: text("externalId"),
            is_active: doc.get("active").and_then(Value::as_bool).unwrap_or(true),
            email: email(doc).or_else(|| user_name.parse().ok()),
            name,
            user_name,
        }
    }
}

fn email(doc: &Map<String, Value>) -> Option<Email> {
    let all = doc.get("emails").and_then(Value::as_array)?;
    let is = |one: &&Value, part: &str, wanted: &Value| one.get(part) == Some(wanted);
    let primary = all.iter().find(|one| is(one, "primary", &Value::Bool(true)));
    let work = || all.iter().find(|one| is(one, "type", &Value::from("work")));
    let first = primary.or_else(work).or_else(|| all.first())?;
    first.get("value").and_then(Value::as_str).and_then(|text| text.parse().ok())
}

/// A group as the rest of us needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// `displayName`.
    pub name: String,
    /// The same in lower case; unique in the tenant.
    pub key: String,
    /// What the directory calls it.
    pub external_id: Option<String>,
}

impl Team {
    /// Reads the kept form.
    #[must_use]
    pub fn of(doc: &Map<String, Value>) -> Self {
        let text = |name: &str| doc.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
        let name = text("displayName").unwrap_or_default();
        Self { key: name.to_lowercase(), external_id: text("externalId"), name }
    }
}

/// Reads a whole resource, as POST and PUT send it.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn read(kind: Kind, body: &Value) -> Result<Map<String, Value>, ScimError> {
    let Value::Object(body) = body else { return Err(ScimError::Syntax("must be a JSON object")) };
    let named = body.get("schemas").and_then(Value::as_array);
    let is_ours = |name: &Value| name.as_str().is_some_and(|name| name.eq_ignore_ascii_case(kind.schema()));
    if !named.is_some_and(|all| all.iter().any(is_ours)) {
        return Err(ScimError::Syntax(match kind {
            Kind::User => "needs `schemas` with urn:ietf:params:scim:schemas:core:2.0:User",
            Kind::Group => "needs `schemas` with urn:ietf:params:scim:schemas:core:2.0:Group",
        }));
    }
    let mut doc = Map::new();
    for (key, given) in body {
        let Some(path) = Path::parse(key).filter(|path| path.urn.is_none() && path.part.is_none()) else { continue };
        let Found::Known(attribute, None) = kind.scope().find(&path) else { continue };
        if attribute.mutability == Mutability::ReadOnly {
            continue;
        }
        if let Some(value) = value(attribute, given)? {
            doc.insert(attribute.name.to_owned(), value);
        }
    }
    if kind == Kind::User {
        doc.entry("active").or_insert(Value::Bool(true));
    }
    check(kind, &mut doc)?;
    Ok(doc)
}

/// What holds of a whole resource, however it came about.
pub(super) fn check(kind: Kind, doc: &mut Map<String, Value>) -> Result<(), ScimError> {
    for attribute in kind.attributes() {
        if attribute.is_required && !doc.contains_key(attribute.name) {
            return Err(ScimError::Value { field: attribute.name.to_owned(), problem: "is required" });
        }
    }
    let Some(Value::Array(emails)) = doc.get_mut("emails") else { return Ok(()) };
    // A value of which only the type is left is none.
    emails.retain(|one| one.get("value").is_some());
    let primaries = emails.iter().filter(|one| one.get("primary") == Some(&Value::Bool(true))).count();
    if primaries > 1 {
        return Err(ScimError::Value {
            field: "emails.primary".to_owned(),
            problem: "can be true for one address only",
        });
    }
    for one in emails.iter() {
        let text = one.get("value").and_then(Value::as_str).unwrap_or_default();
        if Email::parse(text).is_err() {
            let problem = "must be an ASCII address such as name@example.com";
            return Err(ScimError::Value { field: "emails.value".to_owned(), problem });
        }
    }
    if emails.is_empty() {
        doc.remove("emails");
    }
    Ok(())
}

/// A value of an attribute; nothing where it says that there is none.
pub(super) fn value(attribute: &'static Attribute, given: &Value) -> Result<Option<Value>, ScimError> {
    let wrong = |problem| ScimError::Value { field: attribute.name.to_owned(), problem };
    if !attribute.is_multi {
        return one(attribute, attribute.name, given);
    }
    let all = match given {
        Value::Null => return Ok(None),
        Value::Array(all) => all.as_slice(),
        single => std::slice::from_ref(single),
    };
    if attribute.name == "members" {
        if all.len() > MOST_MEMBERS {
            return Err(wrong("can have at most 2000 values in one request"));
        }
    } else if all.len() > MOST_VALUES {
        return Err(wrong("can have at most 20 values"));
    }
    let mut kept = Vec::with_capacity(all.len());
    for given in all {
        kept.extend(one(attribute, attribute.name, given)?);
    }
    Ok(if kept.is_empty() { None } else { Some(Value::Array(kept)) })
}

/// One value.
pub(super) fn one(attribute: &'static Attribute, field: &str, given: &Value) -> Result<Option<Value>, ScimError> {
    let wrong = |problem| Err(ScimError::Value { field: field.to_owned(), problem });
    match (attribute.form, given) {
        (_, Value::Null) => Ok(None),
        (Form::Bool, Value::Bool(_)) => Ok(Some(given.clone())),
        // Entra writes booleans as texts.
        (Form::Bool, Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(Some(Value::Bool(true))),
        (Form::Bool, Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(Some(Value::Bool(false))),
        (Form::Bool, _) => wrong("must be true or false"),
        (Form::Complex, Value::Object(given)) => {
            let (parts, mut kept) = (Scope::of_parts(attribute), Map::new());
            for (key, given) in given {
                let Some(part) = parts.attribute(key).filter(|part| part.mutability != Mutability::ReadOnly) else {
                    continue;
                };
                if let Some(value) = one(part, &format!("{field}.{}", part.name), given)? {
                    kept.insert(part.name.to_owned(), value);
                }
            }
            Ok(if kept.is_empty() { None } else { Some(Value::Object(kept)) })
        }
        // An address or a member without anything around it.
        (Form::Complex, Value::String(_)) if attribute.is_multi => {
            one(attribute, field, &serde_json::json!({ "value": given }))
        }
        (Form::Complex, _) => wrong("must be a JSON object"),
        (_, Value::String(text)) if text.trim().is_empty() => Ok(None),
        (_, Value::String(text)) if text.chars().count() > LONGEST => wrong("can have at most 255 characters"),
        (_, Value::String(text)) if text.chars().any(char::is_control) => wrong("can hold no control characters"),
        (_, Value::String(text)) => Ok(Some(Value::String(text.trim().to_owned()))),
        _ => wrong("must be a text"),
    }
}

/// The users that values of `members` name.
pub(super) fn member_ids(values: &[Value]) -> Result<Vec<Uuid>, ScimError> {
    let wrong = |problem| ScimError::Value { field: "members".to_owned(), problem };
    let mut ids = Vec::with_capacity(values.len());
    for value in values {
        let text =
            value.get("value").and_then(Value::as_str).ok_or_else(|| wrong("needs the `value` of each member"))?;
        if value.get("type").and_then(Value::as_str).is_some_and(|kind| kind.eq_ignore_ascii_case("group")) {
            return Err(wrong("can be users only; groups in groups are not kept"));
        }
        let id = Uuid::try_parse(text).map_err(|_| ScimError::Absent { kind: "User", id: shown(text) });
        ids.push(id.map_err(|_| wrong("names a user that does not exist here"))?);
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// The members that a whole group names.
///
/// # Errors
/// One of them is no id of a user.
pub fn members(doc: &Map<String, Value>) -> Result<Vec<Uuid>, ScimError> {
    doc.get("members").and_then(Value::as_array).map_or_else(|| Ok(Vec::new()), |all| member_ids(all))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_in_the_schema_is_not_kept() {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
            "USERNAME": "anna@acme.example", "password": "t1meMa$heen", "title": "Head", "tenant": "globex", "role": "owner",
            "roles": [{ "value": "owner" }], "groups": [{ "value": "x" }], "id": "mine", "meta": { "version": "9" },
            "active": "False", "name": { "GivenName": "Anna", "familyName": "Arendt", "role": "x" },
            "emails": [{ "value": "anna@acme.example", "type": "work", "primary": "True" }], "displayName": null,
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": "IT" }, "externalId": "A1",
        });
        let doc = read(Kind::User, &body).unwrap();
        assert_eq!(
            Value::Object(doc.clone()),
            json!({
                "userName": "anna@acme.example", "active": false, "externalId": "A1",
                "name": { "givenName": "Anna", "familyName": "Arendt" },
                "emails": [{ "value": "anna@acme.example", "type": "work", "primary": true }],
            })
        );
        let person = Person::of(&doc);
        assert_eq!((person.is_active, person.name.as_deref()), (false, Some("Anna Arendt")));
        assert_eq!(person.email.unwrap().as_str(), "anna@acme.example");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |mut extra: Value| {
            extra["schemas"] = json!([Kind::User.schema()]);
            read(Kind::User, &extra).unwrap_err().to_string()
        };
        for (body, told) in [
            (json!({}), "`userName` is required"),
            (json!({ "userName": "  " }), "`userName` is required"),
            (json!({ "userName": 7 }), "`userName` must be a text"),
            (json!({ "userName": "a\u{7}" }), "`userName` can hold no control characters"),
            (json!({ "userName": "x".repeat(256) }), "`userName` can have at most 255 characters"),
            (json!({ "userName": "a", "active": "maybe" }), "`active` must be true or false"),
            (json!({ "userName": "a", "name": "Anna" }), "`name` must be a JSON object"),
            (json!({ "userName": "a", "emails": ["anna"] }), "`emails.value` must be an ASCII address"),
            (
                json!({ "userName": "a", "emails": [{ "value": "a@b.example", "primary": true }, { "value": "c@b.example", "primary": true }] }),
                "`emails.primary` can be true for one address only",
            ),
        ] {
            let found = with(body.clone());
            assert!(found.starts_with(told), "{body}: {found}");
        }
        assert!(matches!(read(Kind::User, &json!({ "userName": "a" })), Err(ScimError::Syntax(_))));
        assert!(matches!(read(Kind::User, &json!([])), Err(ScimError::Syntax(_))));
        let group = json!({ "schemas": [Kind::Group.schema()], "displayName": "G", "members": [{ "value": "x" }] });
        assert!(members(&read(Kind::Group, &group).unwrap()).is_err());
    }

    #[test]
    fn the_address_of_a_member_is_the_primary_one_or_the_best_there_is() {
        let of = |emails: Value| {
            let body = json!({ "schemas": [Kind::User.schema()], "userName": "n@acme.example", "emails": emails });
            Person::of(&read(Kind::User, &body).unwrap()).email.unwrap().to_string()
        };
        assert_eq!(of(json!([{ "value": "a@x.example" }, { "value": "b@x.example", "primary": true }])), "b@x.example");
        assert_eq!(of(json!([{ "value": "a@x.example" }, { "value": "b@x.example", "type": "work" }])), "b@x.example");
        assert_eq!(of(json!(["a@x.example"])), "a@x.example");
        assert_eq!(of(json!([])), "n@acme.example");
    }
}
