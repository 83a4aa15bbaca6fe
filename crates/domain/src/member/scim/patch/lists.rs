//! Attributes with several values: as a whole, some of the values, a part of them.

use serde_json::{Map, Value};

use super::super::filter::{Filter, Literal, Op as Compare, Test};
use super::super::matching::holds;
use super::super::resource::{self, MOST_VALUES};
use super::super::schema::{Attribute, Scope};
use super::super::{ScimError, shown};
use super::{Op, Operation, merge, set};

/// An attribute with several values, as a whole.
pub(super) fn list(
    doc: &mut Map<String, Value>,
    operation: &Operation,
    attribute: &'static Attribute,
) -> Result<(), ScimError> {
    let given = resource::value(attribute, &operation.value)?;
    let mut all = taken(doc, attribute);
    let given = given.and_then(|given| if let Value::Array(given) = given { Some(given) } else { None });
    let mut touched = None;
    match (operation.op, given) {
        (Op::Remove, Some(given)) => all.retain(|one| !given.iter().any(|gone| one.get("value") == gone.get("value"))),
        (Op::Remove | Op::Replace, None) => all.clear(),
        (Op::Replace, Some(given)) => all = given,
        (Op::Add, given) => {
            for one in given.into_iter().flatten() {
                let is_same =
                    |known: &Value| known.get("value") == one.get("value") && known.get("type") == one.get("type");
                let place = all.iter().position(is_same).unwrap_or(all.len());
                if one.get("primary") == Some(&Value::Bool(true)) {
                    touched = Some(place);
                }
                if place < all.len() { all[place] = one } else { all.push(one) }
            }
        }
    }
    put(doc, attribute, all, touched)
}

/// Some values of an attribute with several, or a part of them.
pub(super) fn values(
    doc: &mut Map<String, Value>,
    operation: &Operation,
    attribute: &'static Attribute,
    inner: Option<&Filter>,
    part: Option<&'static Attribute>,
) -> Result<(), ScimError> {
    let parts = Scope::of_parts(attribute);
    let mut all = taken(doc, attribute);
    let is_meant = |one: &Value| inner.is_none_or(|inner| holds(inner, one, &parts));
    if operation.op == Op::Remove {
        match part {
            None => all.retain(|one| !is_meant(one)),
            Some(part) => {
                for one in all.iter_mut().filter(|one| is_meant(one)) {
                    if let Some(one) = one.as_object_mut() {
                        one.remove(part.name);
                    }
                }
            }
        }
        return put(doc, attribute, all, None);
    }
    if !all.iter().any(is_meant) {
        let mut fresh = Map::new();
        if inner.is_some_and(|inner| !asserted(inner, &parts, &mut fresh)) {
            return Err(ScimError::NoTarget(shown(&operation.path)));
        }
        all.push(Value::Object(fresh));
    }
    // What is meant is decided before anything changes: a new type must not hide a value from its own change.
    let meant: Vec<bool> = all.iter().map(|one| is_meant(one) || one.as_object().is_some_and(Map::is_empty)).collect();
    let mut touched = None;
    for (place, one) in all.iter_mut().enumerate().filter(|(place, _)| meant[*place]) {
        let Some(one) = one.as_object_mut() else { continue };
        match part {
            Some(part) => set(one, part, &format!("{}.{}", attribute.name, part.name), &operation.value)?,
            None => merge(one, attribute, &operation.value)?,
        }
        if one.get("primary") == Some(&Value::Bool(true)) {
            touched = Some(place);
        }
    }
    put(doc, attribute, all, touched)
}

/// What a value has to be like that a filter of equalities asks for; false when it asks for something else.
fn asserted(filter: &Filter, parts: &Scope, fresh: &mut Map<String, Value>) -> bool {
    match filter {
        Filter::And(all) => all.iter().all(|one| asserted(one, parts, fresh)),
        Filter::Is(path, Test::Is(Compare::Eq, literal)) => {
            let Some(part) = parts.attribute(&path.name).filter(|_| path.part.is_none()) else { return false };
            let value = match literal {
                Literal::Text(text) => Value::from(text.as_str()),
                Literal::Bool(value) => Value::Bool(*value),
                Literal::Number(_) | Literal::Null => return false,
            };
            match resource::one(part, part.name, &value) {
                Ok(Some(value)) => fresh.insert(part.name.to_owned(), value).is_none(),
                _ => false,
            }
        }
        _ => false,
    }
}

fn taken(doc: &mut Map<String, Value>, attribute: &Attribute) -> Vec<Value> {
    match doc.remove(attribute.name) {
        Some(Value::Array(all)) => all,
        _ => Vec::new(),
    }
}

/// Puts values back; the one that became the primary one takes that from the others (RFC 7644, section 3.5.2).
fn put(
    doc: &mut Map<String, Value>,
    attribute: &Attribute,
    mut all: Vec<Value>,
    primary: Option<usize>,
) -> Result<(), ScimError> {
    if all.len() > MOST_VALUES {
        return Err(ScimError::Value { field: attribute.name.to_owned(), problem: "can have at most 20 values" });
    }
    if let Some(primary) = primary {
        for (_, one) in all.iter_mut().enumerate().filter(|(place, _)| *place != primary) {
            if let Some(is_primary) = one.get_mut("primary") {
                *is_primary = Value::Bool(false);
            }
        }
    }
    if !all.is_empty() {
        doc.insert(attribute.name.to_owned(), Value::Array(all));
    }
    Ok(())
}
