//! The lifecycle of a tenant: one graph, walked one edge at a time, with the data each state owes.
//!
//! ```text
//! draft ──activate──▶ active ──suspend──▶ suspended ──archive──▶ archived ──delete──▶ deleted
//!   │                  ▲  ▲                  │                      │                    ▲
//!   │                  │  └─────resume───────┘                      │                    │
//!   │                  └───────────────────restore──────────────────┘                    │
//!   └────────────────────────────────────delete───────────────────────────────────────────┘
//! ```
//! INVARIANT: an active, suspended or archived tenant has a placement; a deleted one has no successor.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::placement::Placement;

/// Why access was taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SuspensionReason {
    /// Unpaid, over limits, end of contract.
    Commercial,
    /// Abuse, legal order, security.
    Compliance,
}

/// Where a tenant is, with what must be known there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum State {
    /// A record; nothing is provisioned.
    Draft,
    /// Served.
    Active {
        /// Since when it is served without a break.
        since: Timestamp,
        /// Where.
        placement: Placement,
    },
    /// Data in place, access refused.
    Suspended {
        /// Since when.
        since: Timestamp,
        /// Why.
        reason: SuspensionReason,
        /// Where the data waits.
        placement: Placement,
    },
    /// Retired; data kept until the retention ends.
    Archived {
        /// Since when.
        at: Timestamp,
        /// When the retention ends; the data may be erased from then on.
        purge_after: Timestamp,
        /// Where the data waits.
        placement: Placement,
    },
    /// Gone for good; the record stays as evidence.
    Deleted {
        /// Since when.
        at: Timestamp,
    },
}

/// A state without its data, as columns, filters and messages use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// See [`State::Draft`].
    Draft,
    /// See [`State::Active`].
    Active,
    /// See [`State::Suspended`].
    Suspended,
    /// See [`State::Archived`].
    Archived,
    /// See [`State::Deleted`].
    Deleted,
}

/// Where an operator wants a tenant to be. The same words as [`Phase`]; a manifest may not ask for `deleted`.
pub type Requested = Phase;

/// An edge of the graph, or a change that stays in the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Draft to active.
    Activate,
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
    /// Change of attributes.
    Update,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 7] =
        [Self::Activate, Self::Suspend, Self::Resume, Self::Archive, Self::Restore, Self::Delete, Self::Update];

    /// The verb as users type it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Activate => "activate",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Archive => "archive",
            Self::Restore => "restore",
            Self::Delete => "delete",
            Self::Update => "update",
        }
    }

    /// Where the action leads from `from`, or nothing when the graph has no such edge.
    #[must_use]
    pub const fn target(self, from: Phase) -> Option<Phase> {
        match (self, from) {
            (Self::Activate, Phase::Draft) | (Self::Resume, Phase::Suspended) | (Self::Restore, Phase::Archived) => {
                Some(Phase::Active)
            }
            (Self::Suspend, Phase::Active) => Some(Phase::Suspended),
            (Self::Archive, Phase::Suspended) => Some(Phase::Archived),
            (Self::Delete, Phase::Draft | Phase::Archived) => Some(Phase::Deleted),
            (Self::Update, Phase::Draft | Phase::Active | Phase::Suspended) => Some(from),
            _ => None,
        }
    }

    /// The action that leads from one phase to another in one step, or nothing.
    #[must_use]
    pub fn between(from: Phase, to: Phase) -> Option<Self> {
        if from == to {
            return Self::Update.target(from).map(|_| Self::Update);
        }
        Self::ALL.into_iter().find(|action| *action != Self::Update && action.target(from) == Some(to))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Phase {
    /// All phases.
    pub const ALL: [Self; 5] = [Self::Draft, Self::Active, Self::Suspended, Self::Archived, Self::Deleted];

    /// The word in manifests and columns.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Archived => "archived",
            Self::Deleted => "deleted",
        }
    }

    /// Actions that the graph has here.
    pub fn allowed(self) -> impl Iterator<Item = Action> {
        Action::ALL.into_iter().filter(move |action| action.target(self).is_some())
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is none of the five phases.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a state; expected one of draft, active, suspended, archived")]
pub struct UnknownPhase(pub String);

impl FromStr for Phase {
    type Err = UnknownPhase;
    fn from_str(text: &str) -> Result<Self, UnknownPhase> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == text).ok_or_else(|| UnknownPhase(text.to_owned()))
    }
}

/// The graph has no such edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot {action} a tenant that is {from}")]
pub struct TransitionError {
    /// Where the tenant is.
    pub from: Phase,
    /// What was asked for.
    pub action: Action,
}

impl TransitionError {
    /// The actions that would be possible, as a sentence.
    #[must_use]
    pub fn hint(&self) -> String {
        let allowed: Vec<_> = self.from.allowed().map(Action::as_str).collect();
        match allowed.as_slice() {
            [] => format!("A tenant that is {} allows no action.", self.from),
            names => format!("A tenant that is {} allows: {}.", self.from, names.join(", ")),
        }
    }
}

impl State {
    /// The state without its data.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self {
            Self::Draft => Phase::Draft,
            Self::Active { .. } => Phase::Active,
            Self::Suspended { .. } => Phase::Suspended,
            Self::Archived { .. } => Phase::Archived,
            Self::Deleted { .. } => Phase::Deleted,
        }
    }

    /// Where the tenant's data is, if it has any.
    #[must_use]
    pub const fn placement(&self) -> Option<&Placement> {
        match self {
            Self::Active { placement, .. } | Self::Suspended { placement, .. } | Self::Archived { placement, .. } => {
                Some(placement)
            }
            Self::Draft | Self::Deleted { .. } => None,
        }
    }

    fn refuse(&self, action: Action) -> TransitionError {
        TransitionError { from: self.phase(), action }
    }

    /// Draft to active, at a place.
    ///
    /// # Errors
    /// The tenant is not a draft.
    pub fn activate(&self, placement: Placement, now: Timestamp) -> Result<Self, TransitionError> {
        match self {
            Self::Draft => Ok(Self::Active { since: now, placement }),
            _ => Err(self.refuse(Action::Activate)),
        }
    }

    /// Active to suspended.
    ///
    /// # Errors
    /// The tenant is not active.
    pub fn suspend(&self, reason: SuspensionReason, now: Timestamp) -> Result<Self, TransitionError> {
        match self {
            Self::Active { placement, .. } => Ok(Self::Suspended { since: now, reason, placement: placement.clone() }),
            _ => Err(self.refuse(Action::Suspend)),
        }
    }

    /// Suspended to active.
    ///
    /// # Errors
    /// The tenant is not suspended.
    pub fn resume(&self, now: Timestamp) -> Result<Self, TransitionError> {
        match self {
            Self::Suspended { placement, .. } => Ok(Self::Active { since: now, placement: placement.clone() }),
            _ => Err(self.refuse(Action::Resume)),
        }
    }

    /// Suspended to archived, kept until `purge_after`.
    ///
    /// # Errors
    /// The tenant is not suspended.
    pub fn archive(&self, purge_after: Timestamp, now: Timestamp) -> Result<Self, TransitionError> {
        match self {
            Self::Suspended { placement, .. } => {
                Ok(Self::Archived { at: now, purge_after, placement: placement.clone() })
            }
            _ => Err(self.refuse(Action::Archive)),
        }
    }

    /// Archived to active.
    ///
    /// # Errors
    /// The tenant is not archived.
    pub fn restore(&self, now: Timestamp) -> Result<Self, TransitionError> {
        match self {
            Self::Archived { placement, .. } => Ok(Self::Active { since: now, placement: placement.clone() }),
            _ => Err(self.refuse(Action::Restore)),
        }
    }

    /// Draft or archived to deleted.
    ///
    /// # Errors
    /// The tenant is neither.
    pub fn delete(&self, now: Timestamp) -> Result<Self, TransitionError> {
        match self {
            Self::Draft | Self::Archived { .. } => Ok(Self::Deleted { at: now }),
            _ => Err(self.refuse(Action::Delete)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// LIFE-01, all 35 pairs of phase and action, written out.
    #[test]
    fn graph_is_exactly_the_declared_one() {
        use Action as A;
        use Phase as P;
        let edges = [
            (P::Draft, A::Activate, P::Active),
            (P::Draft, A::Delete, P::Deleted),
            (P::Draft, A::Update, P::Draft),
            (P::Active, A::Suspend, P::Suspended),
            (P::Active, A::Update, P::Active),
            (P::Suspended, A::Resume, P::Active),
            (P::Suspended, A::Archive, P::Archived),
            (P::Suspended, A::Update, P::Suspended),
            (P::Archived, A::Restore, P::Active),
            (P::Archived, A::Delete, P::Deleted),
        ];
        for from in P::ALL {
            for action in A::ALL {
                let expected = edges.iter().find(|(f, a, _)| *f == from && *a == action).map(|(_, _, to)| *to);
                assert_eq!(action.target(from), expected, "{action} from {from}");
            }
        }
        assert_eq!(P::Deleted.allowed().count(), 0);
    }

    #[test]
    fn states_follow_the_graph_and_keep_their_place() {
        let now = Timestamp::UNIX_EPOCH;
        let place = crate::placement::tests::placement();
        let all = |state: &State| {
            [
                (Action::Activate, state.activate(place.clone(), now)),
                (Action::Suspend, state.suspend(SuspensionReason::Commercial, now)),
                (Action::Resume, state.resume(now)),
                (Action::Archive, state.archive(now, now)),
                (Action::Restore, state.restore(now)),
                (Action::Delete, state.delete(now)),
            ]
        };
        let mut seen = vec![State::Draft];
        let mut next = 0;
        while next < seen.len() {
            let state = seen[next].clone();
            for (action, outcome) in all(&state) {
                match outcome {
                    Ok(to) => {
                        assert_eq!(action.target(state.phase()), Some(to.phase()));
                        let placed = matches!(to.phase(), Phase::Active | Phase::Suspended | Phase::Archived);
                        assert_eq!(to.placement().is_some(), placed);
                        if !seen.contains(&to) {
                            seen.push(to);
                        }
                    }
                    Err(error) => {
                        assert_eq!(action.target(state.phase()), None);
                        assert!(error.hint().contains(state.phase().as_str()));
                    }
                }
            }
            next += 1;
        }
        assert_eq!(seen.len(), 5);
    }
}
