//! What every handler shares: the use cases' handles, the bounds, the counters, and whether the end has begun.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tenantry_control::{Deps, Refusal};
use tenantry_domain::name::EnvironmentName;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::middleware::shed::Doors;
use crate::stream::Crowd;

/// Bounds of the door. The defaults suit production.
#[derive(Debug, Clone)]
pub struct Options {
    /// Requests that are worked on at a time; health is not counted.
    pub in_flight: usize,
    /// How long a request waits for its turn before it is shed.
    pub queue: Duration,
    /// Streams that are open at a time.
    pub streams: usize,
    /// Streams that one caller may have open at a time.
    pub streams_each: usize,
    /// Connections that are open at a time.
    pub connections: usize,
    /// Longest time until a request is answered, waiting for operations apart.
    pub request: Duration,
    /// Largest body, in bytes.
    pub body: usize,
    /// Largest body of a plan or apply request, in bytes.
    pub manifests: usize,
    /// Between "not ready" and the end of accepting, so that balancers look elsewhere first.
    pub drain_delay: Duration,
    /// How long requests in hand may take to end after that.
    pub drain: Duration,
    /// Largest head of a request, in bytes.
    pub head: usize,
    /// How long a new connection may take to send its first head.
    pub head_time: Duration,
    /// How long a connection may be idle; longer than the balancers in front keep theirs.
    pub idle: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            in_flight: 256,
            queue: Duration::from_secs(1),
            streams: 512,
            streams_each: 64,
            connections: 4096,
            request: Duration::from_secs(30),
            body: 4 * 1024 * 1024,
            manifests: tenantry_api::manifest::MAX_BYTES,
            drain_delay: Duration::from_secs(5),
            drain: Duration::from_secs(20),
            head: 64 * 1024,
            head_time: Duration::from_secs(10),
            idle: Duration::from_secs(75),
        }
    }
}

/// More lines for `/metrics`, written by whoever knows them.
pub type Lines = dyn Fn() -> String + Send + Sync;

struct Inner {
    deps: Deps,
    options: Options,
    metrics: Metrics,
    doors: Doors,
    crowd: Crowd,
    lines: Option<Box<Lines>>,
    draining: CancellationToken,
    was_ready: AtomicBool,
    environments: RwLock<BTreeSet<EnvironmentName>>,
}

/// Shared by all requests. Cheap to clone.
#[derive(Clone)]
pub struct State(Arc<Inner>);

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl State {
    /// Binds the door to the use cases.
    #[must_use]
    pub fn new(deps: Deps, options: Options) -> Self {
        Self::with_metrics(deps, options, None)
    }

    /// The same, with more lines for `/metrics`.
    #[must_use]
    pub fn with_metrics(deps: Deps, options: Options, lines: Option<Box<Lines>>) -> Self {
        let doors = Doors::new(&options);
        Self(Arc::new(Inner {
            deps,
            metrics: Metrics::default(),
            doors,
            crowd: Crowd::default(),
            lines,
            draining: CancellationToken::new(),
            was_ready: AtomicBool::new(false),
            environments: RwLock::default(),
            options,
        }))
    }

    /// The use cases' handles.
    #[must_use]
    pub fn deps(&self) -> &Deps {
        &self.0.deps
    }

    /// The bounds.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// The counters.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Whether there is such an environment. They are few and stay, so those that were seen are remembered.
    pub(crate) async fn knows(&self, environment: &EnvironmentName) -> Result<bool, Refusal> {
        let seen = || self.0.environments.read().unwrap_or_else(PoisonError::into_inner).contains(environment);
        if seen() {
            return Ok(true);
        }
        self.environments().await?;
        Ok(seen())
    }

    /// All environments.
    pub(crate) async fn environments(&self) -> Result<Vec<EnvironmentName>, Refusal> {
        // The only thing that the door asks the store by itself: there is no use case for it yet.
        let rows = self.0.deps.store().environments().await.map_err(Refusal::Unavailable)?;
        let names: Vec<EnvironmentName> = rows.into_iter().map(|row| row.name).collect();
        let mut seen = self.0.environments.write().unwrap_or_else(PoisonError::into_inner);
        seen.extend(names.iter().cloned());
        Ok(names)
    }

    pub(crate) fn doors(&self) -> &Doors {
        &self.0.doors
    }

    pub(crate) fn crowd(&self) -> &Crowd {
        &self.0.crowd
    }

    pub(crate) fn more_lines(&self) -> String {
        self.0.lines.as_ref().map(|lines| lines()).unwrap_or_default()
    }

    /// From now on this process is not ready; streams end.
    pub fn begin_drain(&self) {
        self.0.draining.cancel();
    }

    /// Whether the end has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.draining.is_cancelled()
    }

    /// Comes true when the end begins.
    #[must_use]
    pub fn draining(&self) -> CancellationToken {
        self.0.draining.clone()
    }

    pub(crate) fn mark_ready(&self) {
        self.0.was_ready.store(true, Ordering::Relaxed);
    }

    pub(crate) fn was_ready(&self) -> bool {
        self.0.was_ready.load(Ordering::Relaxed)
    }
}
