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

/// Pools that are taken at once and worked at side by side: nobody's lease runs while it waits for its turn.
const SIDE_BY_SIDE: u32 = 8;

/// How often one look takes that many. Providers bound how often they are asked.
const ROUNDS: u32 = 2;

/// Tenants that one look gives a pool to.
const ENROL: u32 = 500;

/// Calls that one turn may make, one after the other, before somebody else may have it. Looking through all pools can take
/// more: a turn is kept anew before a pool is made ([`settle`]).
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
        let (provider, mut failed, mut is_more) = (&self.provider, None, true);
        for _ in 0..ROUNDS {
            let due = store.pools_claim(deps.now(), lease, SIDE_BY_SIDE).await?;
            let settled = join_all(due.iter().map(|turn| settle(deps, provider, turn, lease))).await;
            failed = settled.into_iter().find_map(Result::err).or(failed);
            is_more = due.len() == SIDE_BY_SIDE as usize;
            if !is_more {
                break;
            }
        }
        is_more |= new == ENROL as usize;
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
