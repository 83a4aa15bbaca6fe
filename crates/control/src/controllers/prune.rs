//! Forgets what has served its time: kept answers of requests, names whose quarantine is over, processes that are gone.
//!
//! Operations stay: how long a history is kept is the operator's to say, and nobody can say it yet.

use std::time::Duration;

use tenantry_domain::Timestamp;
use tenantry_store::{PRUNED_MAX, StoreError};

use crate::controllers::driver::{Controller, Look};
use crate::deps::Deps;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Prune;

/// Ten minutes: a kept answer weighs a few kilobytes, and a busy day makes hundreds of thousands of them.
const EVERY: Duration = Duration::from_secs(600);

impl Controller for Prune {
    const NAME: &'static str = "prune";
    const IS_NUDGED: bool = false;

    fn every(&self, _: &Deps) -> Duration {
        EVERY
    }

    async fn look(&mut self, deps: &Deps) -> Result<Look, StoreError> {
        let pruned = deps.store().prune(deps.now(), Timestamp::UNIX_EPOCH).await?;
        if pruned.answers + pruned.quarantines > 0 {
            tracing::debug!(answers = pruned.answers, quarantines = pruned.quarantines, "forgotten");
        }
        let is_full = pruned.answers >= PRUNED_MAX || pruned.quarantines >= PRUNED_MAX;
        Ok(if is_full { Look::Again } else { Look::Done })
    }
}
