//! Looks for the records that prove tenants' own domains: often while one is new, daily once it is proven.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tenantry_domain::policy::{self, Actor, Rights, Scope};
use tenantry_store::{DomainRow, StoreError};

use crate::controllers::driver::{Controller, Look};
use crate::ctx::Ctx;
use crate::deps::{Deps, mint};
use crate::domains::{dns, settle};

/// The controller.
#[derive(Debug, Clone, Copy, Default)]
pub struct Domains;

/// Domains that one look takes.
const BATCH: u32 = 32;

/// Domains that are asked for at a time.
const SIDE_BY_SIDE: usize = 16;

/// How long a domain that was taken waits when its replica died: longer than the slowest batch.
const LEASE: Duration = Duration::from_secs(60);

impl Controller for Domains {
    const NAME: &'static str = "domains";
    const IS_NUDGED: bool = false;

    fn every(&self, deps: &Deps) -> Duration {
        deps.options().tick
    }

    async fn look(&mut self, deps: &Deps) -> Result<Look, StoreError> {
        let due = deps.store().domains_claim(deps.now(), LEASE, BATCH).await?;
        let is_full = due.len() == BATCH as usize;
        stream::iter(due).for_each_concurrent(SIDE_BY_SIDE, |wish| look(deps, wish)).await;
        Ok(if is_full { Look::Again } else { Look::Done })
    }
}

async fn look(deps: &Deps, wish: DomainRow) {
    let answer = dns::ask(deps, &wish).await;
    let request_id = mint::request();
    let cx = Ctx {
        actor: Actor::controller(Domains::NAME),
        person: None,
        rights: Rights::all(),
        environment: wish.environment.clone(),
        request_id,
        correlation_id: request_id.to_string(),
        now: deps.now(),
        idempotency: None,
    };
    let permit = policy::controller("domain.verify", Scope::tenant(wish.environment.clone(), wish.tenant));
    if let Err(error) = settle(&cx, &permit, deps, &wish, answer).await {
        tracing::warn!(domain = wish.domain, %error, "what was found could not be kept");
    }
}
