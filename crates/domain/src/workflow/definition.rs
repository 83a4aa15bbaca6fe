//! The workflow definitions: which steps, in which order, what can be undone and from where on it cannot.
//!
//! A definition is never edited once released: a change is a new version beside the old one, and runs end on the
//! version that they began with.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a workflow does to a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Draft to active.
    Onboard,
    /// New attributes, limits or app version into effect.
    Update,
    /// Active to suspended.
    Suspend,
    /// Suspended to active.
    Resume,
    /// Suspended to archived.
    Archive,
    /// Archived to active.
    Restore,
    /// Draft or archived to deleted.
    Delete,
    /// Drift put right.
    Repair,
}

/// One unit of a workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepName {
    /// Choose a cell and count the tenant in.
    Place,
    /// Make the tenant's database objects, access closed.
    Create,
    /// Bring the structure to the app's newest version and guard it.
    Migrate,
    /// Let the tenant's sessions in, with the plan's limits.
    Open,
    /// Refuse the tenant's sessions and end those that are open.
    Close,
    /// Close for good, data kept.
    Retire,
    /// Put guards, rights and gate back to what they must be.
    Protect,
    /// Bring limits to the plan's.
    Configure,
    /// Remove everything of the tenant from the cell.
    Erase,
    /// Record: active for the first time.
    MarkActive,
    /// Record: the version is in effect.
    MarkApplied,
    /// Record: suspended.
    MarkSuspended,
    /// Record: active again.
    MarkResumed,
    /// Record: archived.
    MarkArchived,
    /// Record: active again after archive.
    MarkRestored,
    /// Record: deleted, place and name released.
    MarkDeleted,
    /// Record: drift repaired.
    MarkRepaired,
}

/// Where a step's effect is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// In our own database: committed together with the journal's row, exactly once.
    Local,
    /// Somewhere else: at least once, made idempotent by key and fence.
    External,
}

/// A step of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Step {
    /// Its name, unique in the definition.
    pub name: StepName,
    /// Where its effect is.
    pub effect: Effect,
    /// Whether unwinding runs its undo; a step without one leaves nothing that matters.
    pub has_undo: bool,
}

/// How often and how fast a step is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Pause after the first failure, in milliseconds; doubles with each further one.
    pub base_ms: u64,
    /// Longest pause, in milliseconds.
    pub cap_ms: u64,
    /// Failures after which the step counts as failed for good.
    pub max_failures: u32,
    /// Beginnings without an end (the process died) after which a human must look.
    pub max_crashes: u32,
}

impl Default for Retry {
    /// 1 s, 2 s, 4 s … 100 s; about ten minutes of trying in all.
    fn default() -> Self {
        Self { base_ms: 1_000, cap_ms: 100_000, max_failures: 10, max_crashes: 20 }
    }
}

/// One version of a workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// What it does.
    pub kind: Kind,
    /// Its version; journals name it.
    pub version: u32,
    /// The steps in order.
    pub steps: &'static [Step],
    /// Index of the first step from whose beginning on nothing is undone any more.
    pub no_return: Option<usize>,
}

const fn external(name: StepName, has_undo: bool) -> Step {
    Step { name, effect: Effect::External, has_undo }
}

const fn local(name: StepName, has_undo: bool) -> Step {
    Step { name, effect: Effect::Local, has_undo }
}

use StepName as S;

/// Every definition that journals may name, all versions.
pub const DEFINITIONS: &[Definition] = &[
    Definition {
        kind: Kind::Onboard,
        version: 1,
        steps: &[
            local(S::Place, true),
            external(S::Create, true),
            external(S::Migrate, false),
            external(S::Open, true),
            local(S::MarkActive, false),
        ],
        no_return: None,
    },
    Definition {
        kind: Kind::Update,
        version: 1,
        steps: &[external(S::Migrate, false), external(S::Configure, false), local(S::MarkApplied, false)],
        no_return: None,
    },
    Definition {
        kind: Kind::Suspend,
        version: 1,
        steps: &[external(S::Close, true), local(S::MarkSuspended, false)],
        no_return: None,
    },
    Definition {
        kind: Kind::Resume,
        version: 1,
        steps: &[external(S::Open, true), local(S::MarkResumed, false)],
        no_return: None,
    },
    Definition {
        kind: Kind::Archive,
        version: 1,
        steps: &[external(S::Retire, true), local(S::MarkArchived, false)],
        no_return: None,
    },
    Definition {
        kind: Kind::Restore,
        version: 1,
        steps: &[external(S::Migrate, false), external(S::Open, true), local(S::MarkRestored, false)],
        no_return: None,
    },
    Definition {
        kind: Kind::Delete,
        version: 1,
        steps: &[external(S::Erase, false), local(S::MarkDeleted, false)],
        no_return: Some(0),
    },
    Definition {
        kind: Kind::Repair,
        version: 1,
        steps: &[external(S::Protect, false), local(S::MarkRepaired, false)],
        no_return: None,
    },
];

impl Definition {
    /// A definition that a journal names, or nothing when this release does not know it.
    #[must_use]
    pub fn find(kind: Kind, version: u32) -> Option<&'static Self> {
        DEFINITIONS.iter().find(|definition| definition.kind == kind && definition.version == version)
    }

    /// The version that new runs take.
    #[must_use]
    pub fn newest(kind: Kind) -> &'static Self {
        DEFINITIONS
            .iter()
            .filter(|definition| definition.kind == kind)
            .max_by_key(|definition| definition.version)
            .unwrap_or(&DEFINITIONS[0])
    }

    /// The position of a step.
    #[must_use]
    pub fn position(&self, name: StepName) -> Option<usize> {
        self.steps.iter().position(|step| step.name == name)
    }
}

macro_rules! words {
    ($type:ident { $($variant:ident = $word:literal),* $(,)? }) => {
        impl $type {
            /// All values.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word in journals, metrics and messages.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = UnknownWord;
            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text).ok_or_else(|| UnknownWord(text.to_owned()))
            }
        }
    };
}

/// A word of a journal that this release does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not known to this release")]
pub struct UnknownWord(pub String);

words!(Kind {
    Onboard = "onboard", Update = "update", Suspend = "suspend", Resume = "resume",
    Archive = "archive", Restore = "restore", Delete = "delete", Repair = "repair",
});

words!(StepName {
    Place = "place", Create = "create", Migrate = "migrate", Open = "open", Close = "close", Retire = "retire",
    Protect = "protect", Configure = "configure", Erase = "erase", MarkActive = "mark_active",
    MarkApplied = "mark_applied", MarkSuspended = "mark_suspended", MarkResumed = "mark_resumed",
    MarkArchived = "mark_archived", MarkRestored = "mark_restored", MarkDeleted = "mark_deleted",
    MarkRepaired = "mark_repaired",
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_well_formed() {
        for definition in DEFINITIONS {
            assert_eq!(Definition::find(definition.kind, definition.version), Some(definition));
            let mut names: Vec<_> = definition.steps.iter().map(|step| step.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), definition.steps.len(), "step names are unique");
            // The record comes last, so that it says what is already true.
            assert_eq!(definition.steps.last().map(|step| step.effect), Some(Effect::Local));
            if let Some(point) = definition.no_return {
                assert!(definition.steps[point..].iter().all(|step| !step.has_undo));
            }
        }
        for kind in Kind::ALL {
            assert_eq!(Definition::newest(*kind).kind, *kind);
        }
    }
}
