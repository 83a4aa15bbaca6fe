//! What the tenants of a cell share, being migrated: tasks of this process, one for each home at work.
//!
//! Nothing is lost with a task: the target stays at work in the store, and the next look, here or elsewhere, begins
//! again where the ledger of the home says.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use tenantry_dataplane::AppTarget;
use tenantry_domain::Timestamp;
use tenantry_domain::id::RolloutId;
use tenantry_domain::name::CellName;
use tenantry_domain::rollout::TargetStatus;
use tenantry_domain::workflow::Cause;
use tenantry_store::{RolloutRow, StoreError};
use tokio::task::JoinHandle;

use crate::deps::Deps;
use crate::workflows::{cause, site};

/// Failures of the kind that passes after which a home counts as failed.
const TRIES: u32 = 10;
/// Longest pause between two tries, in seconds.
const PAUSE_MAX: i64 = 60;

/// A home being migrated, and how often it was tried before.
type Task = (u32, JoinHandle<Result<(), Cause>>);

/// The tasks of this process.
#[derive(Default)]
pub(super) struct Homes {
    at_work: BTreeMap<(RolloutId, String), Task>,
}

/// What came of one home.
pub(super) struct Outcome {
    pub cell: String,
    attempts: u32,
    result: Result<(), Cause>,
}

impl Outcome {
    pub fn is_done(&self) -> bool {
        self.result.is_ok()
    }

    /// How the target stands now: tried again later while its trouble may pass.
    pub fn verdict(&self, now: Timestamp) -> (TargetStatus, Option<&Cause>, Option<Timestamp>) {
        match &self.result {
            Ok(()) => (TargetStatus::Done, None, None),
            Err(cause) if cause.retryable && self.attempts + 1 < TRIES => {
                let pause = SignedDuration::from_secs((1_i64 << self.attempts.min(6)).min(PAUSE_MAX));
                (TargetStatus::Running, Some(cause), Some(now.saturating_add(pause).unwrap_or(now)))
            }
            Err(cause) => (TargetStatus::Failed, Some(cause), None),
        }
    }
}

impl Homes {
    /// Ends tasks of rollouts that are no longer ours to move. A migration that is cut off rolls back.
    pub fn keep(&mut self, open: &[RolloutRow]) {
        self.at_work.retain(|(id, _), (_, task)| {
            let is_ours = open.iter().any(|row| row.id == *id);
            if !is_ours {
                task.abort();
            }
            is_ours
        });
    }

    /// Begins with all homes of a rollout that are at work by the store and not here.
    pub async fn start(&mut self, deps: &Deps, row: &RolloutRow, target: &AppTarget) -> Result<(), StoreError> {
        let now = deps.now();
        for home in deps.store().read(&row.environment).rollout_homes(row.id).await? {
            let key = (row.id, home.cell.clone());
            if self.at_work.contains_key(&key) || home.wake_at.is_some_and(|at| at > now) {
                continue;
            }
            let (deps, target, cell) = (deps.clone(), target.clone(), home.cell);
            let task = tokio::spawn(async move {
                let outcome = migrate(&deps, &target, &cell).await;
                deps.nudge();
                outcome
            });
            self.at_work.insert(key, (home.attempts, task));
        }
        Ok(())
    }

    /// The homes of a rollout that have ended since the last call.
    pub async fn ended(&mut self, id: RolloutId) -> Vec<Outcome> {
        let is_ended = |key: &(RolloutId, String), task: &Task| key.0 == id && task.1.is_finished();
        let keys: Vec<_> =
            self.at_work.iter().filter(|(key, task)| is_ended(key, task)).map(|(key, _)| key.clone()).collect();
        let mut outcomes = Vec::with_capacity(keys.len());
        for key in keys {
            let Some((attempts, task)) = self.at_work.remove(&key) else { continue };
            let lost = |error: tokio::task::JoinError| {
                Err(Cause { code: "lost".to_owned(), message: error.to_string(), retryable: true })
            };
            outcomes.push(Outcome { cell: key.1, attempts, result: task.await.unwrap_or_else(lost) });
        }
        outcomes
    }
}

async fn migrate(deps: &Deps, target: &AppTarget, cell: &str) -> Result<(), Cause> {
    let unnamed =
        |_| Cause { code: "name".to_owned(), message: format!("`{cell}` is no cell's name"), retryable: false };
    let name = CellName::parse(cell).map_err(unnamed)?;
    let cell = site::cell(deps, &target.environment, &name).await?;
    cell.prepare(target).await.map(drop).map_err(cause)
}
