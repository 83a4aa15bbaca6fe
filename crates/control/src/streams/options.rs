//! Settings of streams, and what a process has for them.

use std::time::Duration;

use tenantry_streams::Settings;

use super::stats::Stats;

/// How events are published.
#[derive(Debug, Clone)]
pub struct StreamOptions {
    /// The server and the stream.
    pub settings: Settings,
    /// Whether a sink that is new gets what was committed before, too.
    pub is_whole: bool,
    /// After which silence a process has lost the sink to another one.
    pub patience: Duration,
    /// The longest time between two looks for work, when no nudge comes.
    pub tick: Duration,
    /// Messages on their way at a time.
    pub in_hand: usize,
    /// How long nothing is tried after a failure: at first, and at most.
    pub rest: (Duration, Duration),
}

impl StreamOptions {
    /// With everything but the server as it suits production.
    #[must_use]
    pub const fn new(settings: Settings) -> Self {
        Self {
            settings,
            is_whole: true,
            patience: Duration::from_secs(5),
            tick: Duration::from_millis(500),
            in_hand: 256,
            rest: (Duration::from_millis(200), Duration::from_secs(15)),
        }
    }
}

/// What a process has for streams.
#[derive(Debug)]
pub struct Streams {
    stats: Stats,
}

impl Streams {
    pub(crate) const fn new() -> Self {
        Self { stats: Stats::new() }
    }

    /// What was counted since the process started.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }
}
