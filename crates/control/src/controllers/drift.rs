//! Compares every placed tenant with its cell, records what deviates, and lets the activation controller repair it.
//!
//! Only findings that can be put right without touching a tenant's data are repaired; the rest is reported and
//! stays. A cell that does not answer says nothing about its tenants: no finding is added or cleared then.
//!
//! What plans and overrides give changes without a change of any tenant. Where a server itself keeps a bound, on the
//! connections of a tenant's own login, this is how it gets there.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tenantry_dataplane::{AppTarget, Expected};
use tenantry_domain::Timestamp;
use tenantry_domain::audit::Category;
use tenantry_domain::event;
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{AppName, CellName, EnvironmentName, PlanCode};
use tenantry_domain::plan::{PlanSpec, entitlement};
use tenantry_domain::policy::{self, Actor, Rights, Scope};
use tenantry_domain::tenant::lifecycle::{Phase, State};
use tenantry_store::{CatalogKind, Entry, Finding, StoreError, SweepRow};

use crate::catalog::{self, CatalogError};
use crate::controllers::driver::{Controller, Look};
use crate::ctx::Ctx;
use crate::deps::{Deps, mint};
use crate::workflows::{conditions, gate_of, site};

/// The controller.
#[derive(Debug, Default)]
pub struct Drift;

impl Controller for Drift {
    const NAME: &'static str = "drift";
    const IS_NUDGED: bool = false;

    fn every(&self, deps: &Deps) -> Duration {
        deps.options().sweep
    }

    async fn look(&mut self, deps: &Deps) -> Result<Look, StoreError> {
        sweep(deps).await.map(|_| Look::Done)
    }
}

/// Plans in the versions that tenants have, each read once in a sweep; absent where this release cannot read it.
type Plans = BTreeMap<(PlanCode, i64), Option<PlanSpec>>;

/// Sweeps all cells once; gives the number of tenants whose findings changed.
///
/// # Errors
/// Our database does not answer.
pub async fn sweep(deps: &Deps) -> Result<usize, StoreError> {
    let mut changed = 0;
    for environment in deps.store().environments().await? {
        let reader = deps.store().read(&environment.name);
        let apps = reader.catalog_list(CatalogKind::App).await?;
        let mut plans = Plans::new();
        for cell in reader.catalog_list(CatalogKind::Cell).await? {
            for app in &apps {
                let (Ok(cell), Ok(name)) = (CellName::parse(&cell.name), AppName::parse(&app.name)) else { continue };
                let Ok(target) = site::app(deps.store(), &environment.name, &name, &cell, None).await else { continue };
                changed += sweep_cell(deps, &environment.name, &cell, &target, &mut plans).await?;
            }
        }
    }
    Ok(changed)
}

async fn sweep_cell(
    deps: &Deps,
    environment: &EnvironmentName,
    name: &CellName,
    app: &AppTarget,
    plans: &mut Plans,
) -> Result<usize, StoreError> {
    let expected = deps.store().read(environment).sweep_expected(name, &app.app).await?;
    if expected.is_empty() {
        return Ok(0);
    }
    let cell = match site::cell(deps, environment, name).await {
        Ok(cell) => cell,
        Err(cause) => {
            tracing::warn!(cell = %name, code = cause.code, "cell cannot be swept");
            return Ok(0);
        }
    };
    read_plans(deps, environment, &expected, plans).await?;
    let now = deps.now();
    let wanted: Vec<Expected> = expected.iter().map(|row| wanted(row, plans, now)).collect();
    let found = match cell.sweep(app, &wanted).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(cell = %name, %error, "cell cannot be swept");
            return Ok(0);
        }
    };
    let common: Vec<Finding> = found.common.into_iter().map(stored).collect();
    let mut found: BTreeMap<TenantId, Vec<Finding>> =
        found.tenants.into_iter().map(|(id, findings)| (id, findings.into_iter().map(stored).collect())).collect();
    if let Some(bearer) = bearer(&expected).filter(|_| !common.is_empty()) {
        tracing::error!(cell = %name, app = %app.app, findings = common.len(), "what tenants share deviates");
        found.entry(bearer).or_default().splice(0..0, common);
    }
    let news: Vec<News> = expected
        .into_iter()
        .filter(|row| !row.is_busy)
        .filter_map(|row| {
            let now = found.remove(&row.id).unwrap_or_default();
            let (id, version, state) = (row.id, row.version, row.state);
            (now != row.findings).then_some(News { id, version, state, findings: now })
        })
        .collect();
    let count = news.len();
    for chunk in news.chunks(100) {
        record(deps, environment, chunk).await?;
    }
    if count > 0 {
        deps.nudge();
    }
    Ok(count)
}

/// Deviations of what many tenants share are put right once, by a run of one of them: always the same one, so that
/// two sweeps do not start two runs.
fn bearer(expected: &[SweepRow]) -> Option<TenantId> {
    let served = |row: &&SweepRow| matches!(row.state.phase(), Phase::Active | Phase::Suspended);
    let shared = expected.iter().filter(served).find(|row| row.isolation == Isolation::Shared);
    shared.or_else(|| expected.iter().find(served)).map(|row| row.id)
}

/// Reads the plans of tenants with logins of their own that were not read yet.
async fn read_plans(
    deps: &Deps,
    environment: &EnvironmentName,
    expected: &[SweepRow],
    plans: &mut Plans,
) -> Result<(), StoreError> {
    for row in expected.iter().filter(|row| has_bound(row)) {
        let held = (row.plan.clone(), row.plan_version);
        if plans.contains_key(&held) {
            continue;
        }
        let (kind, version) = (CatalogKind::Plan, row.plan_version);
        let plan = match catalog::spec_at(deps.store(), environment, kind, row.plan.as_str(), version).await {
            Ok(plan) => Some(plan),
            Err(CatalogError::Store(error)) => return Err(error),
            // A newer release wrote it, and compares what it says.
            Err(error) => {
                tracing::warn!(%error, version, "bounds of its tenants' logins are not compared");
                None
            }
        };
        plans.insert(held, plan);
    }
    Ok(())
}

/// Whether its manifest says how many connections its login has. While a change is on its way, or failed and was undone, the
/// server has the bound of the version before.
const fn has_bound(row: &SweepRow) -> bool {
    row.isolation.has_own_role() && row.is_settled
}

fn wanted(row: &SweepRow, plans: &Plans, now: Timestamp) -> Expected {
    let plan = has_bound(row).then(|| plans.get(&(row.plan.clone(), row.plan_version)));
    let plan = plan.flatten().and_then(Option::as_ref);
    Expected {
        tenant: row.id,
        isolation: row.isolation,
        epoch: row.generation,
        gate: gate_of(row.state.phase()),
        connections: plan.map(|plan| entitlement::connections(plan, row.connections.as_ref(), now)),
    }
}

fn stored(finding: tenantry_dataplane::Finding) -> Finding {
    Finding { kind: finding.kind.as_str().to_owned(), object: finding.object, repairable: finding.repairable }
}

/// What a sweep found of one tenant, and where the tenant was when it was looked at.
struct News {
    id: TenantId,
    version: i64,
    state: State,
    findings: Vec<Finding>,
}

async fn record(deps: &Deps, environment: &EnvironmentName, news: &[News]) -> Result<(), StoreError> {
    let now = deps.now();
    let permit = policy::controller("drift.detect", Scope::environment(environment.clone()));
    let cx = Ctx {
        actor: Actor::controller(Drift::NAME),
        person: None,
        rights: Rights::all(),
        environment: environment.clone(),
        request_id: mint::request(),
        correlation_id: mint::request().to_string(),
        now,
        idempotency: None,
    };
    let mut tx = deps.store().write(&permit, now).await?;
    let ids: Vec<_> = news.iter().map(|news| news.id).collect();
    let rows = tx.tenants().lock_many(&ids).await?;
    let mut entries = Vec::new();
    for row in rows {
        let Some(News { version, state, findings, .. }) = news.iter().find(|news| news.id == row.id) else { continue };
        // Between sweep and lock a workflow may have begun, or even ended: what was seen may be its half-done work, or
        // compared with what is wanted no more.
        let is_stale = row.version != *version || row.state != *state;
        if row.findings == *findings || is_stale || tx.workflows().open_of(row.id).await?.is_some() {
            continue;
        }
        let conditions = conditions::drifted(&row, findings, now);
        tx.tenants().set_findings(row.id, findings.clone(), conditions)?;
        let mut audit = cx.audit(&permit, Category::Drift, format!("tenant/{}", row.slug));
        audit.actor = cx.actor.clone();
        audit.changes = json!({ "findings": findings });
        let kind = if findings.is_empty() { event::Type::DriftRepaired } else { event::Type::DriftDetected };
        let data = json!({ "slug": row.slug, "findings": findings });
        entries.push(Entry::tenant(row.id, audit, vec![event::Draft::new(kind, data)]));
    }
    if entries.is_empty() {
        tx.rollback().await;
        return Ok(());
    }
    tx.commit(entries).await.map(|_| ())
}
