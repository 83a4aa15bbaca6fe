//! Keeps at work what works without being asked.
//!
//! A controller that panics would be missed by nobody: the process lives, is ready and answers, and what the controller did
//! is not done any more. So it is started anew, later each time, said in the log and counted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long the first pause is; each is twice as long as the one before.
const FIRST: Duration = Duration::from_secs(1);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(60);

/// What has worked this long is not to be blamed for its earlier ends.
const GOOD: Duration = Duration::from_secs(600);

/// How often each had to be started anew since the start of the process.
#[derive(Debug, Clone, Default)]
pub struct Kept(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Kept {
    fn count(&self, name: &'static str, by: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += by;
    }

    /// Lines for Prometheus; one per name, also of those that never ended.
    #[must_use]
    pub fn render(&self) -> String {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::from(
            "# HELP tenantry_controller_restarts_total Controllers that ended by a defect and were started anew.\n\
             # TYPE tenantry_controller_restarts_total counter\n",
        );
        for (name, count) in counts.iter() {
            let _ = writeln!(text, "tenantry_controller_restarts_total{{controller=\"{name}\"}} {count}");
        }
        text
    }
}

/// Runs what `begin` gives until it ends by itself; what ends by a panic is begun anew.
pub(crate) async fn keep<F, W>(name: &'static str, kept: Kept, stop: CancellationToken, begin: F)
where
    F: Fn() -> W + Send,
    W: Future<Output = ()> + Send + 'static,
{
    kept.count(name, 0);
    let mut pause = FIRST;
    loop {
        let began = Instant::now();
        // A set of one, which takes its task with it when it is dropped.
        let mut work = JoinSet::new();
        work.spawn(begin());
        match work.join_next().await {
            Some(Err(error)) if error.is_panic() => {}
            _ => return,
        }
        if began.elapsed() > GOOD {
            pause = FIRST;
        }
        kept.count(name, 1);
        tracing::error!(controller = name, ?pause, "ended by a defect; it is started anew");
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST);
    }
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_panics_is_begun_anew_and_counted() {
        let (kept, begun) = (Kept::default(), Arc::new(AtomicU32::new(0)));
        let counter = Arc::clone(&begun);
        let begin = move || {
            let nth = counter.fetch_add(1, Ordering::Relaxed);
            async move { assert!(nth > 0, "a defect") }
        };
        keep("activation", kept.clone(), CancellationToken::new(), begin).await;
        assert_eq!(begun.load(Ordering::Relaxed), 2);
        assert!(kept.render().ends_with("tenantry_controller_restarts_total{controller=\"activation\"} 1\n"));
    }

    #[tokio::test]
    async fn what_ends_by_itself_has_ended() {
        let kept = Kept::default();
        keep("webhooks", kept.clone(), CancellationToken::new(), || std::future::ready(())).await;
        assert!(kept.render().ends_with("{controller=\"webhooks\"} 0\n"));
    }
}
