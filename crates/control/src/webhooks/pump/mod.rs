//! What sends: finds lanes with something to do, takes them, and runs each until it is empty.
//!
//! A lane is an endpoint's queue; one process at a time has it, so rate, concurrency and order of an endpoint are kept without any
//! agreement. A nudge only makes the pump look sooner. Whoever dies has its lanes taken over after the patience, and what it had
//! in hand is sent once more.
//!
//! INVARIANT: nothing is sent by a process that could not report itself for more than half of the patience: by the time that
//! another one takes its lanes it has stopped.

mod flight;
mod lane;
mod pace;
pub mod stats;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use tenantry_domain::Timestamp;
use tenantry_store::{LaneId, Store, StoreError};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::options::WebhookOptions;
use crate::deps::Deps;

/// How long requests in hand may take when the process stops: as long as one may take at all.
pub const DRAIN: Duration = Duration::from_secs(15);

/// Lanes that one look takes.
const LANES: u32 = 4096;
/// The least time between two looks.
const REST: Duration = Duration::from_millis(10);
/// Statements of the pump at a time, so that others get connections too.
const STATEMENTS: usize = 6;
/// Time between two looks for what has served its time.
const FORGET_EVERY: Duration = Duration::from_secs(60);
/// Rows that are forgotten at a time.
const FORGOTTEN: u32 = 10_000;
/// Attempts of one endpoint that are kept.
const NEWEST: u32 = 10_000;
/// Attempts between two cuts of an endpoint's log.
const TRIMMED: usize = 2000;

/// What the lanes of a process share.
pub(super) struct Pump {
    deps: Deps,
    working: Semaphore,
    failing: Semaphore,
    statements: Semaphore,
    /// Logs are cut one after the other.
    trimming: Semaphore,
    reported: Mutex<Option<Instant>>,
}

impl Pump {
    fn options(&self) -> &WebhookOptions {
        &self.deps.options().webhooks
    }

    fn store(&self) -> &Store {
        self.deps.store()
    }

    /// Whether the lanes are certainly still ours.
    fn is_fresh(&self) -> bool {
        let reported = *self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        reported.is_some_and(|reported| reported.elapsed() < self.options().patience / 2)
    }

    async fn beat(&self) -> Result<(), StoreError> {
        // What counts is when it was sent: the answer may have been under way for long.
        let now = Instant::now();
        self.store().webhook_beat(self.deps.replica()).await?;
        *self.reported.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        Ok(())
    }
}

/// The lanes that this process has taken.
#[derive(Default)]
struct Lanes {
    wakes: HashMap<LaneId, Arc<Notify>>,
    tasks: JoinSet<LaneId>,
}

impl Lanes {
    fn run(&mut self, pump: &Arc<Pump>, id: LaneId, stop: &CancellationToken) {
        let wake = Arc::new(Notify::new());
        self.wakes.insert(id.clone(), Arc::clone(&wake));
        let (pump, stop) = (Arc::clone(pump), stop.clone());
        pump.deps.outbound().stats().hold(1);
        self.tasks.spawn(async move {
            lane::run(&pump, &id, &wake, &stop).await;
            pump.deps.outbound().stats().hold(-1);
            id
        });
    }

    /// Forgets lanes that have ended; says whether there was one.
    fn reap(&mut self) -> bool {
        let mut has_ended = false;
        while let Some(ended) = self.tasks.try_join_next() {
            has_ended = true;
            self.ended(ended);
        }
        has_ended
    }

    fn ended(&mut self, ended: Result<LaneId, tokio::task::JoinError>) {
        match ended {
            Ok(id) => drop(self.wakes.remove(&id)),
            // Which one it was cannot be told: those that run are found again by what they do not answer to.
            Err(error) => {
                tracing::error!(%error, "a lane of webhooks ended by a panic");
                self.wakes.retain(|_, wake| Arc::strong_count(wake) > 1);
            }
        }
    }
}

/// Sends until it is told to stop.
pub async fn run(deps: Deps, stop: CancellationToken) {
    let options = deps.options().webhooks.clone();
    if !options.sends {
        return;
    }
    let pump = Arc::new(Pump {
        working: Semaphore::new(options.in_hand.0),
        failing: Semaphore::new(options.in_hand.1),
        statements: Semaphore::new(STATEMENTS),
        trimming: Semaphore::new(1),
        reported: Mutex::new(None),
        deps,
    });
    let mut lanes = Lanes::default();
    let beats = tokio::spawn(beats(Arc::clone(&pump), stop.clone()));
    let forgets = tokio::spawn(forgets(Arc::clone(&pump), stop.clone()));
    let mut nudges = pump.deps.nudges();
    while !stop.is_cancelled() {
        nudges.mark_unchanged();
        lanes.reap();
        let pause = match look(&pump, &mut lanes, &stop).await {
            Ok(()) => options.tick,
            Err(error) => {
                tracing::warn!(%error, "webhooks: cannot look for work");
                options.tick.max(Duration::from_millis(500))
            }
        };
        tokio::time::sleep(REST).await;
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
            Ok(()) = nudges.changed() => {}
            Some(ended) = lanes.tasks.join_next() => {
                lanes.ended(ended);
            }
        }
    }
    let _ = tokio::time::timeout(DRAIN, async { while lanes.tasks.join_next().await.is_some() {} }).await;
    lanes.tasks.abort_all();
    beats.abort();
    forgets.abort();
    if let Err(error) = pump.store().webhook_leave(pump.deps.replica()).await {
        tracing::debug!(%error, "webhooks: the lanes could not be given back");
    }
}

/// Finds lanes with something to do, wakes those that run, takes those that nobody has.
async fn look(pump: &Arc<Pump>, lanes: &mut Lanes, stop: &CancellationToken) -> Result<(), StoreError> {
    if !pump.is_fresh() {
        pump.beat().await?;
    }
    let (replica, patience) = (pump.deps.replica(), pump.options().patience);
    let found = pump.store().webhook_work(replica, patience, LANES).await?;
    let mut free = Vec::new();
    for work in found {
        match lanes.wakes.get(&work.lane) {
            Some(wake) => wake.notify_one(),
            // Its task has ended and the lane could not be given back.
            None if work.is_mine => lanes.run(pump, work.lane, stop),
            None => free.push(work.lane),
        }
    }
    if !free.is_empty() {
        for id in pump.store().webhook_claim(replica, patience, &free).await? {
            lanes.run(pump, id, stop);
        }
    }
    Ok(())
}

async fn beats(pump: Arc<Pump>, stop: CancellationToken) {
    let pause = pump.options().patience / 5;
    // To the end of the drain: lanes are ours until they are given back.
    loop {
        if let Err(error) = pump.beat().await {
            tracing::debug!(%error, "webhooks: this process cannot report itself");
        }
        tokio::time::sleep(pause).await;
        if stop.is_cancelled() && pump.deps.outbound().stats().counted().lanes <= 0 {
            return;
        }
    }
}

async fn forgets(pump: Arc<Pump>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(FORGET_EVERY) => {}
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
