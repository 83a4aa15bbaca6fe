//! Moves rollouts: finds their targets, lets them begin wave by wave, writes down what became of them.
//!
//! A tenant's place is migrated by its own `update` workflow, which [`super::activation`] starts as soon as the target
//! is released; what the tenants of a cell share is migrated from here. All state is in the store, so a replica that is
//! killed costs a lease, and whatever it did twice was done once: the ledger in the target's own database says so.
//!
//! INVARIANT: a look waits for no cell longer than a moment. Whatever asks cells for more than a sign of life, planning
//! and homes, runs in tasks of its own.

mod homes;
mod moves;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tenantry_dataplane::AppTarget;
use tenantry_domain::app;
use tenantry_domain::audit::Category;
use tenantry_domain::event::{self, Type};
use tenantry_domain::id::RolloutId;
use tenantry_domain::name::{AppName, EnvironmentName};
use tenantry_domain::policy::{self, Actor, Permit, Rights, Scope};
use tenantry_domain::rollout::{Pace, Status, TargetStatus};
use tenantry_store::{CatalogKind, Entry, RolloutRow, StoreError, WriteTx};
use tokio::task::JoinHandle;

use crate::catalog::{self, CatalogError};
use crate::controllers::driver::{Controller, Look};
use crate::ctx::Ctx;
use crate::deps::{Deps, mint};
use crate::rollouts::plan;
use homes::Homes;

/// The controller.
#[derive(Default)]
pub struct Rollouts {
    homes: Homes,
    plans: BTreeMap<RolloutId, JoinHandle<()>>,
    paces: BTreeMap<(RolloutId, String), Paced>,
    /// Cells that did not say how they are, and until when they are not asked again.
    silent: BTreeMap<(EnvironmentName, String), Instant>,
}

/// The pace of one cell, and when its server was looked at last.
struct Paced {
    pace: Pace,
    done: u32,
    looked_at: Instant,
}

impl Controller for Rollouts {
    const NAME: &'static str = "rollout";
    const IS_NUDGED: bool = true;

    fn every(&self, deps: &Deps) -> Duration {
        deps.options().tick
    }

    async fn look(&mut self, deps: &Deps) -> Result<Look, StoreError> {
        // Others leave a rollout alone for as long as they leave a workflow alone. Whoever is slower than that is followed
        // by another one, and what both do is done once.
        let open = deps.store().take_rollouts(deps.replica(), deps.options().lease).await?;
        self.homes.keep(&open);
        self.paces.retain(|(id, _), _| open.iter().any(|row| row.id == *id));
        self.silent.retain(|_, until| *until > Instant::now());
        self.plans.retain(|_, task| !task.is_finished());
        let mut again = false;
        for row in open {
            let id = row.id;
            let moved = match row.status {
                Status::Planning => Ok(self.plan(deps, row)),
                _ => self.advance(deps, row).await,
            };
            match moved {
                Err(error @ StoreError::Unreadable { .. }) => leave(deps, id, &error).await?,
                moved => again |= moved?,
            }
        }
        Ok(if again { Look::Again } else { Look::Done })
    }
}

impl Rollouts {
    /// Has the targets of a rollout found by a task: every cell is asked, and one may hang.
    fn plan(&mut self, deps: &Deps, row: RolloutRow) -> bool {
        self.plans.entry(row.id).or_insert_with(|| {
            let deps = deps.clone();
            tokio::spawn(async move {
                match planned(&deps, &row).await {
                    Ok(true) => deps.nudge(),
                    Ok(false) => {}
                    Err(error @ StoreError::Unreadable { .. }) => {
                        if let Err(error) = leave(&deps, row.id, &error).await {
                            tracing::warn!(rollout = %row.id, %error, "the rollout was not given back");
                        }
                    }
                    Err(error) => tracing::warn!(rollout = %row.id, %error, "the rollout was not planned"),
                }
            })
        });
        false
    }

    /// Takes in what has ended, then makes the next move. True when there is another move at once.
    async fn advance(&mut self, deps: &Deps, row: RolloutRow) -> Result<bool, StoreError> {
        let Some(target) = target(deps, &row).await? else { return superseded(deps, &row).await };
        self.homes.start(deps, &row, &target).await?;
        let ended = self.settle(deps, &row).await?;
        if row.status != Status::Running {
            return Ok(false);
        }
        Ok(self.next(deps, &row).await? || ended)
    }

    /// Writes down which targets have ended. True when some have.
    async fn settle(&mut self, deps: &Deps, row: &RolloutRow) -> Result<bool, StoreError> {
        let outcomes = self.homes.ended(row.id).await;
        let (cx, permit) = context(deps, row);
        let mut tx = deps.store().write(&permit, cx.now).await?;
        let row = tx.rollouts().lock(row.id).await?;
        let mut ended = tx.rollouts().settle(row.id, row.version).await?;
        let shared: Vec<String> =
            outcomes.iter().filter(|outcome| outcome.is_done()).map(|outcome| outcome.cell.clone()).collect();
        for outcome in &outcomes {
            let verdict = outcome.verdict(cx.now);
            tx.rollouts().home(row.id, &outcome.cell, &verdict);
            if verdict.status != TargetStatus::Running {
                ended.push((outcome.cell.clone(), None, verdict.status));
            }
        }
        let adopted =
            if shared.is_empty() { 0 } else { tx.rollouts().adopt(&row.app, row.version, &[], &shared).await? };
        if ended.is_empty() && outcomes.is_empty() {
            tx.rollback().await;
            return Ok(false);
        }
        for (cell, _, status) in &ended {
            if *status == TargetStatus::Done
                && let Some(paced) = self.paces.get_mut(&(row.id, cell.clone()))
            {
                paced.done += 1;
            }
        }
        let count = |wanted| ended.iter().filter(|(_, _, status)| *status == wanted).count();
        let (done, failed) = (count(TargetStatus::Done), count(TargetStatus::Failed));
        let changes =
            json!({ "done": done, "failed": failed, "skipped": count(TargetStatus::Skipped), "shared": adopted });
        tx.commit(vec![entry(&cx, &permit, &row, Type::RolloutProgressed, changes)]).await?;
        deps.nudge_watchers();
        Ok(!ended.is_empty())
    }
}

/// Finds the targets of a rollout and writes them down.
async fn planned(deps: &Deps, row: &RolloutRow) -> Result<bool, StoreError> {
    let Some(target) = target(deps, row).await? else { return superseded(deps, row).await };
    let found = plan::plan(deps, &target).await?;
    let (cx, permit) = context(deps, row);
    let mut tx = deps.store().write(&permit, cx.now).await?;
    let mut row = tx.rollouts().lock(row.id).await?;
    if row.status != Status::Planning {
        tx.rollback().await;
        return Ok(false);
    }
    tx.rollouts().plan(row.id, &found.targets);
    let current = |target: &&tenantry_store::NewTarget| target.status == TargetStatus::Current;
    let tenants: Vec<_> = found.targets.iter().filter(current).filter_map(|target| target.tenant).collect();
    let homes: Vec<String> = found
        .targets
        .iter()
        .filter(current)
        .filter(|target| target.tenant.is_none())
        .map(|home| home.cell.clone())
        .collect();
    tx.rollouts().adopt(&row.app, row.version, &tenants, &homes).await?;
    (row.status, row.waves) = (Status::Running, found.waves);
    tx.rollouts().stand(&row);
    let changes = json!({
        "targets": found.targets.len(), "current": found.current(), "clashing": found.clashing().count(), "waves": found.waves,
        "unseenCells": found.unseen,
    });
    tx.commit(vec![entry(&cx, &permit, &row, Type::RolloutProgressed, changes)]).await?;
    Ok(true)
}

/// Leaves a rollout to a release that can read its app, which takes it before the next look or has it until then.
async fn leave(deps: &Deps, id: RolloutId, error: &StoreError) -> Result<(), StoreError> {
    tracing::warn!(rollout = %id, %error, "left to a release that can read it");
    deps.store().leave_rollout(deps.replica(), id).await
}

/// The app at the rollout's version; nothing when there is no such thing any more.
async fn target(deps: &Deps, row: &RolloutRow) -> Result<Option<AppTarget>, StoreError> {
    let Ok(app) = AppName::parse(&row.app) else { return Ok(None) };
    let kind = CatalogKind::App;
    match catalog::spec_at::<app::Spec>(deps.store(), &row.environment, kind, &row.app, row.version).await {
        Ok(spec) => {
            let environment = row.environment.clone();
            Ok(Some(AppTarget { environment, app, version: row.version, spec: Arc::new(spec) }))
        }
        Err(CatalogError::Store(error)) => Err(error),
        Err(error @ CatalogError::Missing { .. }) => {
            tracing::warn!(rollout = %row.id, %error, "the app of a rollout is gone");
            Ok(None)
        }
        // A newer release wrote it, which is about to take over: it goes on with the rollout.
        Err(CatalogError::Unreadable { .. }) => Err(StoreError::Unreadable { what: "app of a rollout" }),
    }
}

/// Ends what has no app any more.
async fn superseded(deps: &Deps, row: &RolloutRow) -> Result<bool, StoreError> {
    let (cx, permit) = context(deps, row);
    let mut tx = deps.store().write(&permit, cx.now).await?;
    tx.rollouts().close_of(&row.app).await?;
    let changes = json!({ "to": Status::Superseded });
    tx.commit(vec![entry(&cx, &permit, row, Type::RolloutCompleted, changes)]).await?;
    Ok(false)
}

fn context(deps: &Deps, row: &RolloutRow) -> (Ctx, Permit) {
    let cx = Ctx {
        actor: Actor::controller(Rollouts::NAME),
        person: None,
        rights: Rights::all(),
        environment: row.environment.clone(),
        request_id: mint::request(),
        correlation_id: row.correlation_id.clone(),
        now: deps.now(),
        idempotency: None,
    };
    (cx, policy::controller("rollout.move", Scope::environment(row.environment.clone())))
}

/// The record of a move, told to whoever listens.
fn entry(cx: &Ctx, permit: &Permit, row: &RolloutRow, kind: Type, changes: serde_json::Value) -> Entry {
    let mut audit = cx.audit(permit, Category::Workflow, format!("rollout/{}", row.id));
    let mut data = json!({
        "rollout": row.id, "app": row.app, "version": row.version, "status": row.status, "wave": row.wave, "reason": row.reason,
    });
    if let (Some(data), Some(changes)) = (data.as_object_mut(), changes.as_object()) {
        data.extend(changes.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    audit.changes = changes;
    Entry::environment(audit, vec![event::Draft::new(kind, data)])
}

/// Writes where a rollout stands now, with the event that tells of it.
async fn stand(mut tx: WriteTx, (cx, permit): (&Ctx, &Permit), row: &RolloutRow, told: Type) -> Result<(), StoreError> {
    tx.rollouts().stand(row);
    let changes = json!({ "to": row.status });
    tx.commit(vec![entry(cx, permit, row, told, changes)]).await?;
    Ok(())
}
