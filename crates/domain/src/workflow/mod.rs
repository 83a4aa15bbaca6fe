//! Durable multi-step operations, as data: definitions say which steps exist, the journal says what happened,
//! [`next`] says what to do now. Nothing here runs anything, so any engine that can journal may drive it.

pub mod definition;
pub mod journal;
mod next;

pub use definition::{Definition, Effect, Kind, Retry, Step, StepName};
pub use journal::{Cause, Direction, Entry, Fact};
pub use next::{Next, next};

/// What every effect gets to make itself idempotent and fenced. Stable across attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepKey {
    /// The run.
    pub workflow: crate::id::WorkflowId,
    /// The step.
    pub step: StepName,
    /// Forward or back.
    pub direction: Direction,
}

impl std::fmt::Display for StepKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.workflow, self.step, self.direction)
    }
}
