//! Whether this process can do its work.

use std::time::Duration;

use tenantry_store::SchemaFit;

use crate::deps::Deps;
use crate::timing;

/// What readiness rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readiness {
    /// The control database answers.
    pub database: bool,
    /// Its tables are such that this release can work with them.
    pub schema: bool,
    /// Its clock and ours are less than five seconds apart; leases and expiries need that.
    pub clock: bool,
}

impl Readiness {
    /// Whether requests can be served.
    #[must_use]
    pub const fn is_ready(self) -> bool {
        self.database && self.schema && self.clock
    }
}

/// Looks now; never takes longer than two seconds for each of both.
pub async fn readiness(deps: &Deps) -> Readiness {
    let Some(apart) = timing::measure(deps).await else {
        return Readiness { database: false, schema: true, clock: true };
    };
    let clock = apart.unsigned_abs() < deps.options().clock_slack;
    match tokio::time::timeout(Duration::from_secs(2), deps.store().schema_fit()).await {
        Ok(Ok(fit)) => Readiness { database: true, schema: fit == SchemaFit::Fits, clock },
        _ => Readiness { database: false, schema: true, clock },
    }
}
