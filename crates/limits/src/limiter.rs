//! Judging a request by all of its rates, in memory or by the shared server, and what happens while that one is away.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use tenantry_domain::limit::{Limit, Verdict};

use crate::counts::{By, Counts};
use crate::local::Local;
use crate::shared::{Shared, SharedError};

/// How a process limits.
#[derive(Debug, Clone)]
pub struct Options {
    /// The most rates that are remembered.
    pub most: usize,
    /// The URL of a Redis or Valkey server that replicas share; absent for limits of each process alone.
    pub shared: Option<SecretString>,
}

impl Default for Options {
    fn default() -> Self {
        // About ten megabytes when it is full.
        Self { most: 100_000, shared: None }
    }
}

/// One rate that a request is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Whose rate, and of what; the same in all replicas.
    pub key: &'a str,
    /// The rate.
    pub limit: Limit,
}

/// Between two looks whether a server that was away is back.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct Inner {
    local: Local,
    shared: Option<Shared>,
    counts: Counts,
    replicas: AtomicU32,
    is_away: AtomicBool,
    /// When to look for the server again, on the clock of `local`.
    look: AtomicU64,
}

/// Judges requests by rates. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Limiter(Arc<Inner>);

impl Limiter {
    /// A limiter. With a shared server it must be made inside a runtime; that the server is away does not matter.
    ///
    /// # Errors
    /// The URL is not that of a server.
    pub fn new(options: &Options) -> Result<Self, SharedError> {
        let shared = options.shared.as_ref().map(Shared::new).transpose()?;
        Ok(Self::of(options.most, shared))
    }

    /// A limiter of this process alone, which remembers at most so many rates.
    #[must_use]
    pub fn alone(most: usize) -> Self {
        Self::of(most, None)
    }

    fn of(most: usize, shared: Option<Shared>) -> Self {
        Self(Arc::new(Inner {
            local: Local::new(most),
            shared,
            counts: Counts::default(),
            replicas: AtomicU32::new(1),
            is_away: AtomicBool::new(false),
            look: AtomicU64::new(0),
        }))
    }

    /// Says how many processes share the rates, as far as is known. It counts only while the shared server is away.
    pub fn set_replicas(&self, count: u32) {
        self.0.replicas.store(count.max(1), Ordering::Relaxed);
    }

    /// Whether a shared server is configured and away.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.0.is_away.load(Ordering::Relaxed)
    }

    /// What was decided so far.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// Asks for `count` of all rates. Either all of them allow it, or none is charged. A count of zero only looks.
    /// The verdicts come in the order of the questions; no question, no verdict.
    pub async fn take(&self, asks: &[Ask<'_>], count: u32) -> Vec<Verdict> {
        if asks.is_empty() {
            return Vec::new();
        }
        let Some(shared) = &self.0.shared else { return self.here(asks, count, By::Memory) };
        if self.is_away() {
            self.look_again(shared);
        } else {
            match shared.take(asks, count).await {
                Ok(verdicts) => {
                    self.0.counts.decided(By::Shared, verdicts.iter().all(|verdict| verdict.allowed));
                    return verdicts;
                }
                Err(error) => self.went_away(&error),
            }
        }
        let replicas = NonZeroU32::new(self.0.replicas.load(Ordering::Relaxed)).unwrap_or(NonZeroU32::MIN);
        let share = |ask: &Ask<'_>| Limit::share(&ask.limit, replicas);
        let mine: Vec<_> = asks.iter().map(|ask| Ask { key: ask.key, limit: share(ask) }).collect();
        self.here(&mine, count, By::Share)
    }

    /// The same in this process alone, whatever is configured: for what must not wait for another server.
    pub fn take_here(&self, asks: &[Ask<'_>], count: u32) -> Vec<Verdict> {
        self.here(asks, count, By::Memory)
    }

    fn here(&self, asks: &[Ask<'_>], count: u32, by: By) -> Vec<Verdict> {
        let local = &self.0.local;
        let now = local.now();
        let mut verdicts: Vec<_> = asks.iter().map(|ask| local.take(ask.key, &ask.limit, count, now)).collect();
        let allowed = verdicts.iter().all(|verdict| verdict.allowed);
        if !allowed {
            for (ask, verdict) in asks.iter().zip(&mut verdicts).filter(|(_, verdict)| verdict.allowed) {
                local.give_back(ask.key, &ask.limit, count);
                *verdict =
                    Verdict { allowed: true, retry: Some(Duration::ZERO), ..local.take(ask.key, &ask.limit, 0, now) };
            }
        }
        self.0.counts.decided(by, allowed);
        verdicts
    }

    fn went_away(&self, error: &SharedError) {
        self.0.counts.failed();
        self.put_off();
        if !self.0.is_away.swap(true, Ordering::Relaxed) {
            let replicas = self.0.replicas.load(Ordering::Relaxed);
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::warn!(%error, cause, replicas, "rates are no longer shared; each replica goes on with its share");
        }
    }

    fn put_off(&self) {
        let pause = u64::try_from(PAUSE.as_nanos()).unwrap_or(u64::MAX);
        self.0.look.store(self.0.local.now().saturating_add(pause), Ordering::Relaxed);
    }

    /// Looks for the server beside the request, which is not kept waiting, and not more often than every pause.
    fn look_again(&self, shared: &Shared) {
        let due = self.0.look.load(Ordering::Relaxed);
        let pause = u64::try_from(PAUSE.as_nanos()).unwrap_or(u64::MAX);
        let now = self.0.local.now();
        let later = now.saturating_add(pause);
        let is_mine =
            now >= due && self.0.look.compare_exchange(due, later, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if !is_mine {
            return;
        }
        let (limiter, shared) = (self.clone(), shared.clone());
        tokio::spawn(async move {
            if shared.ping().await.is_ok() && limiter.0.is_away.swap(false, Ordering::Relaxed) {
                tracing::info!("rates are shared again");
            }
        });
    }

    /// Counters and gauges, for `/metrics`.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        self.0.counts.write(&mut out);
        let gauges = [
            (
                "tenantry_rate_shared_away",
                "gauge",
                "1 while a shared server is configured and away.",
                u64::from(self.is_away()),
            ),
            ("tenantry_rate_remembered", "gauge", "Rates in memory.", self.0.local.len() as u64),
            (
                "tenantry_rate_forgotten_total",
                "counter",
                "Rates forgotten while in use: raise the bound.",
                self.0.local.forgotten(),
            ),
        ];
        for (name, kind, help, value) in gauges {
            out.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"));
        }
        out
    }
}
