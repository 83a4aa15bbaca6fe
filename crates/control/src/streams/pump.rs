//! Who publishes: one process of all that are configured for a sink, until it stops or is not heard of.
//!
//! The process that has the sink's lane works in stretches ([`stretch`](super::stretch)): one connection each, from a look at the
//! stream to the first thing that goes wrong. Between two stretches is a rest that doubles. The others ask for the lane now and then.

use std::future::Future;
use std::time::{Duration, Instant};

use tenantry_domain::code::Code;
use tenantry_store::{NewSink, SinkSay, StoreError, StreamHold};
use tenantry_streams::Trouble;
use tokio_util::sync::CancellationToken;

use super::lane::{End, FAILING, IDLE, Lane};
use super::options::StreamOptions;
use super::stretch;
use crate::deps::Deps;

/// Publishes, or waits for its turn, until it is told to stop.
pub async fn run(deps: Deps, stop: CancellationToken) {
    let Some(options) = deps.options().streams.clone() else { return };
    let (mut is_known, mut told) = (false, String::new());
    while !stop.is_cancelled() {
        let mut length = options.patience / 4;
        match take(&deps, &options, &mut is_known).await {
            Ok(Some(claimed)) => {
                if hold(&deps, &options, claimed, &stop, &mut told).await {
                    // Others ask in the meantime, and one of them may be of the release that can go on.
                    length = options.patience / 2;
                }
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "streams: the sink cannot be asked for"),
        }
        pause(length, &stop).await;
    }
}

async fn take(deps: &Deps, options: &StreamOptions, is_known: &mut bool) -> Result<Option<StreamHold>, StoreError> {
    let name = options.settings.stream.as_str();
    if !*is_known {
        let sink = NewSink {
            name: name.to_owned(),
            servers: options.settings.servers.to_string(),
            prefix: options.settings.prefix.as_str().to_owned(),
            is_whole: options.is_whole,
        };
        deps.store().stream_clear(name).await?;
        if deps.store().stream_register(&sink).await? {
            tracing::info!(stream = name, "streams: a sink is new; events are kept for it from now on");
        }
        *is_known = true;
    }
    match deps.store().stream_claim(name, deps.replica(), options.patience).await {
        // Somebody had it forgotten, and this process is still configured for it.
        Err(StoreError::NotFound) => {
            *is_known = false;
            Ok(None)
        }
        claimed => claimed,
    }
}

/// Publishes for as long as the lane is ours. Says whether it is given back for another release to go on.
async fn hold(
    deps: &Deps,
    options: &StreamOptions,
    claimed: StreamHold,
    stop: &CancellationToken,
    told: &mut String,
) -> bool {
    let lane = Lane::new(deps, options, claimed, stop);
    tracing::info!(stream = lane.sink(), claim = lane.hold.claim, "streams: this process publishes");
    lane.stats().hold(true);
    let idle = || SinkSay { state: IDLE, ..SinkSay::default() };
    let last = beside(stretches(&lane, told), beats(&lane)).await.flatten();
    let is_yielded = last.is_some();
    lane.stats().connect(false);
    lane.stats().hold(false);
    if let Err(error) = lane.store().stream_release(&lane.hold, &last.unwrap_or_else(idle)).await {
        tracing::debug!(%error, "streams: the lane could not be given back; it is taken over after the patience");
    }
    is_yielded
}

/// Works for as long as it reports itself, and reports itself for as long as it works: in one task, so that reports of a publisher
/// that died cannot keep the lane from others.
async fn beside<T>(work: impl Future<Output = T>, beats: impl Future<Output = ()>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = beats => None,
    }
}

/// Publishes until the lane is lost, or nothing is left but what this release cannot read: then it says so.
async fn stretches(lane: &Lane, told: &mut String) -> Option<SinkSay> {
    let mut failures = 0;
    while !lane.over.is_cancelled() {
        let began = Instant::now();
        let ended = tokio::select! {
            () = lane.over.cancelled() => return None,
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
                    return None;
                }
            }
            End::Database(error) => {
                lane.stats().failed("database");
                tracing::warn!(%error, "streams: the control database is in the way");
            }
            End::Stuck(_) => {
                // An event of a newer release: its processes can publish it, if they get the lane.
                lane.stats().failed("unreadable");
                return Some(failing(lane, Code::StreamStuck, &end, told));
            }
            End::Server(Trouble::Overtaken) => {
                lane.stats().failed("overtaken");
                tracing::debug!(stream = lane.sink(), "streams: the stream went on without us; it is looked at");
            }
            End::Server(trouble) => {
                lane.stats().failed(trouble.word());
                let say = failing(lane, trouble.code(), &trouble, told);
                if matches!(lane.tell(say).await, Err(End::Lost)) {
                    return None;
                }
            }
        }
        pause(rest(lane.options.rest, failures), &lane.over).await;
    }
    None
}

/// What is told of something that is in the way. The log has it once, until something else is.
fn failing(lane: &Lane, code: Code, error: &dyn std::error::Error, told: &mut String) -> SinkSay {
    let text = chain(error);
    if text != *told {
        tracing::warn!(stream = lane.sink(), %code, error = %text, hint = code.hint(),
            "streams: not everything can be published; events wait");
        told.clone_from(&text);
    }
    SinkSay { state: FAILING, code: Some(code.to_string()), error: Some(text) }
}

/// How long nothing is tried after so many failures in a row: twice as long each time, a fifth more or less.
fn rest((first, most): (Duration, Duration), failures: u32) -> Duration {
    let whole = first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(most);
    // The last bytes of an id are as random as is needed for not meeting others.
    let dice = u32::from(uuid::Uuid::now_v7().as_bytes()[15]);
    whole * (800 + dice * 400 / 255) / 1000
}

async fn beats(lane: &Lane) {
    loop {
        tokio::time::sleep(lane.options.patience / 5).await;
        match lane.beat().await {
            Ok(()) => {}
            Err(End::Lost) => {
                tracing::info!(stream = lane.sink(), claim = lane.hold.claim, "streams: another process publishes now");
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
pub const CODES: [Code; 3] = [Code::StreamUnfit, Code::StreamUnavailable, Code::StreamStuck];

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Else it would keep the lane for as long as the process lives, and nobody would publish.
    #[tokio::test]
    async fn a_publisher_that_dies_reports_itself_no_more() {
        let count = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&count);
        let beats = async move {
            loop {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let work = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(Duration::ZERO > Duration::from_secs(1), "a defect");
        };
        let died = tokio::spawn(beside(work, beats)).await;
        assert!(died.is_err_and(|error| error.is_panic()));
        let reported = count.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(reported > 0 && count.load(Ordering::Relaxed) == reported);
    }

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
