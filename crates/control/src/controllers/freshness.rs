//! Keeps the memory of routes fresh: every replica looks for changes by itself.

use std::time::Duration;

use tenantry_store::StoreError;

use crate::controllers::driver::{Controller, Look};
use crate::deps::Deps;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Freshness;

/// With a nudge from whoever commits, most looks come earlier; this is the net below it, well within
/// [`crate::routes::BOUND`].
const EVERY: Duration = Duration::from_millis(200);

impl Controller for Freshness {
    const NAME: &'static str = "freshness";
    const IS_NUDGED: bool = true;

    fn every(&self, _: &Deps) -> Duration {
        EVERY
    }

    async fn look(&mut self, deps: &Deps) -> Result<Look, StoreError> {
        deps.routes().forget_changed(deps.store(), deps.now()).await?;
        Ok(Look::Done)
    }
}
