//! What the tenants of a cell share, being migrated: tasks of this process, one for each home at work.
//!
//! Nothing is lost with a task: the target stays at work in the store, and the next look, here or elsewhere, begins
//! again where the ledger of the home says. While a task is at work its rollout is kept, however long a look takes, so
//! that no other replica begins with the same home.

use std::collections::BTreeMap;
use std::convert::Infallible;

use jiff::SignedDuration;
use tenantry_dataplane::{AppTarget, DataError, HOME_TAKEN};
use tenantry_domain::Timestamp;
use tenantry_domain::id::RolloutId;
use tenantry_domain::name::CellName;
use tenantry_domain::rollout::TargetStatus;
use tenantry_domain::workflow::Cause;
use tenantry_store::{HomeVerdict, RolloutRow, StoreError};
use tokio::task::JoinHandle;

use crate::deps::Deps;
use crate::workflows::{cause, site};

/// Failures of the kind that passes after which a home counts as failed.
const TRIES: u32 = 10;
/// Longest pause between two tries, in seconds.
const PAUSE_MAX: i64 = 60;
/// Pause before another look at a home that somebody else is at, in seconds.
const TAKEN: i64 = 2;

/// A home being migrated, and how often it was tried before.
type Task = (u32, JoinHandle<Result<(), Trouble>>);

/// Why a home is not migrated.
#[derive(Debug)]
enum Trouble {
    /// What went wrong.
    Failed(Cause),
    /// Another process works on it; that says nothing about the migration.
    Taken(Cause),
}

impl From<Cause> for Trouble {
    fn from(cause: Cause) -> Self {
        Self::Failed(cause)
    }
}

/// The tasks of this process.
#[derive(Default)]
pub(super) struct Homes {
    at_work: BTreeMap<(RolloutId, String), Task>,
}

/// What came of one home.
pub(super) struct Outcome {
    pub cell: String,
    attempts: u32,
    result: Result<(), Trouble>,
}

impl Outcome {
    pub fn is_done(&self) -> bool {
        self.result.is_ok()
    }

    /// How the target stands now: tried again later while its trouble may pass.
    pub fn verdict(&self, now: Timestamp) -> HomeVerdict<'_> {
        let later = |seconds| Some(now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(now));
        let (status, cause, wake_at, attempts) = match &self.result {
            Ok(()) => (TargetStatus::Done, None, None, 1),
            Err(Trouble::Taken(cause)) => (TargetStatus::Running, Some(cause), later(TAKEN), 0),
            Err(Trouble::Failed(cause)) if cause.retryable && self.attempts + 1 < TRIES => {
                let pause = (1_i64 << self.attempts.min(6)).min(PAUSE_MAX);
                (TargetStatus::Running, Some(cause), later(pause), 1)
            }
            Err(Trouble::Failed(cause)) => (TargetStatus::Failed, Some(cause), None, 1),
        };
        HomeVerdict { status, cause, wake_at, attempts }
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
            let (deps, target, cell, id) = (deps.clone(), target.clone(), home.cell, row.id);
            let task = tokio::spawn(async move {
                let outcome = tokio::select! {
                    outcome = migrate(&deps, &target, &cell) => outcome,
                    never = keep(&deps, id) => match never {},
                };
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
                Err(Trouble::Failed(Cause { code: "lost".to_owned(), message: error.to_string(), retryable: true }))
            };
            outcomes.push(Outcome { cell: key.1, attempts, result: task.await.unwrap_or_else(lost) });
        }
        outcomes
    }
}

async fn migrate(deps: &Deps, target: &AppTarget, cell: &str) -> Result<(), Trouble> {
    let unnamed =
        |_| Cause { code: "name".to_owned(), message: format!("`{cell}` is no cell's name"), retryable: false };
    let name = CellName::parse(cell).map_err(unnamed)?;
    let cell = site::cell(deps, &target.environment, &name).await?;
    cell.prepare(target).await.map(drop).map_err(|error| match error {
        error @ DataError::Busy { what: HOME_TAKEN } => Trouble::Taken(cause(error)),
        error => Trouble::Failed(cause(error)),
    })
}

/// Keeps a rollout ours for as long as this runs. What cannot be written is tried again; a lease that is lost all the
/// same is noticed by the next look.
async fn keep(deps: &Deps, id: RolloutId) -> Infallible {
    let lease = deps.options().lease;
    loop {
        tokio::time::sleep(lease / 3).await;
        if let Err(error) = deps.store().keep_rollout(deps.replica(), id, lease).await {
            tracing::warn!(rollout = %id, %error, "the lease was not prolonged");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_elses_work_is_no_failed_attempt() {
        let cause = |code: &str| Cause { code: code.to_owned(), message: String::new(), retryable: true };
        let last = |trouble| Outcome { cell: "eu-1".to_owned(), attempts: TRIES - 1, result: Err(trouble) };
        let taken = last(Trouble::Taken(cause("busy")));
        let verdict = taken.verdict(Timestamp::UNIX_EPOCH);
        assert_eq!((verdict.status, verdict.attempts), (TargetStatus::Running, 0));
        let failed = last(Trouble::Failed(cause("cell_unreachable")));
        let verdict = failed.verdict(Timestamp::UNIX_EPOCH);
        assert_eq!((verdict.status, verdict.attempts), (TargetStatus::Failed, 1));
    }
}
