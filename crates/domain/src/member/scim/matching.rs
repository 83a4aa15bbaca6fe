//! Whether a resource is what a filter asks for.

use std::cmp::Ordering;

use serde_json::Value;

use super::filter::{Filter, Literal, Op, Test};
use super::schema::{Attribute, Form, Found, Kind, Scope};
use crate::Timestamp;

/// Whether a resource, as it is shown, is what a filter asks for.
#[must_use]
pub fn matches(filter: &Filter, resource: &Value, kind: Kind) -> bool {
    holds(filter, resource, &kind.scope())
}

pub(super) fn holds(filter: &Filter, value: &Value, scope: &Scope) -> bool {
    match filter {
        Filter::And(all) => all.iter().all(|one| holds(one, value, scope)),
        Filter::Or(any) => any.iter().any(|one| holds(one, value, scope)),
        Filter::Not(one) => !holds(one, value, scope),
        Filter::Is(path, test) => match scope.find(path) {
            Found::Known(attribute, part) => {
                let part = part.or_else(|| default_part(attribute));
                let found = values(value, attribute).into_iter().filter_map(|one| match part {
                    Some(part) => one.get(part.name),
                    None => Some(one),
                });
                tried(part.unwrap_or(attribute), &found.collect::<Vec<_>>(), test)
            }
            // What is not kept has no value.
            _ => tried_absent(test),
        },
        Filter::Within { path, inner, then } => {
            let Found::Known(attribute, None) = scope.find(path) else { return false };
            let parts = Scope::of_parts(attribute);
            let fitting = values(value, attribute).into_iter().filter(|one| holds(inner, one, &parts));
            match then {
                None => fitting.count() > 0,
                Some((name, test)) => parts.attribute(name).is_some_and(|part| {
                    let found: Vec<_> = fitting.filter_map(|one| one.get(part.name)).collect();
                    !found.is_empty() && tried(part, &found, test)
                }),
            }
        }
    }
}

/// What stands for a complex attribute with several values (RFC 7643, section 2.4).
fn default_part(attribute: &'static Attribute) -> Option<&'static Attribute> {
    if attribute.form == Form::Complex && attribute.is_multi {
        attribute.parts.iter().find(|part| part.name == "value")
    } else {
        None
    }
}

fn values<'v>(value: &'v Value, attribute: &Attribute) -> Vec<&'v Value> {
    match value.get(attribute.name) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(all)) => all.iter().collect(),
        Some(one) => vec![one],
    }
}

const fn tried_absent(test: &Test) -> bool {
    matches!(
        test,
        Test::Is(Op::Eq, Literal::Null) | Test::Is(Op::Ne, Literal::Text(_) | Literal::Bool(_) | Literal::Number(_))
    )
}

fn tried(attribute: &Attribute, found: &[&Value], test: &Test) -> bool {
    let is_there = found.iter().any(|value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(all) => !all.is_empty(),
        Value::Object(all) => !all.is_empty(),
        _ => true,
    });
    match test {
        Test::Present => is_there,
        Test::Is(Op::Eq, Literal::Null) => !is_there,
        Test::Is(Op::Ne, Literal::Null) => is_there,
        Test::Is(Op::Ne, literal) => !found.iter().any(|value| compares(attribute, value, Op::Eq, literal)),
        Test::Is(op, literal) => found.iter().any(|value| compares(attribute, value, *op, literal)),
    }
}

fn compares(attribute: &Attribute, value: &Value, op: Op, literal: &Literal) -> bool {
    match (value, literal) {
        (Value::Bool(value), Literal::Bool(wanted)) => value == wanted,
        (Value::String(value), Literal::Text(wanted)) if attribute.form == Form::Time => {
            let (value, wanted) = (value.parse::<Timestamp>(), wanted.parse::<Timestamp>());
            value.is_ok_and(|value| wanted.is_ok_and(|wanted| ordered(value.cmp(&wanted), op)))
        }
        (Value::String(value), Literal::Text(wanted)) if attribute.is_exact => text(value, wanted, op),
        (Value::String(value), Literal::Text(wanted)) => text(&value.to_lowercase(), &wanted.to_lowercase(), op),
        _ => false,
    }
}

fn text(value: &str, wanted: &str, op: Op) -> bool {
    match op {
        Op::Co => value.contains(wanted),
        Op::Sw => value.starts_with(wanted),
        Op::Ew => value.ends_with(wanted),
        op => ordered(value.cmp(wanted), op),
    }
}

const fn ordered(order: Ordering, op: Op) -> bool {
    match op {
        Op::Eq => order.is_eq(),
        Op::Ne => order.is_ne(),
        Op::Gt => order.is_gt(),
        Op::Ge => order.is_ge(),
        Op::Lt => order.is_lt(),
        Op::Le => order.is_le(),
        Op::Co | Op::Sw | Op::Ew => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_of_filters_and_answers() {
        let anna = json!({
            "id": "2819c223", "userName": "Anna@acme.example", "externalId": "A1", "active": true,
            "name": { "familyName": "Arendt", "givenName": "Anna" }, "displayName": "Anna Arendt",
            "emails": [
                { "value": "anna@acme.example", "type": "work", "primary": true },
                { "value": "a@home.example", "type": "home" },
            ],
            "meta": { "created": "2026-11-22T09:00:00Z", "resourceType": "User" },
        });
        for (text, expected) in [
            ("userName eq \"anna@ACME.example\"", true),
            ("userName ne \"anna@acme.example\"", false),
            ("externalId eq \"a1\"", false),
            ("externalId eq \"A1\"", true),
            ("userName sw \"anna\" and userName ew \".example\"", true),
            ("name.familyName co \"rend\"", true),
            ("name pr", true),
            ("name.middleName pr", false),
            ("name.middleName eq null", true),
            ("emails eq \"a@home.example\"", true),
            ("emails.type eq \"other\"", false),
            ("emails[type eq \"home\" and primary eq true]", false),
            ("emails[type eq \"work\" and primary eq true]", true),
            ("emails[type eq \"work\"].value eq \"ANNA@acme.example\"", true),
            ("emails[type eq \"work\"].value ne \"x\"", true),
            ("emails[type eq \"other\"].value ne \"x\"", false),
            ("not (emails[type eq \"other\"])", true),
            ("active eq false or displayName gt \"anna\"", true),
            ("meta.created ge \"2026-11-22T10:00:00+01:00\"", true),
            ("meta.created gt \"2026-11-22T09:00:00Z\"", false),
            ("title pr", false),
            ("title ne \"x\"", true),
            ("phoneNumbers[type eq \"work\"]", false),
        ] {
            let filter = Filter::parse(text, Kind::User).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(matches(&filter, &anna, Kind::User), expected, "{text}");
        }
    }
}
