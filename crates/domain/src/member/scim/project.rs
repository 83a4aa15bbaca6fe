//! Which attributes an answer shows: `attributes` and `excludedAttributes` (RFC 7644, section 3.9).

use serde_json::{Map, Value};

use super::filter::Path;
use super::schema::{Found, Kind};
use super::{ScimError, shown};

/// Most names of a list.
const MOST: usize = 50;

/// What is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Projection {
    only: Option<Vec<Path>>,
    except: Vec<Path>,
}

impl Projection {
    /// Reads the two parameters. Names that nobody knows ask for nothing.
    ///
    /// # Errors
    /// Both are given, or something in them is no name.
    pub fn parse(only: Option<&str>, except: Option<&str>) -> Result<Self, ScimError> {
        let wrong = |problem| ScimError::Value { field: "attributes".to_owned(), problem };
        if only.is_some() && except.is_some() {
            return Err(wrong("and `excludedAttributes` cannot be given together"));
        }
        let list = |text: &str| {
            let names: Vec<_> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
            if names.len() > MOST {
                return Err(wrong("can name at most 50 attributes"));
            }
            names
                .into_iter()
                .map(|name| Path::parse(name).ok_or_else(|| ScimError::Path(shown(name))))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self { only: only.map(list).transpose()?, except: except.map(list).transpose()?.unwrap_or_default() })
    }

    /// Whether an attribute is shown, as a whole or in part.
    #[must_use]
    pub fn shows(&self, name: &str) -> bool {
        let is = |path: &Path| path.name.eq_ignore_ascii_case(name);
        match &self.only {
            Some(only) => only.iter().any(is),
            None => !self.except.iter().any(|path| is(path) && path.part.is_none()),
        }
    }

    /// Takes away what is not shown. `schemas` and `id` always are.
    #[must_use]
    pub fn apply(&self, kind: Kind, resource: Value) -> Value {
        let Value::Object(mut resource) = resource else { return resource };
        if let Some(only) = &self.only {
            let mut kept = Map::new();
            for name in ["schemas", "id"] {
                kept.extend(resource.remove_entry(name));
            }
            for path in only {
                let Found::Known(attribute, part) = kind.scope().find(path) else { continue };
                let Some(value) = resource.get(attribute.name) else { continue };
                match part {
                    None => drop(kept.insert(attribute.name.to_owned(), value.clone())),
                    Some(part) => {
                        let before = kept.remove(attribute.name);
                        kept.insert(attribute.name.to_owned(), with_part(before, value, part.name));
                    }
                }
            }
            return Value::Object(kept);
        }
        for path in &self.except {
            let Found::Known(attribute, part) = kind.scope().find(path) else { continue };
            match (part, attribute.name) {
                (None, "id") => {}
                (None, name) => drop(resource.remove(name)),
                (Some(part), name) => match resource.get_mut(name) {
                    Some(Value::Object(parts)) => drop(parts.remove(part.name)),
                    Some(Value::Array(all)) => {
                        for one in all.iter_mut().filter_map(Value::as_object_mut) {
                            one.remove(part.name);
                        }
                    }
                    _ => {}
                },
            }
        }
        Value::Object(resource)
    }
}

/// One more part of a complex value, beside those that are shown already.
fn with_part(before: Option<Value>, whole: &Value, part: &str) -> Value {
    match whole {
        Value::Array(all) => {
            let known = before.and_then(|before| if let Value::Array(all) = before { Some(all) } else { None });
            let known = known.unwrap_or_default();
            let each = all.iter().enumerate().map(|(place, one)| with_part(known.get(place).cloned(), one, part));
            Value::Array(each.collect())
        }
        Value::Object(whole) => {
            let mut parts = match before {
                Some(Value::Object(parts)) => parts,
                _ => Map::new(),
            };
            if let Some(value) = whole.get(part) {
                parts.insert(part.to_owned(), value.clone());
            }
            Value::Object(parts)
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown_of(only: Option<&str>, except: Option<&str>) -> Value {
        let whole = json!({
            "schemas": ["s"], "id": "1", "userName": "a", "name": { "givenName": "A", "familyName": "B" },
            "emails": [{ "value": "a@b.example", "type": "work", "primary": true }], "meta": { "version": "1" },
        });
        Projection::parse(only, except).unwrap().apply(Kind::User, whole)
    }

    #[test]
    fn only_what_was_asked_for_and_what_always_is() {
        assert_eq!(shown_of(Some("USERNAME"), None), json!({ "schemas": ["s"], "id": "1", "userName": "a" }));
        assert_eq!(
            shown_of(Some("name.givenName,emails.value,emails.type,nickName,nonsense"), None),
            json!({ "schemas": ["s"], "id": "1", "name": { "givenName": "A" }, "emails": [{ "value": "a@b.example", "type": "work" }] })
        );
        let except = shown_of(None, Some("id, meta, emails.value, name"));
        assert_eq!(
            except,
            json!({ "schemas": ["s"], "id": "1", "userName": "a", "emails": [{ "type": "work", "primary": true }] })
        );
        assert!(Projection::parse(Some("a"), Some("b")).is_err() && Projection::parse(Some("a b"), None).is_err());
        let hidden = Projection::parse(None, Some("members")).unwrap();
        assert!(!hidden.shows("Members") && hidden.shows("displayName"));
    }
}
