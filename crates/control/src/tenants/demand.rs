//! What a tenant asks of a place, with what the registry knows about it: which regions are near its users, which cells its
//! group is on already. Tenants without such labels, which are most, cost no reading.
//!
//! Inside a transaction everything is read through it: whoever holds a connection must not wait for another one, and what the
//! transaction wrote counts.

use std::collections::BTreeMap;

use tenantry_domain::cell::RegionSpec;
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{EnvironmentName, RegionName};
use tenantry_domain::placement::{APART, Demand, ORIGIN};
use tenantry_domain::tenant::Spec;
use tenantry_store::{CatalogKind, CatalogRow, Store, StoreError, WriteTx};

/// The demand as readers see it; for looks ahead, which hold nothing.
///
/// # Errors
/// Our database does not answer.
pub(crate) async fn seen(
    store: &Store,
    environment: &EnvironmentName,
    level: Isolation,
    spec: &Spec,
    tenant: Option<TenantId>,
) -> Result<Demand, StoreError> {
    let mut demand = Demand::of(level, spec);
    if let Some(origin) = origin(spec) {
        demand = demand.near(Some(&origin), &regions(store, environment).await?);
    }
    let Some(group) = spec.labels.get(APART) else { return Ok(demand) };
    Ok(demand.apart_from(store.read(environment).cells_of(APART, group, tenant).await?))
}

/// The same as a transaction sees it; nobody waits for anybody.
///
/// # Errors
/// Our database does not answer.
pub(crate) async fn within(tx: &mut WriteTx, level: Isolation, spec: &Spec) -> Result<Demand, StoreError> {
    let demand = near(tx, level, spec).await?;
    let Some(group) = spec.labels.get(APART) else { return Ok(demand) };
    Ok(demand.apart_from(tx.cells().holding(APART, group, None).await?))
}

/// The demand for a placement that follows in the same transaction: nobody else of the group is placed before its end.
///
/// # Errors
/// Our database does not answer.
pub(crate) async fn held(
    tx: &mut WriteTx,
    level: Isolation,
    spec: &Spec,
    tenant: TenantId,
) -> Result<Demand, StoreError> {
    let demand = near(tx, level, spec).await?;
    let Some(group) = spec.labels.get(APART) else { return Ok(demand) };
    Ok(demand.apart_from(tx.cells().of(APART, group, tenant).await?))
}

async fn near(tx: &mut WriteTx, level: Isolation, spec: &Spec) -> Result<Demand, StoreError> {
    let demand = Demand::of(level, spec);
    let Some(origin) = origin(spec) else { return Ok(demand) };
    Ok(demand.near(Some(&origin), &readable(tx.catalog().list(CatalogKind::Region).await?)))
}

/// Where a tenant's users are. A label that is no region's name says nothing.
fn origin(spec: &Spec) -> Option<RegionName> {
    spec.labels.get(ORIGIN).and_then(|text| RegionName::parse(text).ok())
}

/// All regions that this release can read.
pub(crate) async fn regions(
    store: &Store,
    environment: &EnvironmentName,
) -> Result<BTreeMap<RegionName, RegionSpec>, StoreError> {
    Ok(readable(store.read(environment).catalog_list(CatalogKind::Region).await?))
}

fn readable(rows: Vec<CatalogRow>) -> BTreeMap<RegionName, RegionSpec> {
    let read = |row: CatalogRow| Some((RegionName::parse(&row.name).ok()?, serde_json::from_value(row.spec).ok()?));
    rows.into_iter().filter_map(read).collect()
}
