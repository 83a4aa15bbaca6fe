//! Who publishes: one process of all that are configured for a sink, until it stops or is not heard of.
//!
//! The process that has the sink's lane works in stretches ([`stretch`](super::stretch)): one connection each, from a look at the
//! stream to the first thing that goes wrong. Between two stretches is a rest that doubles. The others ask for the lane now and then.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tenantry_domain::code::Code;
use tenantry_store::{NewSink, SinkSay, Store, StoreError};
use tenantry_streams::Trouble;
use tokio_util::sync::CancellationToken;

use super::options::StreamOptions;
use super::stats::Stats;
use super::stretch;
use crate::deps::Deps;

/// Why a stretch ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    /// The server.
    #[error(transparent)]
    Server(#[from] Trouble),
    /// Our own database.
    #[error(transparent)]
    Database(#[from] StoreError),
    /// Another process has the lane, or we could not report ourselves for so long that one may have it.
    #[error("the lane of the stream may be another process's")]
    Lost,
}

/// The lane of a sink, held.
pub(super) struct Lane {
    pub(super) deps: Deps,
    pub(super) options: StreamOptions,
    pub(super) claim: i64,
    reported: Mutex<Instant>,
    say: Mutex<SinkSay>,
    /// Cancelled when the process stops or the lane is somebody else's.
    over: CancellationToken,
}

impl Lane {
    pub(super) fn sink(&self) -> &str {
        self.options.settings.stream.as_str()
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

    /// What is told of this process from now on; at once, and by each beat.
    pub(super) async fn tell(&self, say: SinkSay) -> Result<(), End> {
        self.stats().connect(say.state == PUBLISHING);
        *self.say.lock().unwrap_or_else(PoisonError::into_inner) = say;
        self.beat().await
    }

    async fn beat(&self) -> Result<(), End> {
        // What counts is when it was sent: the answer may have been under way for long.
        let now = Instant::now();
        let say = self.say.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !self.store().stream_beat(self.sink(), self.claim, &say).await? {
            self.over.cancel();
            return Err(End::Lost);
        }
        *self.reported.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(())
    }
}

/// The word of a publisher that is connected to a stream that will do.
pub(super) const PUBLISHING: &str = "publishing";
const CONNECTING: &str = "connecting";
const FAILING: &str = "failing";

/// Publishes, or waits for its turn, until it is told to stop.
pub async fn run(deps: Deps, stop: CancellationToken) {
    let Some(options) = deps.options().streams.clone() else { return };
    let mut is_known = false;
    while !stop.is_cancelled() {
        match take(&deps, &options, &mut is_known).await {
            Ok(Some(claim)) => hold(&deps, &options, claim, &stop).await,
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "streams: the sink cannot be asked for"),
        }
        pause(options.patience / 4, &stop).await;
    }
}

async fn take(deps: &Deps, options: &StreamOptions, is_known: &mut bool) -> Result<Option<i64>, StoreError> {
    let name = options.settings.stream.as_str();
    if !*is_known {
        let sink = NewSink {
            name: name.to_owned(),
            servers: options.settings.servers.to_string(),
            prefix: options.settings.prefix.as_str().to_owned(),
            is_whole: options.is_whole,
        };
        if deps.store().stream_register(&sink).await? {
            tracing::info!(stream = name, "streams: a sink is new; events are kept for it from now on");
        }
        *is_known = true;
    }
    deps.store().stream_claim(name, deps.replica(), options.patience).await
}

/// Publishes for as long as the lane is ours.
async fn hold(deps: &Deps, options: &StreamOptions, claim: i64, stop: &CancellationToken) {
    let over = stop.child_token();
    let lane = Arc::new(Lane {
        deps: deps.clone(),
        options: options.clone(),
        claim,
        reported: Mutex::new(Instant::now()),
        say: Mutex::new(SinkSay { state: CONNECTING, ..SinkSay::default() }),
        over: over.clone(),
    });
    tracing::info!(stream = lane.sink(), claim, "streams: this process publishes");
    lane.stats().hold(true);
    let beats = tokio::spawn(beats(Arc::clone(&lane)));
    stretches(&lane).await;
    beats.abort();
    lane.stats().connect(false);
    lane.stats().hold(false);
    if let Err(error) = lane.store().stream_release(lane.sink(), claim).await {
        tracing::debug!(%error, "streams: the lane could not be given back; it is taken over after the patience");
    }
}

async fn stretches(lane: &Lane) {
    let (mut failures, mut told) = (0, String::new());
    while !lane.over.is_cancelled() {
        let began = Instant::now();
        let ended = tokio::select! {
            () = lane.over.cancelled() => return,
            ended = stretch::run(lane) => ended,
        };
        let Err(end) = ended else { continue };
        lane.stats().connect(false);
        // A stretch that went well for a while is no row of failures.
        failures = if began.elapsed() > lane.options.rest.1 { 1 } else { failures + 1 };
        match end {
            End::Lost => {
                tracing::info!(stream = lane.sink(), "streams: this process could not report itself and looks again");
                if lane.beat().await.is_err() {
                    return;
                }
            }
            End::Database(error) => {
                lane.stats().failed("database");
                tracing::warn!(%error, "streams: the control database is in the way");
                if matches!(error, StoreError::Unreadable { .. }) {
                    // An event of a newer release: its processes can publish it, if they get the lane.
                    return pause(lane.options.patience, &lane.over).await;
                }
            }
            End::Server(Trouble::Overtaken) => {
                lane.stats().failed("overtaken");
                tracing::debug!(stream = lane.sink(), "streams: the stream went on without us; it is looked at");
            }
            End::Server(trouble) => {
                lane.stats().failed(trouble.word());
                let text = chain(&trouble);
                if text != told {
                    tracing::warn!(stream = lane.sink(), code = %trouble.code(), error = %text, hint = trouble.code().hint(),
                        "streams: nothing can be published; events wait");
                    told.clone_from(&text);
                }
                let say = SinkSay { state: FAILING, code: Some(trouble.code().to_string()), error: Some(text) };
                if matches!(lane.tell(say).await, Err(End::Lost)) {
                    return;
                }
            }
        }
        pause(rest(lane.options.rest, failures), &lane.over).await;
    }
}

/// How long nothing is tried after so many failures in a row: twice as long each time, a fifth more or less.
fn rest((first, most): (Duration, Duration), failures: u32) -> Duration {
    let whole = first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(most);
    // The last bytes of an id are as random as is needed for not meeting others.
    let dice = u32::from(uuid::Uuid::now_v7().as_bytes()[15]);
    whole * (800 + dice * 400 / 255) / 1000
}

async fn beats(lane: Arc<Lane>) {
    loop {
        tokio::time::sleep(lane.options.patience / 5).await;
        match lane.beat().await {
            Ok(()) => {}
            Err(End::Lost) => {
                tracing::info!(stream = lane.sink(), claim = lane.claim, "streams: another process publishes now");
                return;
            }
            Err(error) => tracing::debug!(%error, "streams: this process cannot report itself"),
        }
    }
}

async fn pause(length: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(length) => {}
    }
}

/// An error with its causes in one line, bounded: it is stored.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let more = source.to_string();
        // Drivers repeat their causes.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = source.source();
    }
    text.chars().filter(|c| !c.is_control()).take(500).collect()
}

/// The codes that a sink's standing can show.
pub const CODES: [Code; 2] = [Code::StreamUnfit, Code::StreamUnavailable];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_doubles_up_to_its_bound_and_is_never_quite_the_same() {
        let bounds = (Duration::from_millis(200), Duration::from_secs(15));
        for (failures, whole) in [(1, 200), (2, 400), (5, 3_200), (7, 12_800), (8, 15_000), (1_000, 15_000)] {
            let found = rest(bounds, failures);
            let whole = Duration::from_millis(whole);
            assert!(found >= whole * 8 / 10 && found <= whole * 12 / 10, "{failures} {found:?}");
        }
    }
}
