//! Writing down what came of attempts, and giving the lane back.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tenantry_domain::policy::{self, Actor, Rights, Scope};
use tenantry_domain::webhook::Why;
use tenantry_store::{EndpointRow, LaneChange, LaneId, Outcome, Subject};

use super::{Run, luck};
use crate::ctx::Ctx;
use crate::deps::mint;
use crate::webhooks::endpoint;
use crate::webhooks::pump::{Found, NEWEST, Pump, TRIMMED};

/// Between two tries to write down, when the database is away.
const PATIENCE: Duration = Duration::from_millis(250);

/// Outcomes that are through: written down, or left to the next one who has the lane.
pub(super) struct Written {
    outcomes: Vec<Outcome>,
    /// Whether another process holds the lane by now.
    is_lost: bool,
}

/// Writes down what came of attempts; tries again as long as the database is away.
async fn record(pump: Arc<Pump>, id: LaneId, outcomes: Vec<Outcome>, change: LaneChange, trims: bool) -> Written {
    let replica = pump.deps.replica();
    let turn = pump.statements.acquire().await;
    let is_lost = loop {
        match pump.store().webhook_record(replica, &id, &outcomes, Some(change)).await {
            Ok(true) => break false,
            Ok(false) => {
                tracing::warn!(endpoint = %id.endpoint, "webhooks: another process sends to the endpoint by now");
                break true;
            }
            Err(error) if pump.is_fresh() || error.is_unavailable() => {
                tracing::debug!(%error, "webhooks: what was sent cannot be written down yet");
                tokio::time::sleep(PATIENCE).await;
            }
            Err(error) => {
                // The next one who has the lane sends it once more.
                tracing::warn!(%error, endpoint = %id.endpoint, "webhooks: what was sent was not written down");
                break false;
            }
        }
    };
    drop(turn);
    if trims {
        // Nobody waits for it.
        tokio::spawn(async move { trim(&pump, &id).await });
    }
    Written { outcomes, is_lost }
}

/// Forgets all but the newest attempts; one endpoint after the other.
async fn trim(pump: &Pump, id: &LaneId) {
    let _turn = pump.trimming.acquire().await;
    if let Err(error) = pump.store().webhook_trim(id, NEWEST).await {
        tracing::debug!(%error, "webhooks: a log could not be cut");
    }
}

impl Run<'_> {
    /// Begins to write down what there is. A lane that keeps the order waits for it.
    pub(super) async fn write(&mut self) {
        let outcomes = std::mem::take(&mut self.outcomes);
        let change = LaneChange { failures: self.failures, has_success: self.has_success, pause: self.pause };
        self.has_success = false;
        self.untrimmed += outcomes.len();
        let trims = self.untrimmed >= TRIMMED;
        if trims {
            self.untrimmed = 0;
        }
        let record = record(Arc::clone(self.pump), self.id.clone(), outcomes, change, trims);
        if self.is_fifo() {
            let written = record.await;
            self.written(written);
        } else {
            self.writing = Some(record.boxed());
        }
    }

    /// Forgets what was written down.
    pub(super) fn written(&mut self, written: Written) {
        self.is_lost |= written.is_lost;
        let keys: Vec<_> = written.outcomes.iter().map(|outcome| (outcome.subject, outcome.sequence)).collect();
        if self.looking.is_some() {
            self.retired.extend(keys);
        } else {
            self.forget(keys);
        }
        self.is_drained &= !self.is_cut;
        let held = std::mem::take(&mut self.held);
        self.put_back(&held);
        for subject in held {
            self.busy.remove(&subject);
        }
    }

    /// What follows in the order waits in the queue until the one in front of it is through.
    pub(super) fn put_back(&mut self, held: &HashSet<Subject>) {
        if !self.is_fifo() || held.is_empty() {
            return;
        }
        let known = &mut self.known;
        self.buffer.retain(|later| {
            let is_free = !held.contains(&later.event.subject);
            if !is_free {
                known.remove(&(later.event.subject, later.event.sequence));
            }
            is_free
        });
    }

    /// Gives the lane back; ends the endpoint if that is what came out. Says what the lane ended with.
    pub(super) async fn end(self) -> Found {
        if let (Some(why), Some((endpoint, _)), false) = (self.gone, &self.endpoint, self.is_lost) {
            give_up(self.pump, endpoint, why).await;
        }
        // Short lanes come often: each cuts the log as seldom as a long one would.
        if luck() * f64::from(u32::try_from(TRIMMED).unwrap_or(1))
            < f64::from(u32::try_from(self.untrimmed).unwrap_or(0))
        {
            // Nobody waits for it: the lane is free while its log is cut.
            let (pump, id) = (Arc::clone(self.pump), self.id.clone());
            tokio::spawn(async move { trim(&pump, &id).await });
        }
        let _turn = self.pump.statements.acquire().await;
        if let Err(error) = self.pump.store().webhook_release(self.pump.deps.replica(), self.id).await {
            tracing::debug!(%error, "webhooks: a lane could not be given back");
        }
        self.ends_with
    }
}

/// Disables an endpoint.
async fn give_up(pump: &Pump, row: &EndpointRow, why: Why) {
    let deps = &pump.deps;
    let request_id = mint::request();
    let cx = Ctx {
        actor: Actor::controller("webhooks"),
        person: None,
        rights: Rights::all(),
        environment: row.environment.clone(),
        request_id,
        correlation_id: request_id.to_string(),
        now: deps.now(),
        idempotency: None,
    };
    let scope = match row.subject {
        Subject::Tenant(tenant) => Scope::tenant(row.environment.clone(), tenant),
        Subject::Environment => Scope::environment(row.environment.clone()),
    };
    let permit = policy::controller("webhook.disable", scope);
    match endpoint::give_up(&cx, deps, &permit, row, why).await {
        Ok(()) => {
            deps.outbound().stats().gave_up();
            tracing::warn!(endpoint = %row.id, why = %why, "a webhook endpoint was disabled");
        }
        Err(refusal) => tracing::warn!(endpoint = %row.id, %refusal, "a webhook endpoint could not be disabled"),
    }
}
