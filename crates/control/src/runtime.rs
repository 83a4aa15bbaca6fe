//! Controllers and executor of one process, started and stopped together.

use std::sync::Arc;
use std::time::Duration;

use tenantry_store::StoreError;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::controllers::driver::Controller;
use crate::controllers::{
    activation::Activation, canary::Canaries, domains::Domains, drift::Drift, driver, freshness::Freshness,
    guard::Watch, pools::Pools, prune::Prune, rollout::Rollouts, stock::Stock, storage::Storage, usage::Usage,
};
use crate::deps::Deps;
use crate::engine::executor;
use crate::guard::Guard;
use crate::guard::probe::Probe;
use crate::keeping;
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
        let mut runtime = Self { stop: CancellationToken::new(), tasks: JoinSet::new() };
        let steps = Arc::new(TenantSteps::new(deps.clone()));
        runtime.keep(deps, "executor", move |deps, stop| executor::run(deps, Arc::clone(&steps), stop, DRAIN));
        runtime.drive(deps, Activation::default);
        runtime.drive(deps, || Domains);
        runtime.drive(deps, || Drift);
        runtime.drive(deps, Stock::default);
        runtime.drive(deps, Watch::<Guard>::default);
        runtime.drive(deps, Watch::<Probe>::default);
        runtime.drive(deps, || Canaries);
        runtime.drive(deps, Rollouts::default);
        runtime.drive(deps, || Freshness);
        runtime.drive(deps, || Storage);
        runtime.drive(deps, Usage::default);
        runtime.drive(deps, || Prune);
        if let Some(provider) = deps.options().identity.clone() {
            runtime.drive(deps, move || Pools::new(Arc::clone(&provider)));
        }
        if let Some(mail) = &deps.options().members.mail {
            let (post, courier) = (mail.server.clone(), mail.server.clone());
            runtime.drive(deps, move || Post::new(post.clone()));
            runtime.drive(deps, move || Courier::new(ByMail(courier.clone())));
        }
        if deps.options().notify.chat.is_some() {
            runtime.drive(deps, || Courier::new(ByChat));
        }
        runtime.drive(deps, Notes::default);
        runtime.drive(deps, Keeper::default);
        runtime.keep(deps, "webhooks", pump::run);
        runtime.keep(deps, "streams", streams::pump::run);
        runtime.keep(deps, "nudges", listen);
        runtime.keep(deps, "heartbeat", beat);
        runtime
    }

    /// Runs a controller for as long as the process works.
    fn drive<C: Controller>(&mut self, deps: &Deps, begin: impl Fn() -> C + Send + 'static) {
        self.keep(deps, C::NAME, move |deps, stop| driver::run(begin(), deps, stop));
    }

    fn keep<F, W>(&mut self, deps: &Deps, name: &'static str, begin: F)
    where
        F: Fn(Deps, CancellationToken) -> W + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        let (given, stop) = (deps.clone(), self.stop.clone());
        let begin = move || begin(given.clone(), stop.clone());
        self.tasks.spawn(keeping::keep(name, deps.kept().clone(), self.stop.clone(), begin));
    }

    /// Takes no new work from now on; steps in hand go on to their end.
    pub fn cease(&self) {
        self.stop.cancel();
    }

    /// Waits until the steps in hand have reached their end and gave their runs back, after [`Self::cease`].
    pub async fn ended(&mut self) {
        let longest = DRAIN.max(pump::DRAIN).max(mail::DRAIN);
        let _ = tokio::time::timeout(longest + Duration::from_secs(2), async {
            while self.tasks.join_next().await.is_some() {}
        })
        .await;
        self.tasks.abort_all();
    }

    /// Stops: no new work is taken, steps in hand reach their end, leases are given back.
    ///
    /// # Errors
    /// The leases could not be given back; they run out by themselves.
    pub async fn shutdown(mut self, deps: &Deps) -> Result<(), StoreError> {
        self.cease();
        self.ended().await;
        // What was counted and not written yet; the doors are closed by now.
        crate::flags::flush(deps).await;
        deps.store().leave(deps.replica()).await
    }
}

/// Passes on what other replicas commit. Losing it costs a tick, so errors are only logged. A database that is away when the
/// process starts is asked again.
async fn listen(deps: Deps, stop: CancellationToken) {
    let mut pause = Duration::from_millis(500);
    let mut nudges = loop {
        match deps.store().nudges().await {
            Ok(nudges) => break nudges,
            Err(error) => tracing::warn!(%error, "cannot listen for nudges; looking on every tick instead"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(Duration::from_secs(15)),
        }
    };
    // What was committed meanwhile was not heard.
    deps.nudge();
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
