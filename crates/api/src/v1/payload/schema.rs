//! Schemas of payloads: made from the structs, compared with those of a release before, asked about a value.
//!
//! Only the part of JSON Schema (2020-12) that our shapes use is understood; a word that is not understood is an error, so
//! that nothing passes by not being looked at.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use utoipa::ToSchema;

const PARTS: &str = "#/components/schemas/";
const OWN: &str = "#/$defs/";

/// The schema of a struct, complete in itself.
pub(super) fn of<P: ToSchema>() -> Value {
    let mut parts = Vec::new();
    P::schemas(&mut parts);
    let mut schema = plain(serde_json::to_value(P::schema()).unwrap_or_default());
    let parts: BTreeMap<String, Value> =
        parts.into_iter().map(|(name, part)| (name, plain(serde_json::to_value(part).unwrap_or_default()))).collect();
    if let Some(members) = schema.as_object_mut() {
        members.insert("title".to_owned(), Value::String(P::name().into_owned()));
        if !parts.is_empty() {
            members.insert("$defs".to_owned(), parts.into_iter().collect());
        }
    }
    schema
}

/// In the words of JSON Schema, with members in order of their names: `example` is of OpenAPI, parts lie in the schema itself.
fn plain(schema: Value) -> Value {
    match schema {
        Value::Object(members) => {
            let members: BTreeMap<String, Value> = members
                .into_iter()
                .map(|(name, value)| match (name.as_str(), value) {
                    ("example", value) if !value.is_object() || value.get("type").is_none() => {
                        ("examples".to_owned(), json!([value]))
                    }
                    ("$ref", Value::String(to)) => (name, Value::String(to.replace(PARTS, OWN))),
                    (_, value) => (name, plain(value)),
                })
                .collect();
            members.into_iter().collect()
        }
        Value::Array(items) => items.into_iter().map(plain).collect(),
        other => other,
    }
}

/// Whether a schema admits a value; says where not, and why.
///
/// # Errors
/// It does not, or uses a word that is not understood here.
pub fn admits(schema: &Value, value: &Value) -> Result<(), String> {
    fits(schema, schema, value, "data")
}

fn fits(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let Some(words) = schema.as_object() else { return Err(format!("{at}: the schema is none")) };
    for (word, want) in words {
        let holds = match (word.as_str(), want) {
            ("$ref", _) => return fits(root, target(root, schema), value, at),
            ("type", Value::String(one)) => is_of(value, one),
            ("type", Value::Array(any)) => any.iter().filter_map(Value::as_str).any(|one| is_of(value, one)),
            ("enum", Value::Array(words)) => words.contains(value),
            ("const", only) => only == value,
            ("oneOf" | "anyOf", Value::Array(any)) => any.iter().any(|one| fits(root, one, value, at).is_ok()),
            ("allOf", Value::Array(all)) => {
                for one in all {
                    fits(root, one, value, at)?;
                }
                true
            }
            ("required", Value::Array(names)) => {
                match names.iter().filter_map(Value::as_str).find(|name| value.is_object() && value.get(name).is_none())
                {
                    Some(name) => return Err(format!("{at}: `{name}` is missing")),
                    None => true,
                }
            }
            ("properties", Value::Object(properties)) => {
                for (name, part) in properties {
                    if let Some(value) = value.get(name) {
                        fits(root, part, value, &format!("{at}.{name}"))?;
                    }
                }
                true
            }
            ("additionalProperties", part @ Value::Object(_)) => {
                let named = words.get("properties").and_then(Value::as_object);
                let members = value.as_object().into_iter().flatten();
                for (name, value) in members.filter(|(name, _)| !named.is_some_and(|named| named.contains_key(*name))) {
                    fits(root, part, value, &format!("{at}.{name}"))?;
                }
                true
            }
            ("items", part) => {
                for (place, item) in value.as_array().into_iter().flatten().enumerate() {
                    fits(root, part, item, &format!("{at}[{place}]"))?;
                }
                true
            }
            ("minimum", least) => value.as_f64().is_none_or(|value| least.as_f64().is_some_and(|least| value >= least)),
            ("maximum", most) => value.as_f64().is_none_or(|value| most.as_f64().is_some_and(|most| value <= most)),
            ("maxItems", most) => {
                value.as_array().is_none_or(|items| most.as_u64().is_some_and(|most| items.len() as u64 <= most))
            }
            ("format", Value::String(format)) => match (format.as_str(), value) {
                ("date-time", Value::String(text)) => text.parse::<jiff::Timestamp>().is_ok(),
                _ => true,
            },
            ("$schema" | "$id" | "$defs" | "title" | "description" | "examples" | "propertyNames", _) => true,
            (word, _) => return Err(format!("{at}: the schema's word `{word}` is not understood")),
        };
        if !holds {
            return Err(format!("{at}: {value} is not {word} {want}"));
        }
    }
    Ok(())
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

/// What a schema refers to; itself where it refers to nothing.
fn target<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let to = schema.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix('#'));
    to.and_then(|pointer| root.pointer(pointer)).unwrap_or(schema)
}

/// Whether a schema only adds to an older one of the same version: every field of the old one is there, with the type that it
/// had, required if and only if it was; new fields are optional. Words of a text may be added. Says what is not so.
#[must_use]
pub fn grows(old: &Value, new: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    compare((old, old), (new, new), "data", &mut wrong);
    wrong
}

fn compare((old_root, old): (&Value, &Value), (new_root, new): (&Value, &Value), at: &str, wrong: &mut Vec<String>) {
    let (old, new) = (target(old_root, old), target(new_root, new));
    let types = |schema: &Value| -> BTreeSet<String> {
        match schema.get("type") {
            Some(Value::String(one)) => [one.clone()].into(),
            Some(Value::Array(any)) => any.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect(),
            _ => BTreeSet::new(),
        }
    };
    for word in ["format", "const", "minimum", "maximum", "maxItems"] {
        if old.get(word) != new.get(word) {
            wrong.push(format!("{at}: `{word}` was {:?} and is {:?}", old.get(word), new.get(word)));
        }
    }
    if types(old) != types(new) {
        wrong.push(format!("{at}: the type was {:?} and is {:?}", types(old), types(new)));
    }
    for word in names(old, "enum").difference(&names(new, "enum")) {
        wrong.push(format!("{at}: the word `{word}` was taken away"));
    }
    let (before, now) = (names(old, "required"), names(new, "required"));
    wrong.extend(now.difference(&before).map(|name| format!("{at}.{name}: was not required and is")));
    wrong.extend(before.difference(&now).map(|name| format!("{at}.{name}: was required and is not")));
    for (name, part) in old.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let at = format!("{at}.{name}");
        match new.get("properties").and_then(|properties| properties.get(name)) {
            Some(found) => compare((old_root, part), (new_root, found), &at, wrong),
            None => wrong.push(format!("{at}: was taken away")),
        }
    }
    for word in ["items", "additionalProperties"] {
        match (old.get(word), new.get(word)) {
            (Some(before @ Value::Object(_)), Some(now @ Value::Object(_))) => {
                compare((old_root, before), (new_root, now), &format!("{at}[]"), wrong);
            }
            (before, now) if before != now => wrong.push(format!("{at}: `{word}` is another one")),
            _ => {}
        }
    }
    for word in ["oneOf", "anyOf", "allOf"] {
        let list = |schema: &Value| schema.get(word).and_then(Value::as_array).cloned().unwrap_or_default();
        let (before, now) = (list(old), list(new));
        if before.len() != now.len() {
            wrong.push(format!("{at}: `{word}` is another one"));
        }
        for (before, now) in before.iter().zip(&now) {
            compare((old_root, before), (new_root, now), at, wrong);
        }
    }
}

fn names(schema: &Value, word: &str) -> BTreeSet<String> {
    let list = schema.get(word).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

/// Puts the parts of a schema beside it, under `#/components/schemas/`.
pub(super) fn hoist(mut schema: Value, into: &mut Map<String, Value>) -> Value {
    let parts = schema.as_object_mut().and_then(|members| members.remove("$defs"));
    for (name, part) in parts.as_ref().and_then(Value::as_object).into_iter().flatten() {
        into.insert(name.clone(), outward(part.clone()));
    }
    outward(schema)
}

fn outward(schema: Value) -> Value {
    match schema {
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| match value {
                Value::String(to) if name == "$ref" => (name, Value::String(to.replace(OWN, PARTS))),
                value => (name, outward(value)),
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(outward).collect(),
        other => other,
    }
}
