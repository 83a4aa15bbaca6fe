//! How a plan looks: per object what would happen to it, field by field, then the steps that would run.

use serde_json::Value;
use tenantry_api::v1::change::{Plan, PlannedObject};
use tenantry_api::v1::version::FieldChange;

use crate::output::{Output, Paint, clean};

/// Longest value shown in one line.
const VALUE_MAX: usize = 120;

/// Whether applying would change anything.
pub fn has_changes(plan: &Plan) -> bool {
    plan.objects.iter().any(|object| object.outcome != "unchanged" || !object.steps.is_empty())
}

/// One line per object and field, and a closing line with the counts.
pub fn text(output: Output, plan: &Plan) -> String {
    let mut lines = Vec::new();
    for object in &plan.objects {
        describe(output, object, &mut lines);
    }
    let count = |outcome: &str| plan.objects.iter().filter(|object| object.outcome == outcome).count();
    let steps: usize = plan.objects.iter().map(|object| object.steps.len()).sum();
    lines.push(format!(
        "{} to create, {} to change, {} unchanged, {steps} steps to run",
        count("create"),
        count("change"),
        count("unchanged")
    ));
    lines.join("\n")
}

fn describe(output: Output, object: &PlannedObject, lines: &mut Vec<String>) {
    let (mark, paint) = match object.outcome.as_str() {
        "create" => ("+", Paint::Good),
        "change" => ("~", Paint::Warn),
        _ => (" ", Paint::Faint),
    };
    let title = format!("{mark} {} {} ({})", object.kind, clean(&object.name), object.outcome);
    lines.push(output.paint(paint, &title));
    lines.extend(object.changes.iter().map(|change| field(output, change)));
    if let Some(decision) = &object.placement {
        let place = format!("{} in {} as {}", decision.cell, decision.region, decision.isolation);
        lines.push(format!("    placement: {}", clean(&place)));
    }
    if !object.steps.is_empty() {
        let steps: Vec<_> = object.steps.iter().map(|step| step.name.replace('_', " ")).collect();
        lines.push(format!("    steps ({}): {}", clean(&object.steps[0].workflow), clean(&steps.join(", "))));
    }
    if object.kind == "App" && object.outcome == "change" {
        lines.push("    rollout: begins when this is applied, and brings it to all tenants of the app".to_owned());
    }
    if let Some(hold) = object.hold.as_ref().filter(|hold| !hold.is_null()) {
        lines.push(output.paint(Paint::Warn, &format!("    on hold: {}", shown(hold))));
    }
}

/// One changed field.
pub fn field(output: Output, change: &FieldChange) -> String {
    let path = clean(&change.path);
    match (change.from.is_null(), change.to.is_null()) {
        (true, _) => output.paint(Paint::Good, &format!("    + {path}: {}", shown(&change.to))),
        (_, true) => output.paint(Paint::Bad, &format!("    - {path}: {}", shown(&change.from))),
        _ => output.paint(Paint::Warn, &format!("    ~ {path}: {} -> {}", shown(&change.from), shown(&change.to))),
    }
}

/// A value in one line, shortened.
pub fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let text = clean(&text);
    if text.chars().count() <= VALUE_MAX {
        return text;
    }
    let head: String = text.chars().take(VALUE_MAX).collect();
    format!("{head}…")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;
    use serde_json::json;

    #[test]
    fn a_plan_reads_line_by_line() {
        let plan: Plan = serde_json::from_value(json!({ "objects": [
            { "kind": "Plan", "name": "standard", "outcome": "unchanged", "changes": [], "steps": [] },
            { "kind": "Tenant", "name": "acme", "outcome": "change",
              "changes": [
                { "path": "spec.settings.theme", "from": "light", "to": "dark" },
                { "path": "spec.domains", "from": null, "to": ["a.example"] },
                { "path": "spec.labels.sector", "from": "energy", "to": null } ],
              "steps": [{ "workflow": "update", "name": "mark_applied", "isExternal": false }] } ] }))
        .unwrap();
        assert!(has_changes(&plan));
        let text = text(Output::new(Format::Json, true), &plan);
        assert_eq!(
            text,
            "  Plan standard (unchanged)\n~ Tenant acme (change)\n    ~ spec.settings.theme: light -> dark\n    \
             + spec.domains: [\"a.example\"]\n    - spec.labels.sector: energy\n    steps (update): mark applied\n\
             0 to create, 1 to change, 1 unchanged, 1 steps to run"
        );
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(shown(&json!("x".repeat(200))).chars().count(), VALUE_MAX + 1);
    }
}
