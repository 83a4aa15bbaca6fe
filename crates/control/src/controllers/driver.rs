//! The loop that all controllers run in: look, sleep until a nudge or the next tick, look again.
//!
//! Errors are logged and lead to a longer pause, never to an end: the next look starts from what is, so nothing is
//! lost by giving up on one. The driver is the only place where controllers sleep.

use std::future::Future;
use std::time::Duration;

use tenantry_store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::deps::Deps;
use crate::timing;

/// What a look led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// There may be more: look again at once.
    Again,
    /// Nothing left to do for now.
    Done,
}

/// A controller.
pub trait Controller: Send + 'static {
    /// The name in logs and metrics.
    const NAME: &'static str;
    /// Whether a nudge makes it look.
    const IS_NUDGED: bool;

    /// The longest time between two looks.
    fn every(&self, deps: &Deps) -> Duration;

    /// Looks once and does what is due.
    ///
    /// # Errors
    /// Our database does not answer.
    fn look(&mut self, deps: &Deps) -> impl Future<Output = Result<Look, StoreError>> + Send;

    /// Ends what is in hand once nothing more is looked for. Whoever stops the process decides how long that may take.
    fn end(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// Longest pause after repeated errors.
const PATIENCE: Duration = Duration::from_secs(15);

/// How soon a controller that may not look asks again whether it may.
const WAIT: Duration = Duration::from_secs(1);

/// Runs a controller until it is cancelled. While the clocks differ it does not look.
pub async fn run<C: Controller>(mut controller: C, deps: Deps, stop: CancellationToken) {
    let mut failures: u32 = 0;
    let mut nudges = deps.nudges();
    while !stop.is_cancelled() {
        nudges.mark_unchanged();
        if !timing::is_sound(&deps).await {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(WAIT) => {}
            }
            continue;
        }
        let pause = match controller.look(&deps).await {
            Ok(Look::Again) => {
                failures = 0;
                continue;
            }
            Ok(Look::Done) => {
                failures = 0;
                controller.every(&deps)
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                tracing::warn!(controller = C::NAME, %error, failures, "look failed");
                controller.every(&deps).max(Duration::from_millis(200) * 2_u32.pow(failures.min(7))).min(PATIENCE)
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
            Ok(()) = nudges.changed(), if C::IS_NUDGED && failures == 0 => {}
        }
    }
    controller.end().await;
}
