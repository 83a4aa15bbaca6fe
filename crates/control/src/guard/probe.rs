//! The leak probe as a kind of look: pairs of canary tenants, of which one tries to reach the other.
//!
//! Canary tenants are ordinary synthetic tenants with the label [`CANARY`], made by [`crate::controllers::canary`] or by
//! hand. Two of one app at one level on one cell are a pair: one with the value `a`, one with `b`.

use std::time::Duration;

use serde_json::json;
use tenantry_dataplane::guard::Report;
use tenantry_dataplane::{Cell, DataError, Space};
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{AppName, CellName, EnvironmentName};
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_store::{CatalogKind, LookKind, Reader, StoreError, SweepRow};

use super::inspect::Route;
use super::{Inspect, Place};
use crate::deps::Deps;
use crate::workflows::site;

/// The label of canary tenants; its value is `a` or `b`.
pub const CANARY: &str = "tenantry.canary";
/// The label that keeps a synthetic tenant on one cell.
pub const CELL: &str = "tenantry.canary-cell";

/// The probe.
#[derive(Debug, Clone, Copy)]
pub struct Probe;

impl Inspect for Probe {
    const KIND: LookKind = LookKind::Probe;
    const NAME: &'static str = "probe";
    type Ward = (Space, Space);

    fn every(deps: &Deps) -> Option<Duration> {
        deps.options().guard.probe
    }

    async fn route(
        deps: &Deps,
        environment: &EnvironmentName,
        cell: &CellName,
    ) -> Result<Route<Self::Ward>, StoreError> {
        let mut route = Route { places: Vec::new(), busy: Vec::new() };
        if Self::every(deps).is_none() {
            return Ok(route);
        }
        let reader = deps.store().read(environment);
        for row in reader.catalog_list(CatalogKind::App).await? {
            let Ok(app) = AppName::parse(&row.name) else { continue };
            let known = reader.sweep_expected(cell, &app).await?;
            let (a, b) = (canaries(&reader, &app, cell, "a").await?, canaries(&reader, &app, cell, "b").await?);
            for (level, a) in a {
                let Some((_, b)) = b.iter().find(|(other, _)| *other == level) else { continue };
                let place = Place::Own(a);
                let row = |id: TenantId| known.iter().find(|row| row.id == id).filter(|row| is_open(row));
                let (Some(a), Some(b)) = (row(a), row(*b)) else {
                    route.busy.push(place);
                    continue;
                };
                let (a, b) =
                    (space(deps, environment, &app, cell, a).await, space(deps, environment, &app, cell, b).await);
                match (a, b) {
                    (Some(a), Some(b)) => route.places.push((place, (a, b))),
                    _ => route.busy.push(place),
                }
            }
        }
        Ok(route)
    }

    async fn look(_: &Deps, cell: &Cell, (a, b): &Self::Ward) -> Result<Option<Report>, DataError> {
        cell.probe(a, b).await.map(Some)
    }
}

fn is_open(row: &SweepRow) -> bool {
    !row.is_busy && row.state.phase() == Phase::Active
}

/// The canary tenants of one kind on a cell, one per level.
pub(crate) async fn canaries(
    reader: &Reader,
    app: &AppName,
    cell: &CellName,
    which: &str,
) -> Result<Vec<(Isolation, TenantId)>, StoreError> {
    let all = reader.rollout_candidates(app.as_str(), &json!({ CANARY: which })).await?;
    let mut found: Vec<(Isolation, TenantId)> = Vec::new();
    // Whoever is not synthetic is a customer, whatever its labels say.
    for one in all.into_iter().filter(|one| one.is_named && one.is_synthetic && one.cell == cell.as_str()) {
        if found.iter().all(|(level, _)| *level != one.isolation) {
            found.push((one.isolation, one.tenant));
        }
    }
    Ok(found)
}

async fn space(
    deps: &Deps,
    environment: &EnvironmentName,
    app: &AppName,
    cell: &CellName,
    row: &SweepRow,
) -> Option<Space> {
    let app = site::app(deps.store(), environment, app, cell, Some((row.id, row.isolation))).await.ok()?;
    Some(Space { tenant: row.id, app, isolation: row.isolation, epoch: row.generation, connections: None })
}
