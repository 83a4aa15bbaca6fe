//! Looks whether a cell's turn has come to be measured.

use std::time::Duration;

use tenantry_store::StoreError;

use crate::controllers::driver::{Controller, Look};
use crate::deps::Deps;
use crate::quotas::storage;

/// The controller.
#[derive(Debug)]
pub struct Storage;

/// The longest time for which a turn that is due waits.
const LONGEST: Duration = Duration::from_secs(15);

impl Controller for Storage {
    const NAME: &'static str = "storage";
    const IS_NUDGED: bool = false;

    fn every(&self, deps: &Deps) -> Duration {
        deps.options().storage.map_or(LONGEST, |every| every.clamp(deps.options().tick, LONGEST))
    }

    async fn look(&mut self, deps: &Deps) -> Result<Look, StoreError> {
        storage::measure(deps).await.map(|()| Look::Done)
    }
}
