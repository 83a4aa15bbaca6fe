//! Closes hours of usage and tells the world of them; keeps quotas that meters count; forgets what is old.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use tenantry_store::StoreError;

use crate::controllers::driver::{Controller, Look};
use crate::deps::Deps;
use crate::usage;

/// The controller.
#[derive(Debug, Default)]
pub struct Usage {
    settled: Option<Instant>,
    forgotten: Option<Instant>,
}

/// Between two looks at quotas: each change of one leaves an audit entry.
const SETTLE_EVERY: Duration = Duration::from_secs(30);

/// Between two looks for what has served its time.
const FORGET_EVERY: Duration = Duration::from_secs(6 * 3600);

/// For so long hours are kept: thirteen months, so that a month can be compared with the one a year ago.
const KEPT: SignedDuration = SignedDuration::from_hours(24 * 396);

impl Controller for Usage {
    const NAME: &'static str = "usage";
    const IS_NUDGED: bool = false;

    fn every(&self, deps: &Deps) -> Duration {
        deps.options().tick
    }

    async fn look(&mut self, deps: &Deps) -> Result<Look, StoreError> {
        if self.settled.is_none_or(|settled| settled.elapsed() >= SETTLE_EVERY.min(deps.options().tick * 30)) {
            usage::settle(deps).await?;
            self.settled = Some(Instant::now());
        }
        if self.forgotten.is_none_or(|forgotten| forgotten.elapsed() >= FORGET_EVERY) {
            let before = deps.now().saturating_sub(KEPT).unwrap_or_else(|_| deps.now());
            if deps.store().forget_usage(before).await? == 0 {
                self.forgotten = Some(Instant::now());
            }
        }
        Ok(if usage::tell(deps).await? { Look::Again } else { Look::Done })
    }
}
