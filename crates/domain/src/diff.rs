//! What differs between two documents, by path.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldChange {
    /// Path from the root, `quotas.users`, `domains[0]`.
    pub path: String,
    /// What was there; null when there was nothing.
    pub from: Value,
    /// What is there; null when there is nothing.
    pub to: Value,
}

/// All differences between two values, in the order of their paths. Objects are compared member by member,
/// arrays of equal length item by item, everything else as a whole.
#[must_use]
pub fn diff(from: &Value, to: &Value) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    walk(String::new(), from, to, &mut changes);
    changes
}

fn walk(path: String, from: &Value, to: &Value, changes: &mut Vec<FieldChange>) {
    match (from, to) {
        (Value::Object(a), Value::Object(b)) => {
            let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                let deeper = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(deeper, a.get(name).unwrap_or(&Value::Null), b.get(name).unwrap_or(&Value::Null), changes);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (x, y)) in a.iter().zip(b).enumerate() {
                walk(format!("{path}[{index}]"), x, y, changes);
            }
        }
        (a, b) if a != b => changes.push(FieldChange { path, from: a.clone(), to: b.clone() }),
        _ => {}
    }
}

/// Applies a merge patch (RFC 7396): members replace, null removes, everything else stays.
#[must_use]
pub fn merge(target: Value, patch: &Value) -> Value {
    let Value::Object(members) = patch else { return patch.clone() };
    let mut merged = match target {
        Value::Object(map) => map,
        _ => serde_json::Map::new(),
    };
    for (name, change) in members {
        if change.is_null() {
            merged.remove(name);
        } else {
            let old = merged.remove(name).unwrap_or(Value::Null);
            merged.insert(name.clone(), merge(old, change));
        }
    }
    Value::Object(merged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn differences_are_named_by_path() {
        let changes = diff(&json!({"a": {"b": 1, "c": [1, 2]}, "d": 1}), &json!({"a": {"b": 2, "c": [1, 3]}, "e": 1}));
        let paths: Vec<_> = changes.iter().map(|change| change.path.as_str()).collect();
        assert_eq!(paths, ["a.b", "a.c[1]", "d", "e"]);
        assert!(diff(&json!({"a": 1}), &json!({"a": 1})).is_empty());
    }

    /// Examples of RFC 7396, appendix A.
    #[test]
    fn merge_patch_follows_the_rfc() {
        let cases = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ];
        for (target, patch, expected) in cases {
            assert_eq!(merge(target, &patch), expected);
        }
    }
}
