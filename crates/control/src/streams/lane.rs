//! The lane of a sink while a process holds it: the claim that every write shows, and the reports that keep it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tenantry_domain::Timestamp;
use tenantry_store::{SinkSay, Store, StoreError, StreamHold, StuckEvent};
use tenantry_streams::Trouble;
use tokio_util::sync::CancellationToken;

use super::options::StreamOptions;
use super::stats::Stats;
use crate::deps::Deps;

/// The word of a publisher that is connected to a stream that will do.
pub(super) const PUBLISHING: &str = "publishing";
/// The word of one whose turn it is and that has not connected yet.
pub(super) const CONNECTING: &str = "connecting";
/// The word of one that something is in the way of.
pub(super) const FAILING: &str = "failing";
/// The word of a lane that nobody holds.
pub(super) const IDLE: &str = "idle";

/// The first look for what commits did not note comes soon: what was under way while the sink was made known is found by it.
const FIRST_SWEEP: Duration = Duration::from_secs(3);

/// Why a stretch ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    /// The server.
    #[error(transparent)]
    Server(#[from] Trouble),
    /// Our own database.
    #[error(transparent)]
    Database(#[from] StoreError),
    /// All that is left waits behind events that this release cannot read.
    #[error("event {} of {} in `{}` has the type `{}`, which this release does not know", .0.sequence, whose(.0), .0.id.environment, .0.kind)]
    Stuck(StuckEvent),
    /// Another process has the lane, or we could not report ourselves for so long that one may have it.
    #[error("the lane of the stream may be another process's")]
    Lost,
}

fn whose(stuck: &StuckEvent) -> String {
    stuck.id.subject.tenant().map_or_else(|| "the environment".to_owned(), |tenant| tenant.to_string())
}

/// The lane of a sink, held.
pub(super) struct Lane {
    pub(super) deps: Deps,
    pub(super) options: StreamOptions,
    pub(super) hold: StreamHold,
    /// When to look for what commits did not note. Of the lane and not of a stretch: those may be short.
    sweep: Mutex<Instant>,
    reported: Mutex<Instant>,
    say: Mutex<SinkSay>,
    /// Cancelled when the process stops or the lane is somebody else's.
    pub(super) over: CancellationToken,
}

impl Lane {
    pub(super) fn new(deps: &Deps, options: &StreamOptions, hold: StreamHold, stop: &CancellationToken) -> Self {
        Self {
            deps: deps.clone(),
            options: options.clone(),
            hold,
            sweep: Mutex::new(Instant::now() + FIRST_SWEEP),
            reported: Mutex::new(Instant::now()),
            say: Mutex::new(SinkSay { state: CONNECTING, ..SinkSay::default() }),
            over: stop.child_token(),
        }
    }

    pub(super) fn sink(&self) -> &str {
        &self.hold.sink
    }

    pub(super) fn store(&self) -> &Store {
        self.deps.store()
    }

    pub(super) fn stats(&self) -> &Stats {
        self.deps.streams().stats()
    }

    /// Whether the lane is certainly still ours. A process that was frozen finds out here before it sends anything.
    pub(super) fn is_fresh(&self) -> bool {
        let reported = *self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        reported.elapsed() < self.options.patience / 2
    }

    /// Whether it is time to look for what commits did not note.
    pub(super) fn has_to_sweep(&self) -> bool {
        *self.sweep.lock().unwrap_or_else(PoisonError::into_inner) <= Instant::now()
    }

    /// Puts the next of these looks off.
    pub(super) fn swept(&self, next: Duration) {
        *self.sweep.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + next;
    }

    /// What is told of this process from now on; at once, and by each beat.
    pub(super) async fn tell(&self, say: SinkSay) -> Result<(), End> {
        self.stats().connect(say.state == PUBLISHING);
        *self.say.lock().unwrap_or_else(PoisonError::into_inner) = say;
        self.beat().await
    }

    pub(super) async fn beat(&self) -> Result<(), End> {
        // What counts is when it was sent: the answer may have been under way for long.
        let now = Instant::now();
        let say = self.say.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !self.store().stream_beat(&self.hold, &say).await? {
            self.over.cancel();
            return Err(End::Lost);
        }
        *self.reported.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(())
    }

    /// Writes down which stream it is, when nobody has yet.
    pub(super) async fn identify(&self, known: Option<Timestamp>, made: Timestamp) -> Result<(), End> {
        match known.is_some() || self.store().stream_identify(&self.hold, made).await? {
            true => Ok(()),
            false => Err(End::Lost),
        }
    }
}
