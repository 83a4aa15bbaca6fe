//! The engine port: what a durable engine asks of the steps that it runs.
//!
//! Definitions (`domain::workflow`) are data and steps ([`Steps`]) are functions of a [`Call`]; neither knows of a
//! journal, a lease or a retry. The engine of this crate ([`executor`]) keeps its journal in our database; an
//! installation that outgrows it can run the same definitions and steps on another durable engine, which has to
//! keep three promises: a step is called again until its result is recorded and never afterwards; the key of a
//! step is the same in every attempt; the fence grows with every change of ownership.

pub mod executor;
pub mod fault;
pub mod progress;

use std::collections::BTreeMap;
use std::future::Future;

use serde_json::Value;
use tenantry_domain::Timestamp;
use tenantry_domain::id::{TenantId, WorkflowId};
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::workflow::{Cause, Direction, Kind, StepKey, StepName};
use tenantry_store::{Entry, WriteTx};

/// One call of one step.
#[derive(Debug, Clone)]
pub struct Call {
    /// The run.
    pub workflow: WorkflowId,
    /// What the run does.
    pub kind: Kind,
    /// Whose run it is.
    pub environment: EnvironmentName,
    /// Whom it is about.
    pub tenant: TenantId,
    /// The chain of requests that it belongs to.
    pub correlation_id: String,
    /// The version of the manifest that the run brings into effect.
    pub target_version: i64,
    /// The step.
    pub step: StepName,
    /// Forward or back.
    pub direction: Direction,
    /// Number of this beginning.
    pub attempt: u32,
    /// Grows with every change of ownership; effects refuse a lower one than they saw.
    pub fence: i64,
    /// The moment that the step decides at.
    pub now: Timestamp,
    /// What earlier steps of the run gave.
    pub outputs: BTreeMap<StepName, Value>,
}

impl Call {
    /// The idempotency key: the same in every attempt.
    #[must_use]
    pub const fn key(&self) -> StepKey {
        StepKey { workflow: self.workflow, step: self.step, direction: self.direction }
    }
}

/// What a local step wrote, besides its rows.
#[derive(Debug)]
pub struct Local {
    /// What later steps may need of it.
    pub output: Value,
    /// The audit entries and events that it owes; at least one.
    pub entries: Vec<Entry>,
}

/// The functions behind the steps of all definitions.
pub trait Steps: Send + Sync + 'static {
    /// Runs an external step, or its undo. May be called again after it had its effect.
    ///
    /// # Errors
    /// Why the effect did not (or may not) have happened.
    fn external(&self, call: &Call) -> impl Future<Output = Result<Value, Cause>> + Send;

    /// Runs a local step, or its undo, inside the transaction that records its result.
    ///
    /// # Errors
    /// Why nothing was written; the transaction is given up.
    fn local(&self, call: &Call, tx: &mut WriteTx) -> impl Future<Output = Result<Local, Cause>> + Send;
}
