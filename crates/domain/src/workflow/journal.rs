//! What a workflow's journal records. Append-only; the order of entries is the order of commits.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::workflow::StepName;

/// Whether a step goes forward or is being undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Towards completion.
    Do,
    /// Back to where the run began.
    Undo,
}

impl Direction {
    /// The word in journals.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Do => "do",
            Self::Undo => "undo",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// A stable word or code, for machines.
    pub code: String,
    /// For people; holds no secret and no tenant data.
    pub message: String,
    /// Whether another attempt may fare better.
    pub retryable: bool,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Fact {
    /// The effect may happen from now on.
    Intent {
        /// Which step.
        step: StepName,
        /// Forward or back.
        direction: Direction,
        /// 1 for the first beginning, counts beginnings, also those that a crash cut off.
        attempt: u32,
    },
    /// The effect happened.
    Done {
        /// Which step.
        step: StepName,
        /// Forward or back.
        direction: Direction,
        /// What later steps may need of it.
        output: serde_json::Value,
    },
    /// The attempt failed; whether its effect happened is for the next attempt or the undo to find out.
    Failed {
        /// Which step.
        step: StepName,
        /// Forward or back.
        direction: Direction,
        /// Why.
        cause: Cause,
    },
    /// Somebody asked to stop and undo.
    CancelRequested,
    /// A human asked to go on with a stuck run: failures before this line no longer count.
    RetryRequested,
}

/// A journal row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// When it was committed.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub fact: Fact,
}
