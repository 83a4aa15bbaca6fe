//! What cells have promised by hard quotas, for placements and for changes of what a tenant may have.
//!
//! Only where a cell declares how much that may be, anything is read. INVARIANT: no placement and no change of a tenant's plan or
//! overrides makes the sum larger than the cell declares; a plan that is changed itself, or a smaller declaration, can.

use std::collections::BTreeMap;

use tenantry_domain::Timestamp;
use tenantry_domain::cell::CellLoad;
use tenantry_domain::id::TenantId;
use tenantry_domain::name::{CellName, PlanCode};
use tenantry_domain::placement::Placement;
use tenantry_domain::plan::promise::{self, Alike, Promises};
use tenantry_domain::plan::{PlanSpec, entitlement};
use tenantry_domain::tenant::Spec;
use tenantry_store::{CatalogKind, CatalogRow, Reader, StoreError, TenantRow, WriteTx};

use crate::ctx::Ctx;
use crate::refusal::Refusal;
use crate::tenants::edit::refuse_store;

/// The cells that declare how much they may promise.
fn declaring(loads: &[CellLoad]) -> Vec<CellName> {
    loads.iter().filter(|load| !load.spec.promises.is_empty()).map(|load| load.name.clone()).collect()
}

fn fill(loads: &mut [CellLoad], alike: &[Alike], plans: Vec<CatalogRow>, now: Timestamp) {
    let plans: BTreeMap<PlanCode, PlanSpec> = plans
        .into_iter()
        .filter_map(|row| Some((PlanCode::parse(&row.name).ok()?, serde_json::from_value(row.spec).ok()?)))
        .collect();
    let mut sums = promise::sum(alike, &plans, now);
    for load in loads {
        load.promised = sums.remove(&load.name).unwrap_or_default();
    }
}

/// Adds what cells have promised to others than a tenant, as a transaction sees it; nobody waits for anybody.
///
/// # Errors
/// Our database's.
pub(crate) async fn within(
    tx: &mut WriteTx,
    loads: &mut [CellLoad],
    except: Option<TenantId>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let cells = declaring(loads);
    if cells.is_empty() {
        return Ok(());
    }
    let alike = tx.cells().alike(&cells, except).await?;
    let plans = tx.catalog().list(CatalogKind::Plan).await?;
    fill(loads, &alike, plans, now);
    Ok(())
}

/// The same for whoever is going to promise something in this transaction: nobody else does before its end. The counters of the
/// cells are locked by then.
///
/// # Errors
/// Our database's.
pub(crate) async fn held(
    tx: &mut WriteTx,
    loads: &mut [CellLoad],
    except: Option<TenantId>,
    now: Timestamp,
) -> Result<(), StoreError> {
    if !declaring(loads).is_empty() {
        tx.cells().promises_stay().await?;
    }
    within(tx, loads, except, now).await
}

/// The same for looks ahead, which hold nothing.
///
/// # Errors
/// Our database's.
pub(crate) async fn seen(
    reader: &Reader,
    loads: &mut [CellLoad],
    except: Option<TenantId>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let cells = declaring(loads);
    if cells.is_empty() {
        return Ok(());
    }
    let alike = reader.alike(&cells, except).await?;
    let plans = reader.catalog_list(CatalogKind::Plan).await?;
    fill(loads, &alike, plans, now);
    Ok(())
}

/// Refuses a change of a placed tenant that makes its cell promise more of something than it has. What does not grow is never
/// refused.
///
/// # Errors
/// The first quota that is not enough, or our database does not answer.
pub(crate) async fn check(
    cx: &Ctx,
    tx: &mut WriteTx,
    row: &TenantRow,
    new: &Spec,
    placement: &Placement,
) -> Result<(), Refusal> {
    if row.spec.plan == new.plan && row.spec.overrides == new.overrides {
        return Ok(());
    }
    let Some(cell) = super::refer::cell(tx, &placement.cell).await? else { return Ok(()) };
    if cell.promises.is_empty() {
        return Ok(());
    }
    let before = promised(cx, tx, &row.spec).await?;
    let mut wanted = promised(cx, tx, new).await?;
    wanted.retain(|quota, amount| *amount > before.get(quota).copied().unwrap_or_default());
    if wanted.is_empty() {
        return Ok(());
    }
    let mut loads = tx.cells().loads().await.map_err(refuse_store)?;
    loads.retain(|load| load.name == placement.cell);
    held(tx, &mut loads, Some(row.id), cx.now).await.map_err(refuse_store)?;
    let Some(load) = loads.first() else { return Ok(()) };
    match promise::short(&load.spec.promises, &load.promised, &wanted) {
        None => Ok(()),
        Some(short) => Err(Refusal::CellPromised { cell: placement.cell.clone(), short }),
    }
}

/// What a spec's plan and overrides promise. A plan that is not there promises nothing; whoever checks references says so.
async fn promised(cx: &Ctx, tx: &mut WriteTx, spec: &Spec) -> Result<Promises, Refusal> {
    let plan = tx.catalog().get(CatalogKind::Plan, spec.plan.as_str()).await.map_err(refuse_store)?;
    let plan = plan.and_then(|row| serde_json::from_value::<PlanSpec>(row.spec).ok());
    let all = plan.map(|plan| entitlement::derive(&spec.plan, &plan, &spec.overrides, cx.now));
    Ok(all.as_ref().map(promise::of).unwrap_or_default())
}
