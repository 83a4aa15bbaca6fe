//! Controllers and executor of one process, started and stopped together.

use std::sync::Arc;
use std::time::Duration;

use tenantry_store::StoreError;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::controllers::{
    activation::Activation, canary::Canaries, domains::Domains, drift::Drift, driver, freshness::Freshness,
    guard::Watch, pools::Pools, rollout::Rollouts, stock::Stock, storage::Storage, usage::Usage,
};
use crate::deps::Deps;
use crate::engine::executor;
use crate::guard::Guard;
use crate::guard::probe::Probe;
use crate::members::mail::{self, Post};
use crate::notify::{ByChat, ByMail, Courier, Keeper, Notes};
use crate::streams;
use crate::webhooks::pump;
use crate::workflows::TenantSteps;

/// The brain of one process at work.
#[derive(Debug)]
pub struct Runtime {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

/// How long steps in hand may take to reach their end when the process stops.
const DRAIN: Duration = Duration::from_secs(10);

impl Runtime {
    /// Starts everything that works without being asked.
    #[must_use]
    pub fn start(deps: &Deps) -> Self {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let steps = Arc::new(TenantSteps::new(deps.clone()));
        tasks.spawn(executor::run(deps.clone(), steps, stop.clone(), DRAIN));
        tasks.spawn(driver::run(Activation::default(), deps.clone(), stop.clone()));
        tasks.spawn(driver::run(Domains, deps.clone(), stop.clone()));
        tasks.spawn(driver::run(Drift, deps.clone(), stop.clone()));
        tasks.spawn(driver::run(Stock::default(), deps.clone(), stop.clone()));
        tasks.spawn(driver::run(Watch::<Guard>::default(), deps.clone(), stop.clone()));
        tasks.spawn(driver::run(Watch::<Probe>::default(), deps.clone(), stop.clone()));
        tasks.spawn(driver::run(Canaries, deps.clone(), stop.clone()));
        tasks.spawn(driver::run(Rollouts::default(), deps.clone(), stop.clone()));
        tasks.spawn(driver::run(Freshness, deps.clone(), stop.clone()));
        tasks.spawn(driver::run(Storage, deps.clone(), stop.clone()));
        tasks.spawn(driver::run(Usage::default(), deps.clone(), stop.clone()));
        if let Some(provider) = &deps.options().identity {
            tasks.spawn(driver::run(Pools::new(Arc::clone(provider)), deps.clone(), stop.clone()));
        }
        if let Some(mail) = &deps.options().members.mail {
            tasks.spawn(driver::run(Post::new(mail.server.clone()), deps.clone(), stop.clone()));
            tasks.spawn(driver::run(Courier::new(ByMail(mail.server.clone())), deps.clone(), stop.clone()));
        }
        if deps.options().notify.chat.is_some() {
            tasks.spawn(driver::run(Courier::new(ByChat), deps.clone(), stop.clone()));
        }
        tasks.spawn(driver::run(Notes::default(), deps.clone(), stop.clone()));
        tasks.spawn(driver::run(Keeper::default(), deps.clone(), stop.clone()));
        tasks.spawn(pump::run(deps.clone(), stop.clone()));
        tasks.spawn(streams::pump::run(deps.clone(), stop.clone()));
        tasks.spawn(listen(deps.clone(), stop.clone()));
        tasks.spawn(beat(deps.clone(), stop.clone()));
        Self { stop, tasks }
    }

    /// Stops: no new work is taken, steps in hand reach their end, leases are given back.
    ///
    /// # Errors
    /// The leases could not be given back; they run out by themselves.
    pub async fn shutdown(mut self, deps: &Deps) -> Result<(), StoreError> {
        self.stop.cancel();
        let longest = DRAIN.max(pump::DRAIN).max(mail::DRAIN);
        let _ = tokio::time::timeout(longest + Duration::from_secs(2), async {
            while self.tasks.join_next().await.is_some() {}
        })
        .await;
        self.tasks.abort_all();
        // What was counted and not written yet; the doors are closed by now.
        crate::flags::flush(deps).await;
        deps.store().leave(deps.replica()).await
    }
}

/// Passes on what other replicas commit. Losing it costs a tick, so errors are only logged.
async fn listen(deps: Deps, stop: CancellationToken) {
    let Ok(mut nudges) = deps.store().nudges().await else {
        tracing::warn!("cannot listen for nudges; looking on every tick instead");
        return;
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = nudges.next() => deps.nudge(),
        }
    }
}

async fn beat(deps: Deps, stop: CancellationToken) {
    loop {
        if let Err(error) = deps.store().heartbeat(deps.replica(), env!("CARGO_PKG_VERSION")).await {
            tracing::warn!(%error, "cannot report that this process is alive");
        }
        crate::quotas::keep(&deps).await;
        crate::members::keep(&deps).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(10)) => {}
        }
    }
}
