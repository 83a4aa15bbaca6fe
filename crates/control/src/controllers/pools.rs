//! Makes pools at the identity provider agree with tenants: there once a tenant is active, shut while it is suspended or
//! archived, gone when it is deleted.
//!
//! It looks at where tenants are, not at what happened to them, so that nothing is lost while the provider is away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tenantry_domain::plan::terms::Identity;
use tenantry_identity::Provider;
use tenantry_store::StoreError;

use crate::controllers::driver::{Controller, Look};
use crate::deps::Deps;
use crate::pools::settle;

/// The controller.
#[derive(Debug)]
pub struct Pools {
    provider: Arc<Provider>,
    looked: Option<Instant>,
}

/// Pools that one look takes. Providers bound how often they are asked.
const BATCH: u32 = 16;

/// Pools that are worked at side by side.
const SIDE_BY_SIDE: usize = 8;

/// Tenants that one look gives a pool to.
const ENROL: u32 = 500;

/// Calls that one turn may make, one after the other.
const CALLS: u32 = 4;

/// Nudges come with every commit; the looks over all tenants need not.
const LEAST: Duration = Duration::from_millis(500);

impl Pools {
    /// One that speaks to a provider.
    #[must_use]
    pub const fn new(provider: Arc<Provider>) -> Self {
        Self { provider, looked: None }
    }
}

impl Controller for Pools {
    const NAME: &'static str = "pools";
    const IS_NUDGED: bool = true;

    fn every(&self, deps: &Deps) -> Duration {
        deps.options().tick.min(LEAST)
    }

    async fn look(&mut self, deps: &Deps) -> Result<Look, StoreError> {
        if self.looked.is_some_and(|looked| looked.elapsed() < LEAST) {
            return Ok(Look::Done);
        }
        self.looked = Some(Instant::now());
        let (store, issuer) = (deps.store(), self.provider.issuer());
        let new = store.pools_enrol(&issuer, Identity::Own.as_str(), deps.now(), ENROL).await?;
        let lease = self.provider.bounds().longest().saturating_mul(CALLS);
        let due = store.pools_claim(deps.now(), lease, BATCH).await?;
        let is_more = new == ENROL as usize || due.len() == BATCH as usize;
        let (provider, mut failed) = (&self.provider, None);
        // Half a batch at a time, so that a provider is not asked by all at once.
        for half in due.chunks(SIDE_BY_SIDE) {
            let settled = join_all(half.iter().map(|turn| settle(deps, provider, turn))).await;
            failed = settled.into_iter().find_map(Result::err).or(failed);
        }
        if let Some(error) = failed {
            return Err(error);
        }
        if is_more {
            self.looked = None;
            return Ok(Look::Again);
        }
        Ok(Look::Done)
    }
}
