//! What applying would do, and what it did.

use serde_json::Value;
use tenantry_api::v1::change::{Applied, AppliedObject, PlannedObject, PlannedStep};
use tenantry_control::view;
use tenantry_domain::id::TenantId;

use super::{placement, value, version, word};

/// The preview of one object.
#[must_use]
pub fn planned(object: view::PlannedObject) -> PlannedObject {
    let kind = object.kind;
    let step = |step: &tenantry_domain::reconcile::Step| PlannedStep {
        workflow: step.workflow.to_string(),
        name: step.name.to_string(),
        is_external: step.is_external,
    };
    PlannedObject {
        name: object.name,
        // A preview speaks of what would be, the result of what is.
        outcome: match object.outcome {
            view::Outcome::Created => "create",
            view::Outcome::Changed => "change",
            view::Outcome::Unchanged => "unchanged",
        }
        .to_owned(),
        changes: object.changes.into_iter().map(|change| version::change(&kind, change)).collect(),
        steps: object.steps.iter().map(step).collect(),
        placement: object.placement.as_ref().map(placement::decision),
        hold: object.hold.as_ref().map(value::<_>).filter(Value::is_object),
        kind,
    }
}

/// What was applied.
#[must_use]
pub fn applied(applied: view::Applied) -> Applied {
    let object = |object: view::AppliedObject| AppliedObject {
        kind: object.kind,
        name: object.name,
        outcome: word(&object.outcome),
        version: object.version,
        id: object.id.as_ref().map(TenantId::to_string),
    };
    Applied {
        operation: applied.operation.map(|id| id.to_string()),
        objects: applied.objects.into_iter().map(object).collect(),
    }
}
