//! What cells have promised by hard quotas, for placements and for changes of what a tenant may have.
//!
//! Only where a cell declares how much that may be, anything is read. Each tenant is promised what the version of its plan says
//! that it has. INVARIANT: no placement and no change of a tenant's plan, of the version that it is given, or of its overrides
//! makes the sum larger than the cell declares, however many tenants one transaction changes; a version that tenants follow to,
//! or a smaller declaration, can.

use tenantry_domain::Timestamp;
use tenantry_domain::cell::CellLoad;
use tenantry_domain::id::TenantId;
use tenantry_domain::name::CellName;
use tenantry_domain::placement::Placement;
use tenantry_domain::plan::entitlement::Entitlements;
use tenantry_domain::plan::promise::{self, Alike};
use tenantry_store::{Reader, StoreError, TenantRow, WriteTx};

use crate::ctx::Ctx;
use crate::refusal::Refusal;
use crate::tenants::edit::refuse_store;

/// The cells that declare how much they may promise.
fn declaring(loads: &[CellLoad]) -> Vec<CellName> {
    loads.iter().filter(|load| !load.spec.promises.is_empty()).map(|load| load.name.clone()).collect()
}

fn fill(loads: &mut [CellLoad], alike: &[Alike], now: Timestamp) {
    let mut sums = promise::sum(alike, now);
    for load in loads {
        load.promised = sums.remove(&load.name).unwrap_or_default();
    }
}

/// Tenants that the transaction changes are alike where one of them stands for the other.
fn stands_for(one: &TenantRow, other: &TenantRow) -> bool {
    let cell = |row: &TenantRow| row.placement.as_ref().map(|placement| placement.cell.clone());
    one.plan_version == other.plan_version
        && one.spec.plan == other.spec.plan
        && one.spec.overrides == other.spec.overrides
        && cell(one) == cell(other)
}

/// Tenants on some cells that the transaction changes, as its commit leaves them, each kind with one of them and their number.
fn written(tx: &mut WriteTx, cells: &[CellName], except: Option<TenantId>) -> (Vec<TenantId>, Vec<(TenantRow, u64)>) {
    let (mut ids, mut kinds) = (Vec::new(), Vec::<(TenantRow, u64)>::new());
    for row in tx.tenants().written().filter(|row| Some(row.id) != except) {
        ids.push(row.id);
        if !row.placement.as_ref().is_some_and(|placement| cells.contains(&placement.cell)) {
            continue;
        }
        match kinds.iter_mut().find(|(one, _)| stands_for(one, row)) {
            Some((_, tenants)) => *tenants += 1,
            None => kinds.push((row.clone(), 1)),
        }
    }
    (ids, kinds)
}

/// Adds what cells have promised to others than a tenant, as a transaction sees it and as it changes it; nobody waits for anybody.
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
    // The table has them as they were: what the commit writes counts, and that once.
    let (mut out, kinds) = written(tx, &cells, except);
    out.extend(except);
    let mut alike = tx.cells().alike(&cells, &out).await?;
    for (row, tenants) in kinds {
        let Some(placement) = &row.placement else { continue };
        let plan = tx.catalog().plan_of(&row).await?;
        alike.push(Alike {
            cell: placement.cell.clone(),
            plan: row.spec.plan.clone(),
            text: plan.and_then(|plan| serde_json::from_value(plan.spec).ok()),
            overrides: row.spec.overrides.clone(),
            tenants,
        });
    }
    fill(loads, &alike, now);
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
    let out: Vec<TenantId> = except.into_iter().collect();
    let alike = reader.alike(&cells, &out).await?;
    fill(loads, &alike, now);
    Ok(())
}

/// Refuses a change of what a placed tenant is entitled to that makes its cell promise more of something than it has. What does
/// not grow is never refused; where nobody can read what it had, all of it grows.
///
/// # Errors
/// The first quota that is not enough, or our database does not answer.
pub(crate) async fn check(
    cx: &Ctx,
    tx: &mut WriteTx,
    tenant: TenantId,
    old: Option<&Entitlements>,
    new: &Entitlements,
    placement: &Placement,
) -> Result<(), Refusal> {
    let Some(cell) = super::refer::cell(tx, &placement.cell).await? else { return Ok(()) };
    if cell.promises.is_empty() {
        return Ok(());
    }
    let before = old.map(promise::of).unwrap_or_default();
    let mut wanted = promise::of(new);
    wanted.retain(|quota, amount| *amount > before.get(quota).copied().unwrap_or_default());
    if wanted.is_empty() {
        return Ok(());
    }
    let mut loads = tx.cells().loads().await.map_err(refuse_store)?;
    loads.retain(|load| load.name == placement.cell);
    held(tx, &mut loads, Some(tenant), cx.now).await.map_err(refuse_store)?;
    let Some(load) = loads.first() else { return Ok(()) };
    match promise::short(&load.spec.promises, &load.promised, &wanted) {
        None => Ok(()),
        Some(short) => Err(Refusal::CellPromised { cell: placement.cell.clone(), short }),
    }
}
