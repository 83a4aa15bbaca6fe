//! Drives workflow runs: claims them, asks `domain::workflow::next`, runs steps, journals what happened.
//!
//! Step protocol. External effect: the intent is committed first, then the effect runs under the key of the step
//! and the fence of the claim, then the result is committed, together with the intent of the step that follows.
//! Local effect: rows, audit, events, intent and result are one commit. A lease keeps a run with one replica while
//! that replica lives; the fence, compared inside every write, makes a replica that only believes to hold the
//! lease harmless. Nothing here knows what a step does ([`Steps`]) or which steps there are (definitions).
//!
//! INVARIANT: no transaction of ours is open while an external effect runs.
//!
//! Long because the protocol of a step is one thing: its order is easier to check in one file than across several.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tenantry_domain::policy::{Actor, Rights};
use tenantry_domain::workflow::{self, Cause, Definition, Direction, Effect, Fact, Kind, Next, Step, StepName, next};
use tenantry_domain::{audit, event};
use tenantry_store::{Claim, Claimed, Entry, Finding, StoreError, WorkflowStatus};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use crate::ctx::Ctx;
use crate::deps::{Deps, mint};
use crate::engine::fault::{self, Phase, Point};
use crate::engine::{Call, Local, Steps};
use crate::timing;
use crate::workflows::conditions;

/// Why a run was put down before its end.
enum Stop {
    /// Somebody else owns it now.
    Lost,
    /// Our database did not take a write; the lease will run out and somebody will claim it.
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Fenced => Self::Lost,
            other => Self::Store(other),
        }
    }
}

/// Claims and drives runs until it is cancelled, then waits for those in hand up to `drain`.
pub async fn run<S: Steps>(deps: Deps, steps: Arc<S>, stop: CancellationToken, drain: Duration) {
    let mut hands = JoinSet::new();
    let mut nudges = deps.nudges();
    loop {
        nudges.mark_unchanged();
        while hands.try_join_next().is_some() {}
        let free = deps.options().workers.saturating_sub(hands.len());
        let mut is_idle = true;
        if free > 0 && !stop.is_cancelled() && timing::is_sound(&deps).await {
            let limit = u32::try_from(free).unwrap_or(u32::MAX);
            match deps.store().claim(deps.replica(), deps.now(), deps.options().lease, limit).await {
                Ok(claims) => {
                    is_idle = claims.is_empty();
                    for claim in claims {
                        hands.spawn(hold(deps.clone(), Arc::clone(&steps), claim, stop.clone()));
                    }
                }
                Err(error) => tracing::warn!(%error, "cannot claim workflows"),
            }
        }
        if stop.is_cancelled() {
            break;
        }
        if is_idle || hands.len() >= deps.options().workers {
            tokio::select! {
                () = stop.cancelled() => {}
                Ok(()) = nudges.changed() => {}
                Some(_) = hands.join_next(), if !hands.is_empty() => {}
                () = tokio::time::sleep(deps.options().tick.min(deps.options().lease)) => {}
            }
        }
    }
    let _ = timeout(drain, async { while hands.join_next().await.is_some() {} }).await;
    hands.abort_all();
}

/// Drives one claimed run and gives it back.
async fn hold<S: Steps>(deps: Deps, steps: Arc<S>, claim: Claimed, stop: CancellationToken) {
    let id = claim.workflow.id;
    let slug = claim.workflow.input.get("slug").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut run = Run { deps: deps.clone(), steps, claim, slug, stop, renewed: Instant::now() };
    match run.drive().await {
        Ok(()) => {}
        Err(Stop::Lost) => tracing::info!(workflow = %id, "another replica owns the run now"),
        Err(Stop::Store(error)) => tracing::warn!(workflow = %id, %error, "run put down"),
    }
    deps.nudge();
}

struct Run<S> {
    deps: Deps,
    steps: Arc<S>,
    claim: Claimed,
    slug: String,
    stop: CancellationToken,
    renewed: Instant,
}

impl<S: Steps> Run<S> {
    async fn drive(&mut self) -> Result<(), Stop> {
        let (kind, version) = (self.claim.workflow.kind, self.claim.workflow.definition_version);
        let Some(definition) = Definition::find(kind, version) else {
            // A newer release began it: leave it to a replica that knows it.
            tracing::warn!(workflow = %self.claim.workflow.id, %kind, version, "definition is not known here");
            let later = self.deps.now().saturating_add(jiff::SignedDuration::from_secs(5));
            return self.put_down(later.ok()).await;
        };
        let mut is_begun = false;
        let mut is_first = true;
        loop {
            let now = self.deps.now();
            let command =
                next(self.claim.workflow.id, definition, &self.deps.options().retry, &self.claim.journal, now);
            match command {
                Next::Begin { step, direction, attempt } => {
                    // A run that is being put down ends between steps, never inside one.
                    if self.stop.is_cancelled() && !is_begun {
                        return self.put_down(None).await;
                    }
                    if is_first {
                        self.point(step.name, direction, Phase::Claimed);
                        is_first = false;
                    }
                    let call =
                        self.call(step.name, direction, if is_begun { attempt.max(2) - 1 } else { attempt }, now);
                    match step.effect {
                        Effect::External => is_begun = self.external(definition, step, &call, is_begun).await?,
                        Effect::Local => {
                            is_begun = false;
                            if self.local(definition, step, &call).await? {
                                return Ok(());
                            }
                        }
                    }
                }
                Next::Wait { until } => return self.put_down(Some(until)).await,
                Next::Completed => return self.end(WorkflowStatus::Completed, None).await,
                Next::Unwound { cause } => return self.end(WorkflowStatus::Unwound, Some(cause)).await,
                Next::Stuck { step, cause } => {
                    tracing::error!(workflow = %self.claim.workflow.id, %step, code = cause.code, "run is stuck");
                    return self.end(WorkflowStatus::Stuck, Some(cause)).await;
                }
            }
        }
    }

    fn point(&self, step: StepName, direction: Direction, phase: Phase) {
        fault::point(self.at(step, direction, phase), &self.slug);
    }

    fn at(&self, step: StepName, direction: Direction, phase: Phase) -> Point {
        Point { kind: self.claim.workflow.kind, step, direction, phase }
    }

    fn call(&self, step: StepName, direction: Direction, attempt: u32, now: tenantry_domain::Timestamp) -> Call {
        let outputs = self.claim.journal.iter().filter_map(|entry| match &entry.fact {
            Fact::Done { step, direction: Direction::Do, output } => Some((*step, output.clone())),
            _ => None,
        });
        Call {
            workflow: self.claim.workflow.id,
            kind: self.claim.workflow.kind,
            environment: self.claim.workflow.environment.clone(),
            tenant: self.claim.workflow.tenant,
            correlation_id: self.correlation_id(),
            target_version: self.claim.workflow.target_version,
            step,
            direction,
            attempt,
            fence: self.claim.workflow.fence + i64::from(fault::has_bug("high-fence")),
            now,
            outputs: outputs.collect::<BTreeMap<_, _>>(),
        }
    }

    fn claim(&self) -> Claim {
        self.claim.claim()
    }

    fn correlation_id(&self) -> String {
        self.claim.workflow.input.get("correlationId").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    fn entries(&self, facts: Vec<Fact>) -> Vec<workflow::Entry> {
        let at = self.deps.now();
        facts.into_iter().map(|fact| workflow::Entry { at, fact }).collect()
    }

    /// Gives the run back, to be claimed at once or not before a moment.
    async fn put_down(&self, until: Option<tenantry_domain::Timestamp>) -> Result<(), Stop> {
        match until {
            Some(until) => self.deps.store().journal(self.claim(), &[], Some(until)).await?,
            None => self.deps.store().release(&[self.claim()]).await?,
        }
        Ok(())
    }

    /// Writes facts to the journal, in the database first.
    async fn journal(&mut self, facts: Vec<Fact>) -> Result<(), Stop> {
        let entries = self.entries(facts);
        self.deps.store().journal(self.claim(), &entries, None).await?;
        self.claim.journal.extend(entries);
        Ok(())
    }

    /// Runs an external step. Gives back whether the intent of the step that follows is committed already.
    async fn external(
        &mut self,
        definition: &Definition,
        step: Step,
        call: &Call,
        is_begun: bool,
    ) -> Result<bool, Stop> {
        let (name, direction) = (step.name, call.direction);
        self.point(name, direction, Phase::IntentOpen);
        if !is_begun && !fault::has_bug("no-intent") {
            self.journal(vec![Fact::Intent { step: name, direction, attempt: call.attempt }]).await?;
        }
        self.point(name, direction, Phase::IntentCommitted);
        self.renew_if_due(name, direction).await?;
        let mut outcome = self.effect(call).await?;
        if fault::repeats() && outcome.is_ok() {
            outcome = self.effect(call).await?;
        }
        self.point(name, direction, Phase::EffectApplied);
        if let Some(retryable) = fault::failure(call.kind, name, direction, &self.slug) {
            outcome = Err(Cause { code: "injected".into(), message: "injected failure".into(), retryable });
        }
        self.point(name, direction, Phase::EffectKnown);
        let fact = match outcome {
            Ok(output) => Fact::Done { step: name, direction, output },
            Err(cause) => {
                tracing::warn!(workflow = %call.workflow, step = %name, %direction, code = cause.code, message = cause.message, "step failed");
                Fact::Failed { step: name, direction, cause }
            }
        };
        let mut facts = vec![fact];
        let follows = self.follows(definition, &facts[0]);
        let is_next_begun = follows.is_some();
        facts.extend(follows);
        if fault::is_armed(self.at(name, direction, Phase::CommitSent), &self.slug) {
            // The commit is on its way when the process dies; whether it arrives is open, as in life.
            let _ = timeout(Duration::from_millis(1), self.journal(facts.clone())).await;
            self.point(name, direction, Phase::CommitSent);
        }
        self.point(name, direction, Phase::CommitSent);
        self.journal(facts).await?;
        self.point(name, direction, Phase::ResultCommitted);
        self.deps.nudge_watchers();
        Ok(is_next_begun)
    }

    /// The intent of the step that follows a result, when it is an external one that can begin at once.
    fn follows(&self, definition: &Definition, result: &Fact) -> Option<Fact> {
        let now = self.deps.now();
        let mut journal = self.claim.journal.clone();
        journal.push(tenantry_domain::workflow::Entry { at: now, fact: result.clone() });
        match next(self.claim.workflow.id, definition, &self.deps.options().retry, &journal, now) {
            Next::Begin { step, direction, attempt }
                if step.effect == Effect::External && !self.stop.is_cancelled() =>
            {
                Some(Fact::Intent { step: step.name, direction, attempt })
            }
            _ => None,
        }
    }

    /// Runs the effect while the lease is kept alive. Losing the lease drops the effect at its next await.
    async fn effect(&mut self, call: &Call) -> Result<Result<Value, Cause>, Stop> {
        if fault::has_bug("skip-effect") || (call.direction == Direction::Undo && fault::has_bug("skip-undo")) {
            return Ok(Ok(Value::Null));
        }
        let steps = Arc::clone(&self.steps);
        let effect = steps.external(call);
        tokio::pin!(effect);
        let beat = self.deps.options().lease / 4;
        let mut beats = interval_at(Instant::now() + beat, beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                outcome = &mut effect => return Ok(outcome),
                _ = beats.tick() => self.renew().await?,
            }
        }
    }

    async fn renew_if_due(&mut self, step: StepName, direction: Direction) -> Result<(), Stop> {
        self.point(step, direction, Phase::RenewalDue);
        if self.renewed.elapsed() > self.deps.options().lease / 4 { self.renew().await } else { Ok(()) }
    }

    async fn renew(&mut self) -> Result<(), Stop> {
        let began = Instant::now();
        match self.deps.store().renew(&[self.claim()], self.deps.options().lease).await {
            Ok(lost) if !lost.is_empty() => Err(Stop::Lost),
            Ok(_) => {
                self.renewed = began;
                Ok(())
            }
            // The database is away: go on as long as the lease that we know of holds.
            Err(error) if self.renewed.elapsed() < self.deps.options().lease => {
                tracing::warn!(%error, "cannot renew a lease, will try again");
                Ok(())
            }
            Err(error) => Err(Stop::Store(error)),
        }
    }

    /// Runs a local step and commits it with its result; ends the run in the same commit when it was the last.
    /// Gives back whether the run has ended.
    async fn local(&mut self, definition: &Definition, step: Step, call: &Call) -> Result<bool, Stop> {
        let (name, direction) = (step.name, call.direction);
        self.point(name, direction, Phase::IntentOpen);
        self.point(name, direction, Phase::IntentCommitted);
        self.renew_if_due(name, direction).await?;
        let mut tx = self.deps.store().write(&self.permit(), call.now).await?;
        let mut outcome = self.steps.local(call, &mut tx).await;
        self.point(name, direction, Phase::EffectApplied);
        if let Some(retryable) = fault::failure(call.kind, name, direction, &self.slug) {
            outcome = Err(Cause { code: "injected".into(), message: "injected failure".into(), retryable });
        }
        self.point(name, direction, Phase::EffectKnown);
        let intent = Fact::Intent { step: name, direction, attempt: call.attempt };
        let Local { output, entries } = match outcome {
            Ok(local) => local,
            Err(cause) => {
                tx.rollback().await;
                tracing::warn!(workflow = %call.workflow, step = %name, %direction, code = cause.code, message = cause.message, "step failed");
                self.journal(vec![intent, Fact::Failed { step: name, direction, cause }]).await?;
                return Ok(false);
            }
        };
        let facts = vec![intent, Fact::Done { step: name, direction, output }];
        let written = self.entries(facts);
        tx.workflows().journal(self.claim(), &written).await?;
        let mut journal = self.claim.journal.clone();
        journal.extend(written);
        let is_last = direction == Direction::Do
            && next(self.claim.workflow.id, definition, &self.deps.options().retry, &journal, call.now)
                == Next::Completed;
        if is_last {
            tx.workflows().end(self.claim(), WorkflowStatus::Completed, None).await?;
        }
        let committed = if fault::is_armed(self.at(name, direction, Phase::CommitSent), &self.slug) {
            let _ = timeout(Duration::from_millis(1), tx.commit(entries)).await;
            self.point(name, direction, Phase::CommitSent);
            return Ok(true);
        } else {
            self.point(name, direction, Phase::CommitSent);
            tx.commit(entries).await
        };
        committed?;
        self.claim.journal = journal;
        self.point(name, direction, Phase::ResultCommitted);
        if is_last {
            self.deps.nudge();
        } else {
            self.deps.nudge_watchers();
        }
        Ok(is_last)
    }

    /// Ends a run that its steps did not end themselves, with the audit entry and event that it owes.
    async fn end(&mut self, end: WorkflowStatus, cause: Option<Cause>) -> Result<(), Stop> {
        let now = self.deps.now();
        let mut tx = self.deps.store().write(&self.permit(), now).await?;
        let workflow = &self.claim.workflow;
        let row = tx.tenants().lock(workflow.tenant).await?;
        tx.workflows().end(self.claim(), end, cause.as_ref()).await?;
        if let Some(cause) = cause.as_ref().filter(|_| end != WorkflowStatus::Completed) {
            let reason = if end == WorkflowStatus::Stuck { "Stuck" } else { "Failed" };
            let conditions = conditions::failing(&row, reason, &cause.message, now);
            if workflow.kind == Kind::Repair {
                // The version is in effect all the same. What was tried is tried again when a sweep finds it again,
                // not at once and for ever.
                let tried =
                    row.findings.iter().map(|finding| Finding { repairable: false, ..finding.clone() }).collect();
                tx.tenants().set_findings(workflow.tenant, tried, conditions)?;
            } else {
                tx.tenants().mark_failed(workflow.tenant, workflow.target_version, cause, conditions)?;
            }
        }
        let entry = self.ending(end, cause.as_ref());
        tx.commit(vec![entry]).await?;
        self.deps.nudge();
        Ok(())
    }

    fn ending(&self, end: WorkflowStatus, cause: Option<&Cause>) -> Entry {
        let workflow = &self.claim.workflow;
        let cx = self.ctx();
        let mut draft = cx.audit(&self.permit(), audit::Category::Workflow, format!("tenant/{}", self.slug));
        draft.action = format!("workflow.{}", end.as_str());
        draft.outcome = if end == WorkflowStatus::Completed { audit::Outcome::Success } else { audit::Outcome::Failed };
        draft.reason = cause.map(|cause| format!("{}: {}", cause.code, cause.message).chars().take(500).collect());
        draft.changes = json!({ "workflow": workflow.id, "kind": workflow.kind, "version": workflow.target_version });
        let kind = match end {
            WorkflowStatus::Completed | WorkflowStatus::Running => event::Type::OperationCompleted,
            WorkflowStatus::Unwound => event::Type::OperationFailed,
            WorkflowStatus::Stuck => event::Type::OperationStuck,
        };
        let code = cause.map(|cause| cause.code.clone());
        let data = json!({ "workflow": workflow.id, "kind": workflow.kind, "cause": code });
        Entry::tenant(workflow.tenant, draft, vec![event::Draft::new(kind, data)])
    }

    fn ctx(&self) -> Ctx {
        Ctx {
            actor: Actor::controller("executor"),
            person: None,
            rights: Rights::all(),
            environment: self.claim.workflow.environment.clone(),
            request_id: mint::request(),
            correlation_id: self.correlation_id(),
            now: self.deps.now(),
            idempotency: None,
        }
    }

    /// Continuing what was permitted when the manifest was accepted needs no second judgement of the request,
    /// but it is recorded which rules the controllers work under.
    fn permit(&self) -> tenantry_domain::policy::Permit {
        tenantry_domain::policy::controller(
            "workflow.step",
            tenantry_domain::policy::Scope::tenant(self.claim.workflow.environment.clone(), self.claim.workflow.tenant),
        )
    }
}
