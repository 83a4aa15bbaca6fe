//! The steps of the tenant workflows: what each name in a definition does.
//!
//! A step reads the registry afresh each time, so it always works on what is wanted now, and leaves the deciding
//! to `domain`. External steps only talk to the data plane; local steps only to the transaction they are given.

pub(crate) mod conditions;
mod place;
mod records;
pub(crate) mod site;

use serde_json::{Value, json};
use tenantry_dataplane::{DataError, Gate};
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_domain::workflow::{Cause, Direction, Kind, StepName};
use tenantry_store::{StoreError, WriteTx};

use crate::deps::Deps;
use crate::engine::{Call, Local, Steps};
use crate::rollouts::overlay;
use crate::workflows::site::Site;

/// The steps, bound to the world.
#[derive(Clone)]
pub struct TenantSteps {
    deps: Deps,
}

impl TenantSteps {
    /// Binds the steps.
    #[must_use]
    pub const fn new(deps: Deps) -> Self {
        Self { deps }
    }
}

impl Steps for TenantSteps {
    async fn external(&self, call: &Call) -> Result<Value, Cause> {
        let Some(site) = Site::of(&self.deps, call).await? else {
            // A draft has nothing anywhere; deleting one has nothing to erase.
            return Ok(json!({ "skipped": "the tenant has no place" }));
        };
        let output = match (call.step, call.direction) {
            (StepName::Create, Direction::Do) => {
                let created = site.cell.create(&site.space, &site.claim).await;
                json!({ "premade": created.map_err(cause)?.premade })
            }
            (StepName::Create, Direction::Undo) => {
                site.cell.uncreate(&site.space, &site.claim).await.map_err(cause)?;
                Value::Null
            }
            (StepName::Migrate, Direction::Do) => {
                overlay::allow(&site.cell, &site.space).await?;
                let migrated = site.cell.migrate(&site.space, &site.claim).await.map_err(cause)?;
                json!({ "appVersion": migrated.version, "applied": migrated.applied })
            }
            (StepName::Protect, Direction::Do) => {
                let repaired = site.cell.repair(&site.space, &site.claim, site.gate()).await.map_err(cause)?;
                json!({ "fixed": repaired.fixed })
            }
            (StepName::Erase, Direction::Do) => {
                site.cell.erase(&site.space, &site.claim).await.map_err(cause)?;
                Value::Null
            }
            (step, direction) => {
                let gate = gate_after(call.kind, step, direction).unwrap_or_else(|| site.gate());
                let gated = site.cell.set_gate(&site.space, &site.claim, gate).await.map_err(cause)?;
                json!({ "cut": gated.cut })
            }
        };
        Ok(output)
    }

    async fn local(&self, call: &Call, tx: &mut WriteTx) -> Result<Local, Cause> {
        match (call.step, call.direction) {
            (StepName::Place, Direction::Do) => place::choose(&self.deps, call, tx).await,
            (StepName::Place, Direction::Undo) => place::release(call, tx).await,
            _ => records::mark(&self.deps, call, tx).await,
        }
    }
}

/// The gate that a step leaves, for steps that only move the gate; nothing for those that keep it.
fn gate_after(kind: Kind, step: StepName, direction: Direction) -> Option<Gate> {
    match (step, direction) {
        (StepName::Open, Direction::Do) | (StepName::Close, Direction::Undo) => Some(Gate::Open),
        (StepName::Close, Direction::Do) | (StepName::Retire, Direction::Undo) => Some(Gate::Suspended),
        (StepName::Retire, Direction::Do) => Some(Gate::Archived),
        (StepName::Open, Direction::Undo) => match kind {
            Kind::Resume => Some(Gate::Suspended),
            Kind::Restore => Some(Gate::Archived),
            _ => Some(Gate::Preparing),
        },
        _ => None,
    }
}

/// The gate that a phase of the lifecycle calls for.
#[must_use]
pub const fn gate_of(phase: Phase) -> Gate {
    match phase {
        Phase::Draft => Gate::Preparing,
        Phase::Active => Gate::Open,
        Phase::Suspended => Gate::Suspended,
        Phase::Archived | Phase::Deleted => Gate::Archived,
    }
}

/// A data plane's error as a journal keeps it.
pub(crate) fn cause(error: DataError) -> Cause {
    Cause { code: word(&error).to_owned(), message: error.to_string(), retryable: error.is_transient() }
}

fn word(error: &DataError) -> &'static str {
    match error {
        DataError::Unreachable(_) => "cell_unreachable",
        DataError::Target(_) => "cell_url",
        DataError::Unsupported { .. } => "cell_unsupported",
        DataError::Fenced { .. } => "fenced",
        DataError::Foreign { .. } => "foreign_object",
        DataError::Missing { .. } => "missing_object",
        DataError::Occupied { .. } => "occupied",
        DataError::Unfit(_) => "app_unfit",
        DataError::Migration(_) => "migration_failed",
        DataError::Unguarded(_) => "unguarded_table",
        DataError::Exec { .. } => "command_failed",
        DataError::Uncut { .. } => "sessions_remain",
        DataError::Busy { .. } => "busy",
        DataError::Blocked { .. } => "migration_blocked",
        DataError::Capacity(_) => "server_full",
        DataError::Name(_) => "name",
        DataError::Pg(_) => "cell_database",
    }
}

/// Our database's error as a journal keeps it. Always worth another try: nothing was decided.
pub(crate) fn store_cause(error: StoreError) -> Cause {
    Cause { code: "control_database".to_owned(), message: chain(&error), retryable: true }
}

/// An error with all that caused it. The driver's errors show no stored value.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// A refusal that another try will not change.
pub(crate) fn refused(code: tenantry_domain::code::Code, message: impl std::fmt::Display) -> Cause {
    Cause { code: code.to_string(), message: message.to_string(), retryable: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenantry_domain::workflow::definition::{DEFINITIONS, Effect};

    /// An undo that leaves the gate where its step put it would be no undo.
    #[test]
    fn gates_that_a_step_moves_are_moved_back_by_its_undo() {
        for definition in DEFINITIONS {
            for step in definition.steps.iter().filter(|step| step.effect == Effect::External && step.has_undo) {
                let done = gate_after(definition.kind, step.name, Direction::Do);
                let undone = gate_after(definition.kind, step.name, Direction::Undo);
                assert!(step.name == StepName::Create || (done.is_some() && undone.is_some() && done != undone));
            }
        }
    }
}
