//! Where a call's effects land: the tenant's cell and space, as the registry describes them now.

use std::sync::Arc;

use tenantry_dataplane::{AppTarget, Cell, CellTarget, Claim, Gate, Space};
use tenantry_domain::cell::CellSpec;
use tenantry_domain::code::Code;
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{AppName, CellName, EnvironmentName};
use tenantry_domain::placement::Placement;
use tenantry_domain::plan::entitlement;
use tenantry_domain::workflow::{Cause, Direction, StepName};
use tenantry_domain::{Timestamp, app};
use tenantry_store::{CatalogKind, Store, TenantRow};

use crate::catalog::{self, CatalogError};
use crate::deps::Deps;
use crate::engine::Call;
use crate::workflows::{cause, gate_of, refused, store_cause};

/// The place of one tenant with what may be done there.
pub(crate) struct Site {
    /// The cell's handle.
    pub cell: Arc<Cell>,
    /// The tenant's place in it.
    pub space: Space,
    /// The run's right to change it.
    pub claim: Claim,
    row: TenantRow,
}

impl Site {
    /// Finds the place of a call's tenant; nothing when it has none.
    pub(crate) async fn of(deps: &Deps, call: &Call) -> Result<Option<Self>, Cause> {
        let row = deps.store().read(&call.environment).tenant(call.tenant).await.map_err(store_cause)?;
        let Some(row) = row else {
            return Err(refused(Code::TenantNotFound, "the tenant's record is gone"));
        };
        let Some(placement) = row.placement.clone() else { return Ok(None) };
        let cell = cell(deps, &call.environment, &placement.cell).await?;
        let space = space(deps.store(), &row, &placement, call.now).await?;
        if matches!(call.step, StepName::Create | StepName::Migrate) && call.direction == Direction::Do {
            // The first tenant of an app on a cell must not depend on the stock controller having been there. What the
            // tenants share is a target of its own: a tenant that is brought to a newer version does not take it along.
            let shared = app(deps.store(), &call.environment, &row.spec.app, &placement.cell, None).await?;
            cell.prepare(&shared).await.map_err(cause)?;
        }
        let claim = Claim { fence: call.fence, workflow: call.workflow };
        Ok(Some(Self { cell, space, claim, row }))
    }

    /// The gate that the tenant's present phase calls for.
    pub(crate) fn gate(&self) -> Gate {
        gate_of(self.row.state.phase())
    }
}

/// Opens a cell by name.
pub(crate) async fn cell(deps: &Deps, environment: &EnvironmentName, name: &CellName) -> Result<Arc<Cell>, Cause> {
    let spec: CellSpec =
        catalog::spec(deps.store(), environment, CatalogKind::Cell, name.as_str()).await.map_err(lost)?.1;
    let url = deps.secret(&spec.database).map_err(|error| Cause {
        code: Code::CellUnavailable.to_string(),
        message: error.to_string(),
        retryable: true,
    })?;
    let target = CellTarget { environment: environment.clone(), name: name.clone(), url };
    deps.dataplane().cell(&target).await.map_err(cause)
}

/// Describes a tenant's place to the data plane.
pub(crate) async fn space(
    store: &Store,
    row: &TenantRow,
    placement: &Placement,
    now: Timestamp,
) -> Result<Space, Cause> {
    Ok(Space {
        tenant: row.id,
        app: app(store, &row.environment, &row.spec.app, &placement.cell, Some((row.id, placement.isolation))).await?,
        isolation: placement.isolation,
        epoch: placement.generation,
        connections: connections(store, row, now).await?,
    })
}

/// An app as a place on a cell is to have it now: the newest version, unless a rollout is under way that has not come to
/// this place yet. Without a tenant: what the cell's tenants share.
pub(crate) async fn app(
    store: &Store,
    environment: &EnvironmentName,
    name: &AppName,
    cell: &CellName,
    tenant: Option<(TenantId, Isolation)>,
) -> Result<Arc<AppTarget>, Cause> {
    // At the shared level a tenant has what its cell has.
    let own = tenant.filter(|(_, isolation)| *isolation != Isolation::Shared).map(|(tenant, _)| tenant);
    let held = store.read(environment).released(name.as_str(), cell.as_str(), own).await.map_err(store_cause)?;
    let (version, spec) = match held {
        None => catalog::spec::<app::Spec>(store, environment, CatalogKind::App, name.as_str()).await.map_err(lost)?,
        Some(version) => {
            let spec = catalog::spec_at(store, environment, CatalogKind::App, name.as_str(), version).await;
            (version, spec.map_err(lost)?)
        }
    };
    Ok(Arc::new(AppTarget { environment: environment.clone(), app: name.clone(), version, spec: Arc::new(spec) }))
}

async fn connections(store: &Store, row: &TenantRow, now: Timestamp) -> Result<Option<u32>, Cause> {
    let (_, plan) = catalog::plan_of(store, row).await.map_err(lost)?;
    Ok(entitlement::derive(&row.spec.plan, &plan, &row.spec.overrides, now).connections())
}

fn lost(error: CatalogError) -> Cause {
    match error {
        CatalogError::Store(error) => store_cause(error),
        // A newer release wrote it, and is about to do this as well.
        error @ CatalogError::Unreadable { .. } => Cause { retryable: true, ..refused(Code::InvalidReference, error) },
        error @ CatalogError::Missing { .. } => refused(Code::InvalidReference, error),
    }
}
