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
mod share;
pub mod stats;
mod sweep;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tenantry_store::{LaneId, Store, StoreError};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::share::Shares;
use self::sweep::Gone;
use super::options::WebhookOptions;
use crate::deps::Deps;
use crate::timing;

/// How long requests in hand may take when the process stops: as long as one may take at all.
pub const DRAIN: Duration = Duration::from_secs(15);

/// Lanes that one look takes.
const LANES: u32 = 4096;
/// The least time between two looks.
const REST: Duration = Duration::from_millis(10);
/// Statements of the pump at a time, so that others get connections too.
const STATEMENTS: usize = 6;
/// How long a lane in which nothing can be read is left to processes of a later release; longer than these rest between two looks.
const UNREAD: Duration = Duration::from_secs(1);
/// Attempts of one endpoint that are kept.
const NEWEST: u32 = 10_000;
/// Attempts between two cuts of an endpoint's log.
const TRIMMED: usize = 2000;

/// What the lanes of a process share.
pub(super) struct Pump {
    deps: Deps,
    working: Semaphore,
    failing: Semaphore,
    /// Of each subject's endpoints; to be had before one of the two above.
    shares: Shares,
    statements: Semaphore,
    /// Logs are cut one after the other.
    trimming: Semaphore,
    reported: Mutex<Option<Instant>>,
    gone: Gone,
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

/// What a lane ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Nothing, or what ends it for now.
    Nothing,
    /// Nothing but events that a later release knows.
    Unread,
}

/// The lanes that this process has taken.
#[derive(Default)]
struct Lanes {
    wakes: HashMap<LaneId, Arc<Notify>>,
    tasks: JoinSet<(LaneId, Found)>,
    /// Lanes in which nothing could be read, and when that was.
    unread: HashMap<LaneId, Instant>,
}

impl Lanes {
    fn run(&mut self, pump: &Arc<Pump>, id: LaneId, stop: &CancellationToken) {
        let wake = Arc::new(Notify::new());
        self.wakes.insert(id.clone(), Arc::clone(&wake));
        let (pump, stop) = (Arc::clone(pump), stop.clone());
        pump.deps.outbound().stats().hold(1);
        self.tasks.spawn(async move {
            let found = lane::run(&pump, &id, &wake, &stop).await;
            pump.deps.outbound().stats().hold(-1);
            (id, found)
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

    fn ended(&mut self, ended: Result<(LaneId, Found), tokio::task::JoinError>) {
        match ended {
            Ok((id, found)) => {
                self.wakes.remove(&id);
                if found == Found::Unread {
                    self.unread.insert(id, Instant::now());
                }
            }
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
        shares: Shares::new(options.in_hand),
        statements: Semaphore::new(STATEMENTS),
        trimming: Semaphore::new(1),
        reported: Mutex::new(None),
        gone: Gone::default(),
        deps,
    });
    let mut lanes = Lanes::default();
    let beats = tokio::spawn(beats(Arc::clone(&pump), stop.clone()));
    let forgets = tokio::spawn(sweep::forgets(Arc::clone(&pump), stop.clone()));
    let sweeps = tokio::spawn(sweep::sweeps(Arc::clone(&pump), stop.clone()));
    let mut nudges = pump.deps.nudges();
    while !stop.is_cancelled() {
        nudges.mark_unchanged();
        lanes.reap();
        let looked = if timing::is_sound(&pump.deps).await {
            look(&pump, &mut lanes, &stop).await
        } else {
            // Receivers refuse what is signed at a wrong time.
            Ok(())
        };
        let pause = match looked {
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
    sweeps.abort();
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
    lanes.unread.retain(|_, since| since.elapsed() < UNREAD);
    let mut free = Vec::new();
    for work in found {
        match lanes.wakes.get(&work.lane) {
            // Not to be sent: also what still runs learns so by itself.
            _ if work.is_gone => pump.gone.add(work.lane),
            Some(wake) => wake.notify_one(),
            None if lanes.unread.contains_key(&work.lane) => {}
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
