//! Rollouts as people follow and steer them; [`crate::controllers::rollout`] moves them.

pub mod overlay;
pub mod plan;
pub(crate) mod ran;
pub(crate) mod safety;

use std::sync::Arc;

use serde_json::json;
use tenantry_dataplane::AppTarget;
use tenantry_domain::app::{self, Migrations};
use tenantry_domain::audit::Category;
use tenantry_domain::event::{self, Type};
use tenantry_domain::id::RolloutId;
use tenantry_domain::name::AppName;
use tenantry_domain::page::PageSize;
use tenantry_domain::policy::Permit;
use tenantry_domain::rollout::{Status, TargetStatus};
use tenantry_store::{CatalogKind, CatalogPut, Entry, NewRollout, Page, TargetFilter, WriteTx};
pub use tenantry_store::{RolloutCount, RolloutGauge, RolloutRow, TargetRow};

use crate::catalog;
use crate::ctx::Ctx;
use crate::deps::{Deps, mint};
use crate::refusal::Refusal;
use crate::tenants::edit::{Opened, open, refuse_store, remember};
use crate::tenants::read::request;
use plan::Planned;

/// A rollout with how its targets stand.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// The rollout.
    pub row: RolloutRow,
    /// How many targets of each wave stand how.
    pub counts: Vec<RolloutCount>,
}

impl Rollout {
    /// How many targets stand in one way.
    #[must_use]
    pub fn count(&self, status: TargetStatus) -> u64 {
        self.counts.iter().filter(|count| count.status == status).map(|count| count.count).sum()
    }
}

/// What a person does to a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steer {
    /// Nobody else begins; those at work end.
    Pause,
    /// It goes on: behind a pause, a wave that waits for a person, or a failure. Failed targets are tried again, or
    /// left out.
    Continue {
        /// Whether failed targets are left out.
        skip_failed: bool,
    },
    /// It is given up: who has not begun stays as it is, until there is a newer version or another rollout.
    Cancel,
}

impl Steer {
    const fn action(self) -> &'static str {
        match self {
            Self::Pause => "rollout.pause",
            Self::Continue { .. } => "rollout.continue",
            Self::Cancel => "rollout.cancel",
        }
    }
}

/// One rollout.
///
/// # Errors
/// There is none.
pub async fn get(cx: &Ctx, deps: &Deps, id: RolloutId) -> Result<Rollout, Refusal> {
    cx.permit_environment("rollout.read")?;
    let reader = deps.store().read(&cx.environment);
    let row = reader.rollout(id).await.map_err(refuse_store)?;
    let row = row.ok_or_else(|| Refusal::NoRollout(id.to_string()))?;
    let counts = reader.rollout_counts(id).await.map_err(refuse_store)?;
    Ok(Rollout { row, counts })
}

/// The newest rollout of each app of the installation; for counters.
///
/// # Errors
/// Our database does not answer.
pub async fn gauges(deps: &Deps) -> Result<Vec<RolloutGauge>, Refusal> {
    deps.store().rollout_gauges().await.map_err(refuse_store)
}

/// A page of rollouts, newest first, of one app or of all.
///
/// # Errors
/// The page token is of no use here.
pub async fn list(
    cx: &Ctx,
    deps: &Deps,
    app: Option<&str>,
    size: PageSize,
    token: Option<&str>,
) -> Result<Page<Rollout>, Refusal> {
    cx.permit_environment("rollout.read")?;
    let principal = cx.actor.to_string();
    let reader = deps.store().read(&cx.environment);
    let page = reader.rollouts(app, &request(cx, &principal, size, token)).await.map_err(refuse_store)?;
    let mut items = Vec::with_capacity(page.items.len());
    for row in page.items {
        let counts = reader.rollout_counts(row.id).await.map_err(refuse_store)?;
        items.push(Rollout { row, counts });
    }
    Ok(Page { items, next: page.next })
}

/// A page of a rollout's targets: what tenants share first.
///
/// # Errors
/// There is no such rollout, or the page token is of no use here.
pub async fn targets(
    cx: &Ctx,
    deps: &Deps,
    id: RolloutId,
    status: Option<TargetStatus>,
    size: PageSize,
    token: Option<&str>,
) -> Result<Page<TargetRow>, Refusal> {
    get(cx, deps, id).await?;
    let principal = cx.actor.to_string();
    let reader = deps.store().read(&cx.environment);
    let page = request(cx, &principal, size, token);
    reader.rollout_targets(id, TargetFilter { status }, &page).await.map_err(refuse_store)
}

/// What a rollout of an app's newest version would do now. Changes nothing.
///
/// # Errors
/// There is no such app.
pub async fn preview(cx: &Ctx, deps: &Deps, app: &AppName) -> Result<(i64, Planned), Refusal> {
    cx.permit_environment("rollout.read")?;
    let target = newest(cx, deps, app).await?;
    let planned = plan::plan(deps, &target).await.map_err(refuse_store)?;
    Ok((target.version, planned))
}

pub(crate) async fn newest(cx: &Ctx, deps: &Deps, app: &AppName) -> Result<AppTarget, Refusal> {
    let found = catalog::spec::<app::Spec>(deps.store(), &cx.environment, CatalogKind::App, app.as_str()).await;
    let (version, spec) = found.map_err(|error| match error {
        catalog::CatalogError::Store(error) => refuse_store(error),
        _ => Refusal::NoObject { kind: CatalogKind::App.as_str().to_owned(), name: app.to_string() },
    })?;
    Ok(AppTarget { environment: cx.environment.clone(), app: app.clone(), version, spec: Arc::new(spec) })
}

/// Begins a rollout of an app's newest version to whoever does not have it. Targets that failed before are tried again.
/// An app that migrates by a command gets a new version first: only the command knows whether there is something to do.
///
/// # Errors
/// There is no such app, or a rollout of it is under way.
pub async fn run(cx: &Ctx, deps: &Deps, app: &AppName) -> Result<Rollout, Refusal> {
    let permit = cx.permit_environment("rollout.run")?;
    let mut tx = match open(cx, deps, &permit).await? {
        Opened::Replay(answer) => {
            let id: RolloutId = crate::tenants::edit::replayed(answer)?;
            return get(cx, deps, id).await;
        }
        Opened::Fresh(tx) => tx,
    };
    let kind = CatalogKind::App;
    let row = tx.catalog().lock(kind, app.as_str()).await.map_err(refuse_store)?;
    let row = row.ok_or_else(|| Refusal::NoObject { kind: kind.as_str().to_owned(), name: app.to_string() })?;
    if let Some(open) = tx.rollouts().open_of(app.as_str()).await.map_err(refuse_store)? {
        return Err(Refusal::RolloutOpen(open.id.to_string()));
    }
    let spec: app::Spec = serde_json::from_value(row.spec.clone())
        .map_err(|_| Refusal::NoObject { kind: kind.as_str().to_owned(), name: app.to_string() })?;
    let mut version = row.version;
    if matches!(spec.migrations, Migrations::Exec { .. }) {
        let put = CatalogPut {
            kind,
            name: app.to_string(),
            from_version: row.version,
            spec: row.spec,
            action: "rollout.run".to_owned(),
            correlation_id: cx.correlation_id.clone(),
        };
        version = tx.catalog().put(&put).await.map_err(refuse_store)?.version;
    }
    let (id, entry) = begin(cx, &permit, &mut tx, app, row.version, version, &spec).await?;
    remember(cx, &mut tx, &id, None);
    tx.commit(vec![entry]).await.map_err(refuse_store)?;
    deps.nudge();
    get(cx, deps, id).await
}

/// Begins a rollout inside a change; gives its id and the entry that records it.
pub(crate) async fn begin(
    cx: &Ctx,
    permit: &Permit,
    tx: &mut WriteTx,
    app: &AppName,
    base_version: i64,
    version: i64,
    spec: &app::Spec,
) -> Result<(RolloutId, Entry), Refusal> {
    let new = NewRollout {
        id: mint::rollout(),
        app: app.to_string(),
        base_version,
        version,
        strategy: spec.rollout.clone(),
        correlation_id: cx.correlation_id.clone(),
    };
    let row = tx.rollouts().open(&new).await.map_err(refuse_store)?;
    let mut audit = cx.audit(permit, Category::Workflow, format!("rollout/{}", row.id));
    audit.changes = json!({ "app": app, "version": version });
    let data = json!({ "rollout": row.id, "app": app, "version": version });
    Ok((row.id, Entry::environment(audit, vec![event::Draft::new(Type::RolloutStarted, data)])))
}

/// Stops a rollout, lets it go on, or gives it up.
///
/// # Errors
/// There is none, or it is not in a state for that.
pub async fn steer(cx: &Ctx, deps: &Deps, id: RolloutId, how: Steer) -> Result<Rollout, Refusal> {
    let permit = cx.permit_environment(how.action())?;
    let mut tx = match open(cx, deps, &permit).await? {
        Opened::Replay(_) => return get(cx, deps, id).await,
        Opened::Fresh(tx) => tx,
    };
    let missing = || Refusal::NoRollout(id.to_string());
    let mut row = tx.rollouts().lock(id).await.map_err(|error| match error {
        tenantry_store::StoreError::NotFound => missing(),
        error => refuse_store(error),
    })?;
    let from = row.status;
    let kind = match (how, from) {
        (Steer::Pause, Status::Running | Status::Waiting | Status::Planning) => {
            (row.status, row.reason) = (Status::Paused, Some(format!("paused by {}", cx.actor)));
            Type::RolloutHalted
        }
        (Steer::Continue { skip_failed }, Status::Paused | Status::Waiting | Status::Halted) => {
            let again = if skip_failed { TargetStatus::Skipped } else { TargetStatus::Waiting };
            let redone = if from == Status::Halted {
                tx.rollouts().redo(id, again).await.map_err(refuse_store)?
            } else {
                Vec::new()
            };
            if from == Status::Waiting {
                (row.wave, row.wave_ended_at) = (row.wave + 1, None);
            }
            if !skip_failed && let Some(first) = redone.iter().map(|(_, wave)| *wave).min() {
                (row.wave, row.wave_ended_at) = (row.wave.min(first), None);
            }
            // One that was stopped before it was planned is planned now.
            row.status = if row.waves == 0 { Status::Planning } else { Status::Running };
            row.reason = None;
            Type::RolloutContinued
        }
        (Steer::Cancel, status) if !status.is_final() => {
            tx.rollouts().give_up(id).await.map_err(refuse_store)?;
            (row.status, row.reason) = (Status::Cancelled, Some(format!("given up by {}", cx.actor)));
            Type::RolloutCompleted
        }
        _ => return Err(Refusal::RolloutStanding { id: id.to_string(), status: from }),
    };
    tx.rollouts().stand(&row);
    remember(cx, &mut tx, &(), None);
    let mut audit = cx.audit(&permit, Category::Workflow, format!("rollout/{id}"));
    audit.changes = json!({ "from": from, "to": row.status });
    let data =
        json!({ "rollout": id, "app": row.app, "version": row.version, "status": row.status, "reason": row.reason });
    tx.commit(vec![Entry::environment(audit, vec![event::Draft::new(kind, data)])]).await.map_err(refuse_store)?;
    deps.nudge();
    get(cx, deps, id).await
}
