//! Desired against observed: which steps lead from one to the other.
//!
//! Level-triggered: the answer depends on what is, not on what was asked for last. A converged tenant gets an
//! empty plan; applying the steps of a plan leads to an empty plan (a property test holds this).

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::isolation::Isolation;
use crate::tenant::lifecycle::{Action, Phase};
use crate::workflow::{Definition, Effect, Kind, StepName};

/// What is wanted of one tenant, reduced to what decides the next move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// The newest version of its manifest.
    pub version: i64,
    /// Where the lifecycle shall be; `Deleted` for a wanted deletion.
    pub phase: Phase,
    /// When a wanted deletion may begin.
    pub delete_not_before: Option<Timestamp>,
    /// The newest version of its app.
    pub app_version: i64,
}

/// What is known of one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The newest version that is in effect; 0 when none is.
    pub version: i64,
    /// Where the lifecycle is.
    pub phase: Phase,
    /// The app version that its structure has; 0 when it has none.
    pub app_version: i64,
    /// Where it is, if anywhere.
    pub isolation: Option<Isolation>,
    /// Deviations that can be put right.
    pub repairable_findings: usize,
    /// A version that was tried and unwound; not tried again until there is a newer one.
    pub failed_version: Option<i64>,
    /// An unfinished workflow.
    pub running: Option<Kind>,
}

/// One step of a plan, in the words of the workflow that will run it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The workflow that it belongs to.
    pub workflow: Kind,
    /// The step.
    pub name: StepName,
    /// Whether it changes something outside of the registry.
    pub is_external: bool,
}

/// Why a difference is not acted on now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "hold", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Hold {
    /// A workflow is at it.
    Running {
        /// Which.
        workflow: Kind,
    },
    /// This version was tried and failed.
    Failed {
        /// The version.
        version: i64,
    },
    /// A deletion waits for its grace period.
    Grace {
        /// Its end.
        until: Timestamp,
    },
    /// The graph has no edge between the two states.
    NoEdge {
        /// Where it is.
        from: Phase,
        /// Where it should be.
        to: Phase,
    },
}

/// The workflow that is due, if any.
///
/// # Errors
/// Why a difference exists that must wait.
pub fn due(desired: &Desired, observed: &Observed, now: Timestamp) -> Result<Option<Kind>, Hold> {
    let wanted = wanted(desired, observed)?;
    let Some(kind) = wanted else { return Ok(None) };
    if let Some(workflow) = observed.running {
        return Err(Hold::Running { workflow });
    }
    if kind == Kind::Delete
        && let Some(until) = desired.delete_not_before.filter(|until| *until > now)
    {
        return Err(Hold::Grace { until });
    }
    if kind != Kind::Repair
        && let Some(version) = observed.failed_version.filter(|version| *version >= desired.version)
    {
        return Err(Hold::Failed { version });
    }
    Ok(Some(kind))
}

fn wanted(desired: &Desired, observed: &Observed) -> Result<Option<Kind>, Hold> {
    let (from, to) = (observed.phase, desired.phase);
    if from != to {
        let action = Action::between(from, to).ok_or(Hold::NoEdge { from, to })?;
        return Ok(Some(match action {
            Action::Activate => Kind::Onboard,
            Action::Suspend => Kind::Suspend,
            Action::Resume => Kind::Resume,
            Action::Archive => Kind::Archive,
            Action::Restore => Kind::Restore,
            Action::Delete => Kind::Delete,
            Action::Update => Kind::Update,
        }));
    }
    if matches!(from, Phase::Active | Phase::Suspended) {
        if observed.version < desired.version || observed.app_version < desired.app_version {
            return Ok(Some(Kind::Update));
        }
        if observed.repairable_findings > 0 {
            return Ok(Some(Kind::Repair));
        }
    }
    Ok(None)
}

/// The steps that lead from observed to desired, in order; empty when nothing is due now.
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed, now: Timestamp) -> Vec<Step> {
    due(desired, observed, now).ok().flatten().map(steps).unwrap_or_default()
}

/// The steps of a workflow's newest version.
#[must_use]
pub fn steps(kind: Kind) -> Vec<Step> {
    Definition::newest(kind)
        .steps
        .iter()
        .map(|step| Step { workflow: kind, name: step.name, is_external: step.effect == Effect::External })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the world is like after a workflow of this kind completed.
    fn after(kind: Kind, desired: &Desired, mut observed: Observed) -> Observed {
        observed.phase = desired.phase;
        match kind {
            Kind::Repair => observed.repairable_findings = 0,
            Kind::Delete | Kind::Archive => observed.version = desired.version,
            _ => {
                observed.version = desired.version;
                observed.app_version = desired.app_version;
                observed.isolation = Some(Isolation::Schema);
            }
        }
        observed
    }

    fn phase() -> impl Strategy<Value = Phase> {
        prop::sample::select(Phase::ALL.to_vec())
    }

    proptest! {
        #[test]
        fn plans_reach_a_fixpoint(
            from in phase(), to in phase(), versions in (0i64..3, 1i64..3), apps in (0i64..3, 1i64..3), findings in 0usize..2,
        ) {
            let now = Timestamp::UNIX_EPOCH;
            let desired = Desired { version: versions.1, phase: to, delete_not_before: None, app_version: apps.1 };
            let mut observed = Observed {
                version: versions.0, phase: from, app_version: apps.0, isolation: None,
                repairable_findings: findings, failed_version: None, running: None,
            };
            for _ in 0..4 {
                match due(&desired, &observed, now) {
                    Ok(Some(kind)) => {
                        prop_assert!(!plan(&desired, &observed, now).is_empty());
                        observed = after(kind, &desired, observed);
                    }
                    Ok(None) | Err(Hold::NoEdge { .. }) => {
                        prop_assert!(plan(&desired, &observed, now).is_empty());
                        return Ok(());
                    }
                    Err(other) => prop_assert!(false, "{other:?}"),
                }
            }
            prop_assert!(false, "no fixpoint");
        }

        #[test]
        fn nothing_is_due_while_a_workflow_runs_or_after_it_failed(from in phase(), to in phase(), version in 1i64..3) {
            let desired = Desired { version, phase: to, delete_not_before: None, app_version: 1 };
            let observed = Observed {
                version: 0, phase: from, app_version: 1, isolation: None, repairable_findings: 0,
                failed_version: None, running: Some(Kind::Update),
            };
            prop_assert!(plan(&desired, &observed, Timestamp::UNIX_EPOCH).is_empty());
            let observed = Observed { running: None, failed_version: Some(version), ..observed };
            prop_assert!(plan(&desired, &observed, Timestamp::UNIX_EPOCH).is_empty());
        }
    }

    #[test]
    fn a_deletion_waits_for_its_grace() {
        let end = Timestamp::from_second(100).unwrap();
        let desired = Desired { version: 2, phase: Phase::Deleted, delete_not_before: Some(end), app_version: 1 };
        let observed = Observed {
            version: 1,
            phase: Phase::Archived,
            app_version: 1,
            isolation: None,
            repairable_findings: 0,
            failed_version: None,
            running: None,
        };
        assert_eq!(due(&desired, &observed, Timestamp::from_second(99).unwrap()), Err(Hold::Grace { until: end }));
        assert_eq!(due(&desired, &observed, end), Ok(Some(Kind::Delete)));
    }
}
