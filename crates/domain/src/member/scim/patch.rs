//! Changes of a resource (RFC 7644, section 3.5.2), also in the forms that directories really send.
//!
//! Beyond the standard, because Entra and Okta need it: operations in any case, booleans as texts, values without a path
//! whose keys are paths, attributes of the server inside such values (passed over), members to remove as a value, and a
//! value made where `emails[type eq "work"].value` finds none.
//! INVARIANT: what cannot be changed by a client is never changed, and a request that names it by its path is refused as a whole.

mod lists;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::filter::{Filter, Literal, Op as Compare, Target, Test};
use super::resource::{self, member_ids};
use super::schema::{Attribute, Form, Found, Kind, Mutability, Scope};
use super::{MOST_MEMBERS, ScimError, shown};
use lists::{list, values};

/// The message's name.
pub const SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// Most operations of a request.
pub const MOST: usize = 2000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Add,
    Replace,
    Remove,
}

#[derive(Debug, Clone, PartialEq)]
struct Operation {
    op: Op,
    target: Option<Target>,
    /// The path as it was sent, for messages.
    path: String,
    value: Value,
}

/// Operations that are done one after the other, all or none.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch(Vec<Operation>);

/// What becomes of a group's members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberChange {
    /// These come.
    Add(Vec<Uuid>),
    /// These go.
    Remove(Vec<Uuid>),
    /// There are these and no others.
    Set(Vec<Uuid>),
}

impl Patch {
    /// Reads a request.
    ///
    /// # Errors
    /// It is no such message, or a path of it is none.
    pub fn parse(body: &Value) -> Result<Self, ScimError> {
        let field = |name: &str| {
            let body = body.as_object()?;
            body.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        };
        let is_ours = |name: &Value| name.as_str().is_some_and(|name| name.eq_ignore_ascii_case(SCHEMA));
        if !field("schemas").and_then(Value::as_array).is_some_and(|all| all.iter().any(is_ours)) {
            return Err(ScimError::Syntax("needs `schemas` with urn:ietf:params:scim:api:messages:2.0:PatchOp"));
        }
        let all = field("Operations").and_then(Value::as_array).filter(|all| !all.is_empty());
        let all = all.ok_or(ScimError::Syntax("needs `Operations`, a list that is not empty"))?;
        if all.len() > MOST {
            return Err(ScimError::Syntax("can hold at most 2000 operations"));
        }
        all.iter().map(operation).collect::<Result<_, _>>().map(Self)
    }

    /// Changes a resource. Gives what becomes of a group's members, which are not in the document.
    ///
    /// # Errors
    /// The first operation that cannot be done; the document is then of no use.
    pub fn apply(&self, kind: Kind, doc: &mut Map<String, Value>) -> Result<Vec<MemberChange>, ScimError> {
        let mut changes = Vec::new();
        for operation in &self.0 {
            match &operation.target {
                Some(target) => at(kind, doc, operation, target, &mut changes)?,
                None => whole(kind, doc, operation.op, &operation.value, &mut changes)?,
            }
        }
        let named = |change: &MemberChange| match change {
            MemberChange::Add(ids) | MemberChange::Remove(ids) | MemberChange::Set(ids) => ids.len(),
        };
        if changes.iter().map(named).sum::<usize>() > MOST_MEMBERS {
            let problem = "can have at most 2000 values in one request";
            return Err(ScimError::Value { field: "members".to_owned(), problem });
        }
        resource::check(kind, doc)?;
        Ok(changes)
    }
}

fn operation(given: &Value) -> Result<Operation, ScimError> {
    let field = |name: &str| {
        let given = given.as_object()?;
        given.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let op = match field("op").and_then(Value::as_str).map(str::to_ascii_lowercase).as_deref() {
        Some("add") => Op::Add,
        Some("replace") => Op::Replace,
        Some("remove") => Op::Remove,
        _ => return Err(ScimError::Syntax("has an operation whose `op` is none of add, replace, remove")),
    };
    let path = match field("path") {
        None | Some(Value::Null) => "",
        Some(Value::String(path)) => path.trim(),
        Some(_) => return Err(ScimError::Syntax("has an operation whose `path` is no text")),
    };
    let is_whole = path.is_empty() || Kind::ALL.iter().any(|kind| kind.schema().eq_ignore_ascii_case(path));
    let target = if is_whole { None } else { Some(Target::parse(path)?) };
    let value = field("value").cloned().unwrap_or(Value::Null);
    if op == Op::Remove && target.is_none() {
        return Err(ScimError::NoTarget(String::new()));
    }
    if op == Op::Add && value.is_null() {
        return Err(ScimError::Value { field: "value".to_owned(), problem: "is required to add something" });
    }
    Ok(Operation { op, target, path: path.to_owned(), value })
}

/// A value without a path: each of its keys is one.
fn whole(
    kind: Kind,
    doc: &mut Map<String, Value>,
    op: Op,
    value: &Value,
    changes: &mut Vec<MemberChange>,
) -> Result<(), ScimError> {
    let Value::Object(value) = value else {
        return Err(ScimError::Value { field: "value".to_owned(), problem: "must be a JSON object without a `path`" });
    };
    for (key, value) in value {
        if key.eq_ignore_ascii_case("schemas") {
            continue;
        }
        // A value may hold the resource's attributes under its schema's name, once.
        if key.eq_ignore_ascii_case(kind.schema()) {
            let Value::Object(inner) = value else { continue };
            for (key, value) in inner {
                within(kind, doc, op, (key, value), changes)?;
            }
            continue;
        }
        within(kind, doc, op, (key, value), changes)?;
    }
    Ok(())
}

/// What nobody knows and what is ours is passed over, as it is in a whole resource.
fn within(
    kind: Kind,
    doc: &mut Map<String, Value>,
    op: Op,
    (key, value): (&str, &Value),
    changes: &mut Vec<MemberChange>,
) -> Result<(), ScimError> {
    let Ok(target) = Target::parse(key) else { return Ok(()) };
    match kind.scope().find(&target.path) {
        Found::Known(attribute, part) => {
            let last = part.unwrap_or(attribute);
            if attribute.mutability == Mutability::ReadOnly || last.mutability == Mutability::ReadOnly {
                return Ok(());
            }
        }
        Found::PassedOver | Found::Unknown => return Ok(()),
    }
    let operation = Operation { op, target: None, path: key.to_owned(), value: value.clone() };
    at(kind, doc, &operation, &target, changes)
}

fn at(
    kind: Kind,
    doc: &mut Map<String, Value>,
    operation: &Operation,
    target: &Target,
    changes: &mut Vec<MemberChange>,
) -> Result<(), ScimError> {
    let wrong_path = || ScimError::Path(shown(&operation.path));
    let (attribute, mut part) = match kind.scope().find(&target.path) {
        Found::Known(attribute, part) => (attribute, part),
        Found::PassedOver => return Ok(()),
        Found::Unknown => return Err(wrong_path()),
    };
    if let Some(name) = &target.part {
        part = Some(Scope::of_parts(attribute).attribute(name).ok_or_else(wrong_path)?);
    }
    let is_ours = |one: &Attribute| one.mutability == Mutability::ReadOnly;
    if is_ours(attribute) || part.is_some_and(is_ours) {
        return Err(ScimError::Mutability(shown(&operation.path)));
    }
    if attribute.name == "members" {
        changes.push(members(operation, target, attribute, part)?);
        return Ok(());
    }
    match (attribute.is_multi, &target.inner) {
        (true, inner) if inner.is_some() || part.is_some() => values(doc, operation, attribute, inner.as_ref(), part),
        (true, _) => list(doc, operation, attribute),
        (false, Some(_)) => Err(wrong_path()),
        (false, None) => single(doc, operation, attribute, part),
    }
}

/// Who comes and who goes.
fn members(
    operation: &Operation,
    target: &Target,
    attribute: &'static Attribute,
    part: Option<&'static Attribute>,
) -> Result<MemberChange, ScimError> {
    let immutable = || ScimError::Mutability(shown(&operation.path));
    if part.is_some() {
        return Err(immutable());
    }
    if let Some(inner) = &target.inner {
        if operation.op != Op::Remove {
            return Err(immutable());
        }
        let mut named = Vec::new();
        if !values_named(inner, &mut named) {
            return Err(ScimError::Path(shown(&operation.path)));
        }
        return member_ids(&named).map(MemberChange::Remove);
    }
    let given = resource::value(attribute, &operation.value)?;
    let given = given.as_ref().and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let ids = member_ids(given)?;
    Ok(match operation.op {
        Op::Add => MemberChange::Add(ids),
        Op::Remove if !ids.is_empty() => MemberChange::Remove(ids),
        Op::Remove => MemberChange::Set(Vec::new()),
        Op::Replace => MemberChange::Set(ids),
    })
}

/// The values of `value eq "…" or value eq "…"`; false when the filter asks for something else.
fn values_named(filter: &Filter, named: &mut Vec<Value>) -> bool {
    match filter {
        Filter::Or(any) => any.iter().all(|one| values_named(one, named)),
        Filter::Is(path, Test::Is(Compare::Eq, Literal::Text(text))) if path.name.eq_ignore_ascii_case("value") => {
            named.push(serde_json::json!({ "value": text }));
            true
        }
        _ => false,
    }
}

/// An attribute with one value, or a part of it.
fn single(
    doc: &mut Map<String, Value>,
    operation: &Operation,
    attribute: &'static Attribute,
    part: Option<&'static Attribute>,
) -> Result<(), ScimError> {
    let is_removal = operation.op == Op::Remove || operation.value.is_null();
    if part.is_none() && is_removal {
        if attribute.is_required {
            return Err(ScimError::Mutability(attribute.name.to_owned()));
        }
        doc.remove(attribute.name);
        return Ok(());
    }
    if attribute.form != Form::Complex {
        let given = resource::value(attribute, &operation.value)?;
        match given {
            Some(given) => doc.insert(attribute.name.to_owned(), given),
            None if attribute.is_required => return Err(ScimError::Mutability(attribute.name.to_owned())),
            None => doc.remove(attribute.name),
        };
        return Ok(());
    }
    let mut parts = match doc.remove(attribute.name) {
        Some(Value::Object(parts)) => parts,
        _ => Map::new(),
    };
    match part {
        Some(part) if is_removal => {
            parts.remove(part.name);
        }
        Some(part) => set(&mut parts, part, &format!("{}.{}", attribute.name, part.name), &operation.value)?,
        None => merge(&mut parts, attribute, &operation.value)?,
    }
    if !parts.is_empty() {
        doc.insert(attribute.name.to_owned(), Value::Object(parts));
    }
    Ok(())
}

fn set(parts: &mut Map<String, Value>, part: &'static Attribute, field: &str, given: &Value) -> Result<(), ScimError> {
    match resource::one(part, field, given)? {
        Some(given) => parts.insert(part.name.to_owned(), given),
        None => parts.remove(part.name),
    };
    Ok(())
}

fn merge(parts: &mut Map<String, Value>, attribute: &'static Attribute, given: &Value) -> Result<(), ScimError> {
    let Value::Object(given) = given else {
        return Err(ScimError::Value { field: attribute.name.to_owned(), problem: "must be a JSON object" });
    };
    for (key, given) in given {
        let found = Scope::of_parts(attribute).attribute(key);
        if let Some(part) = found.filter(|part| part.mutability != Mutability::ReadOnly) {
            set(parts, part, &format!("{}.{}", attribute.name, part.name), given)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
