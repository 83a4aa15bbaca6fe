//! Whether a tenant may go from one desired state to another, and what to call it.

use serde_json::Value;

use crate::diff::{FieldChange, diff};
use crate::isolation::Isolation;
use crate::placement::Placement;
use crate::tenant::lifecycle::{Action, Phase, TransitionError};
use crate::tenant::spec::Spec;

/// The change would move a placed tenant, which is an operation of its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` would move the tenant from {from} to {to}")]
pub struct WouldMove {
    /// The field.
    pub field: &'static str,
    /// What holds.
    pub from: String,
    /// What was asked for.
    pub to: String,
}

/// What the lifecycle calls a change from where the tenant is to what the new manifest asks for.
///
/// # Errors
/// The graph has no edge between the two.
pub fn action(phase: Phase, wanted: Phase) -> Result<Action, TransitionError> {
    Action::between(phase, wanted).ok_or_else(|| TransitionError { from: phase, action: toward(phase, wanted) })
}

/// The verb that somebody who asks for `wanted` most likely has in mind.
fn toward(phase: Phase, wanted: Phase) -> Action {
    match wanted {
        Phase::Draft => Action::Update,
        Phase::Active if phase == Phase::Archived => Action::Restore,
        Phase::Active => Action::Activate,
        Phase::Suspended => Action::Suspend,
        Phase::Archived if phase == Phase::Archived => Action::Update,
        Phase::Archived => Action::Archive,
        Phase::Deleted => Action::Delete,
    }
}

/// Refuses what only a move could bring about. `level` is the level that plan and overrides of `new` give.
///
/// # Errors
/// The first field that would move the tenant.
pub fn stays(placement: &Placement, old: &Spec, new: &Spec, level: Isolation) -> Result<(), WouldMove> {
    if old.app != new.app {
        return Err(WouldMove { field: "spec.app", from: old.app.to_string(), to: new.app.to_string() });
    }
    if level != placement.isolation {
        let field = if old.plan == new.plan { "spec.overrides.isolation" } else { "spec.plan" };
        return Err(WouldMove { field, from: placement.isolation.to_string(), to: level.to_string() });
    }
    // Who is outside already, because a cell or a rule changed, can still be suspended and deleted.
    if old.residency != new.residency && !new.residency.allows(&placement.region) {
        let to = new.residency.in_order().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
        return Err(WouldMove { field: "spec.residency.allowedRegions", from: placement.region.to_string(), to });
    }
    Ok(())
}

/// Differences between two specs for the audit: paths, with values, except where values are personal or secret
/// by habit (contacts, settings), of which only the path is kept.
#[must_use]
pub fn audited(old: &Value, new: &Value) -> Value {
    let changes: Vec<Value> = diff(old, new)
        .into_iter()
        .map(|FieldChange { path, from, to }| {
            if path.starts_with("contacts") || path.starts_with("settings") {
                serde_json::json!({ "path": path })
            } else {
                serde_json::json!({ "path": path, "from": text(&from), "to": text(&to) })
            }
        })
        .take(100)
        .collect();
    Value::Array(changes)
}

/// Audit entries hold no floats (see [`crate::canonical`]) and no large values.
fn text(value: &Value) -> Value {
    match value {
        Value::Null | Value::Bool(_) => value.clone(),
        Value::Number(number) if number.is_i64() || number.is_u64() => value.clone(),
        Value::String(text) => Value::String(text.chars().take(300).collect()),
        other => Value::String(other.to_string().chars().take(300).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn personal_values_stay_out_of_the_audit() {
        let old =
            json!({"contacts": {"billing": [{"email": "a@b.example"}]}, "plan": "x", "settings": {"k": "secret"}});
        let new = json!({"contacts": {"billing": []}, "plan": "y", "settings": {"k": "other"}});
        let text = audited(&old, &new).to_string();
        assert!(text.contains("contacts.billing") && text.contains("\"y\""));
        assert!(!text.contains("a@b.example") && !text.contains("secret") && !text.contains("other"));
    }

    #[test]
    fn errors_name_the_verb_that_was_meant() {
        assert_eq!(action(Phase::Draft, Phase::Suspended).unwrap_err().action, Action::Suspend);
        assert_eq!(action(Phase::Deleted, Phase::Active).unwrap_err().from, Phase::Deleted);
        assert_eq!(action(Phase::Archived, Phase::Archived).unwrap_err().action, Action::Update);
        assert_eq!(action(Phase::Archived, Phase::Active), Ok(Action::Restore));
    }
}
