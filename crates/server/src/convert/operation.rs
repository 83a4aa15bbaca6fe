//! Operations and their workflows.

use tenantry_api::v1::operation::{Operation, Step, Targets, Workflow};
use tenantry_control::view;

use super::{failure, word};

/// An operation.
#[must_use]
pub fn operation(view: &view::Operation) -> Operation {
    let count = |number: i64| u64::try_from(number).unwrap_or_default();
    let workflows: Vec<Workflow> = view.workflows.iter().map(workflow).collect();
    let is_trouble = view.failed > 0;
    Operation {
        id: view.id.to_string(),
        environment: view.environment.to_string(),
        kind: view.kind.clone(),
        status: word(&view.status),
        created_at: view.created_at,
        ended_at: view.ended_at,
        requested_by: view.requested_by.clone(),
        targets: Targets { total: count(view.total), done: count(view.done), failed: count(view.failed) },
        // Those in trouble come first.
        error: workflows.iter().filter(|_| is_trouble).find_map(|workflow| workflow.cause.clone()),
        workflows,
    }
}

fn workflow(view: &view::Workflow) -> Workflow {
    let current = view.steps.iter().find(|step| matches!(step.status.as_str(), "running" | "failed"));
    Workflow {
        id: view.id.to_string(),
        tenant: view.tenant.to_string(),
        slug: view.slug.clone(),
        kind: view.kind.clone(),
        status: view.status.clone(),
        current_step: current.filter(|_| view.status != "completed").map(|step| step.name.to_string()),
        cause: view.cause.as_ref().map(failure),
        steps: view.steps.iter().map(step).collect(),
    }
}

fn step(view: &view::StepProgress) -> Step {
    Step {
        name: view.name.to_string(),
        status: view.status.clone(),
        attempts: view.attempts,
        started_at: view.started_at,
        ended_at: view.ended_at,
    }
}
