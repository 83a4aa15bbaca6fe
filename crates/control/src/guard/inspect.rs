//! What a kind of look is: the places that it goes to on a cell, and how it looks at one of them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tenantry_dataplane::guard::{Report, Ward};
use tenantry_dataplane::{Cell, DataError, Space};
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{AppName, CellName, EnvironmentName};
use tenantry_store::{CatalogKind, LookKind, StoreError};

use super::Place;
use crate::deps::Deps;
use crate::workflows::site;

/// Where a turn goes.
#[derive(Debug, Clone)]
pub struct Route<W> {
    /// The places, and what is needed to look at each.
    pub places: Vec<(Place, W)>,
    /// Places that are there and cannot be looked at now: a workflow is at them, or what they should be is not known.
    pub busy: Vec<Place>,
}

/// A kind of look at cells.
pub trait Inspect: Send + Sync + 'static {
    /// Its name in reports and tables.
    const KIND: LookKind;
    /// The controller's name in logs.
    const NAME: &'static str;
    /// What it needs to look at a place.
    type Ward: Send + Sync + Clone;

    /// The time between two looks at a cell; absent when nobody looks unasked.
    fn every(deps: &Deps) -> Option<Duration>;

    /// Where a turn on this cell goes.
    ///
    /// # Errors
    /// Our database does not answer.
    fn route(
        deps: &Deps,
        environment: &EnvironmentName,
        cell: &CellName,
    ) -> impl Future<Output = Result<Route<Self::Ward>, StoreError>> + Send;

    /// Looks at one place, in bounded time and without changing it. Nothing comes back where there is nothing yet.
    ///
    /// # Errors
    /// The place cannot be looked at.
    fn look(
        deps: &Deps,
        cell: &Cell,
        ward: &Self::Ward,
    ) -> impl Future<Output = Result<Option<Report>, DataError>> + Send;
}

/// The guard: reads the catalogs of servers, homes and tenants' own databases.
#[derive(Debug, Clone, Copy)]
pub struct Guard;

impl Inspect for Guard {
    const KIND: LookKind = LookKind::Guard;
    const NAME: &'static str = "guard";
    type Ward = Ward;

    fn every(deps: &Deps) -> Option<Duration> {
        deps.options().guard.every
    }

    async fn route(deps: &Deps, environment: &EnvironmentName, cell: &CellName) -> Result<Route<Ward>, StoreError> {
        let reader = deps.store().read(environment);
        let (mut apps, mut places, mut busy, mut own) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for row in reader.catalog_list(CatalogKind::App).await? {
            let Ok(name) = AppName::parse(&row.name) else { continue };
            // What cannot be read now is still there.
            let target = site::app(deps.store(), environment, &name, cell, None).await.ok();
            for tenant in reader.sweep_expected(cell, &name).await? {
                if !matches!(tenant.isolation, Isolation::Database | Isolation::Cluster) {
                    continue;
                }
                match &target {
                    Some(app) if !tenant.is_busy => own.push(Space {
                        tenant: tenant.id,
                        app: Arc::clone(app),
                        isolation: tenant.isolation,
                        epoch: tenant.generation,
                        connections: None,
                    }),
                    _ => busy.push(Place::Own(tenant.id)),
                }
            }
            match target {
                Some(app) => {
                    places.push((Place::Home(name), Ward::Home(Arc::clone(&app))));
                    apps.push(app);
                }
                None => busy.push(Place::Home(name)),
            }
        }
        places.insert(0, (Place::Server, Ward::Server { apps, own: own.clone() }));
        places.extend(own.into_iter().map(|space| (Place::Own(space.tenant), Ward::Own(space))));
        Ok(Route { places, busy })
    }

    async fn look(deps: &Deps, cell: &Cell, ward: &Ward) -> Result<Option<Report>, DataError> {
        cell.guard(ward, &deps.options().guard.terms).await
    }
}
