//! Whether this process can do its work.

use std::time::Duration;

use crate::deps::Deps;

/// What readiness rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readiness {
    /// The control database answers.
    pub database: bool,
    /// Its clock and ours are less than five seconds apart; leases and expiries need that.
    pub clock: bool,
}

impl Readiness {
    /// Whether requests can be served.
    #[must_use]
    pub const fn is_ready(self) -> bool {
        self.database && self.clock
    }
}

/// Looks now; never takes longer than two seconds.
pub async fn readiness(deps: &Deps) -> Readiness {
    let asked = deps.now();
    match tokio::time::timeout(Duration::from_secs(2), deps.store().clock()).await {
        Ok(Ok(theirs)) => {
            let apart = theirs.duration_since(asked).abs();
            Readiness { database: true, clock: apart < jiff::SignedDuration::from_secs(5) }
        }
        _ => Readiness { database: false, clock: true },
    }
}
