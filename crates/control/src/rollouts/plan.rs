//! What a rollout would have to do: looked up on the cells, decided by `domain::rollout`.

use std::collections::BTreeMap;

use tenantry_dataplane::{AppTarget, Fleet};
use tenantry_domain::app;
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{CellName, EnvironmentName};
use tenantry_domain::rollout::{Candidate, TargetStatus, waves};
use tenantry_store::{CatalogKind, NewTarget, RolloutCandidate, StoreError};

use crate::catalog;
use crate::deps::Deps;
use crate::rollouts::overlay;
use crate::workflows::site;

/// The targets of a rollout with their waves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Planned {
    /// All targets, those that are current included.
    pub targets: Vec<NewTarget>,
    /// How many waves there are.
    pub waves: u32,
    /// Cells that could not be looked at; what is on them counts as not current.
    pub unseen: Vec<String>,
}

impl Planned {
    /// How many targets have the structure already.
    #[must_use]
    pub fn current(&self) -> usize {
        self.targets.iter().filter(|target| target.status == TargetStatus::Current).count()
    }

    /// Targets whose tenants added something that the new files clash with; each with its cause. Nothing runs there.
    pub fn clashing(&self) -> impl Iterator<Item = &NewTarget> {
        self.targets.iter().filter(|target| target.status == TargetStatus::Failed)
    }
}

/// Looks at all places of an app and says which of them need the version, and in which wave. Changes nothing.
///
/// # Errors
/// Our database does not answer. A cell that does not is in the answer.
pub(crate) async fn plan(deps: &Deps, app: &AppTarget) -> Result<Planned, StoreError> {
    let reader = deps.store().read(&app.environment);
    let labels = serde_json::to_value(&app.spec.rollout.canary.labels).unwrap_or_default();
    let tenants = reader.rollout_candidates(app.app.as_str(), &labels).await?;
    let mut same = Same { deps, app, known: BTreeMap::new() };
    let (mut targets, mut candidates, mut unseen) = (Vec::new(), Vec::new(), Vec::new());
    let mut clashes = BTreeMap::new();
    for cell in reader.catalog_list(CatalogKind::Cell).await? {
        let Ok(name) = CellName::parse(&cell.name) else { continue };
        let here: Vec<&RolloutCandidate> = tenants.iter().filter(|tenant| tenant.cell == cell.name).collect();
        let fleet = look(deps, &app.environment, &name, app, &here).await;
        if fleet.is_none() {
            unseen.push(cell.name.clone());
        }
        let has_shared = here.iter().any(|tenant| tenant.isolation == Isolation::Shared);
        let has_home = fleet.as_ref().map_or(has_shared, Option::is_some);
        let fleet = fleet.flatten().unwrap_or_default();
        if has_home && app.spec.fits(Isolation::Shared).is_ok() {
            let version = fleet.home.map_or(0, |home| home.version);
            let is_current = fleet.home.is_some_and(|home| home.is_intact) && same.structure(version).await?;
            targets.push(target(&cell.name, None, version, is_current));
            candidates.push(Candidate { cell: cell.name.clone(), is_home: true, is_synthetic: false, is_named: false });
        }
        let mut close = Vec::new();
        for tenant in here.into_iter().filter(|tenant| tenant.isolation != Isolation::Shared) {
            let standing = fleet.schemas.get(&tenant.tenant);
            // Inside of databases nobody looked: there the recorded version counts.
            let is_intact =
                tenant.isolation != Isolation::Schema || standing.is_some_and(|standing| standing.is_intact);
            let is_current =
                tenant.app_version >= app.version || (is_intact && same.structure(tenant.app_version).await?);
            // Whatever was added shows in the structure, or was remembered when files ran.
            if !is_current && !standing.is_some_and(|standing| standing.is_intact && !standing.has_overlay) {
                close.push((tenant.tenant, tenant.isolation));
            }
            targets.push(target(&cell.name, Some(tenant.tenant), tenant.app_version, is_current));
            candidates.push(Candidate {
                cell: cell.name.clone(),
                is_home: false,
                is_synthetic: tenant.is_synthetic,
                is_named: tenant.is_named,
            });
        }
        if !close.is_empty()
            && let Ok(cell) = site::cell(deps, &app.environment, &name).await
        {
            clashes.extend(overlay::look(&cell, app, close).await);
        }
    }
    let due: Vec<usize> = (0..targets.len()).filter(|place| targets[*place].status == TargetStatus::Waiting).collect();
    let wanted: Vec<Candidate> = due.iter().map(|place| candidates[*place].clone()).collect();
    let assigned = waves(&wanted, &app.spec.rollout);
    for (place, wave) in due.iter().zip(&assigned) {
        targets[*place].wave = *wave;
    }
    for target in &mut targets {
        if let Some(cause) = target.tenant.and_then(|tenant| clashes.remove(&tenant)) {
            (target.status, target.cause) = (TargetStatus::Failed, Some(cause));
        }
    }
    let count = assigned.iter().max().map_or(0, |most| most + 1);
    Ok(Planned { targets, waves: count, unseen })
}

fn target(cell: &str, tenant: Option<TenantId>, from_version: i64, is_current: bool) -> NewTarget {
    let status = if is_current { TargetStatus::Current } else { TargetStatus::Waiting };
    NewTarget { cell: cell.to_owned(), tenant, wave: 0, status, from_version, cause: None }
}

/// What is on a cell; the inner nothing when the app has no home there, the outer one when it does not answer.
async fn look(
    deps: &Deps,
    environment: &EnvironmentName,
    name: &CellName,
    app: &AppTarget,
    tenants: &[&RolloutCandidate],
) -> Option<Option<Fleet>> {
    let cell = match site::cell(deps, environment, name).await {
        Ok(cell) => cell,
        Err(cause) => {
            tracing::warn!(cell = %name, code = cause.code, "cell cannot be looked at for a rollout");
            return None;
        }
    };
    let own = |tenant: &&&RolloutCandidate| tenant.isolation == Isolation::Schema;
    let schemas: Vec<TenantId> = tenants.iter().filter(own).map(|tenant| tenant.tenant).collect();
    match cell.fleet(app, &schemas).await {
        Ok(fleet) => Some(fleet),
        Err(error) => {
            tracing::warn!(cell = %name, %error, "cell cannot be looked at for a rollout");
            None
        }
    }
}

/// Which older versions of an app lead to the same structure as the wanted one.
struct Same<'a> {
    deps: &'a Deps,
    app: &'a AppTarget,
    known: BTreeMap<i64, bool>,
}

impl Same<'_> {
    async fn structure(&mut self, version: i64) -> Result<bool, StoreError> {
        if version >= self.app.version {
            return Ok(true);
        }
        if let Some(known) = self.known.get(&version) {
            return Ok(*known);
        }
        let (environment, name) = (&self.app.environment, self.app.app.as_str());
        let store = self.deps.store();
        let old = catalog::spec_at::<app::Spec>(store, environment, CatalogKind::App, name, version).await;
        let same = match old {
            Ok(old) => self.app.spec.leads_to_the_same_as(&old),
            Err(catalog::CatalogError::Store(error)) => return Err(error),
            Err(_) => false,
        };
        self.known.insert(version, same);
        Ok(same)
    }
}
