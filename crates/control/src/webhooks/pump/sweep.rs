//! What is removed beside the sending: what waits for endpoints that are gone, and what has served its time. A bounded number of
//! rows at a time, and never while somebody looks for work: the queue of one endpoint that was deleted is nobody else's delay.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::SignedDuration;
use tenantry_domain::Timestamp;
use tenantry_store::LaneId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Pump;
use crate::timing;

/// Time between two looks for what has served its time.
const FORGET_EVERY: Duration = Duration::from_secs(60);
/// Rows that are forgotten at a time.
const FORGOTTEN: u32 = 10_000;
/// Rows of an endpoint that is gone that are removed at a time.
const SWEPT: u32 = 5000;

/// Lanes of endpoints that are gone, as looks for work found them.
#[derive(Debug, Default)]
pub(super) struct Gone {
    lanes: Mutex<BTreeSet<LaneId>>,
    added: Notify,
}

impl Gone {
    /// Has a lane swept soon. One that is not swept to its end is found by the next look.
    pub(super) fn add(&self, lane: LaneId) {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).insert(lane);
        self.added.notify_one();
    }

    fn next(&self) -> Option<LaneId> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).pop_first()
    }
}

/// Removes what waits for endpoints that are gone, until it is told to stop.
pub(super) async fn sweeps(pump: Arc<Pump>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = pump.gone.added.notified() => {}
        }
        while let Some(lane) = pump.gone.next() {
            while !stop.is_cancelled() {
                match pump.store().webhook_sweep(&lane, SWEPT).await {
                    Ok(count) if count >= i64::from(SWEPT) => {}
                    Ok(_) => break,
                    Err(error) => {
                        tracing::debug!(%error, endpoint = %lane.endpoint, "webhooks: what waited was not removed");
                        break;
                    }
                }
            }
        }
    }
}

/// Forgets what has served its time, until it is told to stop.
pub(super) async fn forgets(pump: Arc<Pump>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(FORGET_EVERY) => {}
        }
        if !timing::is_sound(&pump.deps).await {
            continue;
        }
        let before = |kept: Duration| {
            let kept = SignedDuration::try_from(kept).unwrap_or(SignedDuration::MAX);
            pump.deps.now().checked_sub(kept).unwrap_or(Timestamp::MIN)
        };
        let (attempts, dead) = pump.options().kept;
        match pump.store().webhook_forget(before(attempts), before(dead), FORGOTTEN).await {
            Ok(gone) if gone.attempts + gone.dead > 0 => {
                tracing::debug!(attempts = gone.attempts, dead = gone.dead, "webhooks: forgotten");
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "webhooks: nothing was forgotten"),
        }
    }
}
