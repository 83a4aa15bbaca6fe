//! Where a tenant would be placed, and why: for one that exists, for one that does not, and for one that is to change.

use tenantry_domain::code::FieldError;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{PlanCode, RegionName};
use tenantry_domain::placement::{self, APART, Candidate, Decision, Demand, ORIGIN, PlacementError};
use tenantry_domain::plan::promise::{self, Promises};
use tenantry_domain::plan::{PlanSpec, entitlement};
use tenantry_domain::tenant::Spec;
use tenantry_domain::tenant::profile::{Residency, SizeClass};
use tenantry_store::{CatalogKind, TenantRow};

use crate::catalog::{self, CatalogError};
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{TenantRef, refuse_store, require};
use crate::tenants::{demand, promises};

/// What is asked. What is absent is taken from the tenant, if one is named.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// One that exists.
    pub tenant: Option<TenantRef>,
    /// Its plan, which gives the level.
    pub plan: Option<PlanCode>,
    /// Its level, whatever the plan says.
    pub isolation: Option<Isolation>,
    /// Where its data may be.
    pub residency: Option<Residency>,
    /// Its weight.
    pub size: Option<SizeClass>,
    /// Where its users are.
    pub origin: Option<RegionName>,
    /// Its group.
    pub apart: Option<String>,
}

/// What would be decided.
#[derive(Debug, Clone)]
pub struct Explained {
    /// The level that was asked about.
    pub isolation: Isolation,
    /// Allowed regions in the order of choice.
    pub regions: Vec<RegionName>,
    /// The decision, or why there is none.
    pub verdict: Result<Decision, PlacementError>,
}

impl Explained {
    /// Every cell with its refusal or score, those that fit first.
    #[must_use]
    pub fn candidates(&self) -> &[Candidate] {
        match &self.verdict {
            Ok(decision) => &decision.candidates,
            Err(error) => &error.candidates,
        }
    }
}

/// Decides without placing anybody. A tenant that has a place is decided about as if it had none, its own places counted.
///
/// # Errors
/// What is named does not exist, or too little is said.
pub async fn explain(cx: &Ctx, deps: &Deps, asked: &Asked) -> Result<Explained, Refusal> {
    let row = match &asked.tenant {
        Some(tenant) => {
            let row = require(cx, deps, tenant).await?;
            cx.permit("tenant.read", row.id)?;
            Some(row)
        }
        None => {
            cx.permit_environment("placement.explain")?;
            None
        }
    };
    let (isolation, promises) = level(cx, deps, asked, row.as_ref()).await?;
    let spec = row.as_ref().map(|row| &row.spec);
    let residency = asked.residency.clone().or_else(|| spec.map(|spec| spec.residency.clone()));
    let owed = || Refusal::Request(vec![FieldError::new("allowedRegions", "is required without a tenant")]);
    let residency = residency.ok_or_else(owed)?;
    check_regions(cx, deps, asked).await?;
    let size = asked.size.unwrap_or_else(|| spec.map(|spec| spec.business.size).unwrap_or_default());
    let demand = Demand { isolation, residency, size, nearest: Vec::new(), apart: Default::default(), promises };
    let demand = settle(cx, deps, demand, asked, row.as_ref()).await?;
    let reader = deps.store().read(&cx.environment);
    let mut loads = reader.cell_loads().await.map_err(refuse_store)?;
    promises::seen(&reader, &mut loads, None, cx.now).await.map_err(refuse_store)?;
    Ok(Explained { isolation, regions: demand.in_order(), verdict: placement::decide(&demand, &loads) })
}

/// The level, and what hard quotas promise; nothing of that is known where only a level is asked for.
async fn level(
    cx: &Ctx,
    deps: &Deps,
    asked: &Asked,
    row: Option<&TenantRow>,
) -> Result<(Isolation, Promises), Refusal> {
    if let Some(isolation) = asked.isolation {
        return Ok((isolation, Promises::new()));
    }
    let code = asked.plan.clone().or_else(|| row.map(|row| row.spec.plan.clone()));
    let owed = || Refusal::Request(vec![FieldError::new("plan", "is required without a tenant, or `isolation`")]);
    let code = code.ok_or_else(owed)?;
    let plan: Result<(i64, PlanSpec), CatalogError> = match row {
        Some(row) if row.spec.plan == code => catalog::plan_of(deps.store(), row).await,
        _ => catalog::spec(deps.store(), &cx.environment, CatalogKind::Plan, code.as_str()).await,
    };
    let (_, plan) = plan.map_err(|error| match error {
        CatalogError::Store(error) => refuse_store(error),
        _ => Refusal::Reference { kind: "plan", name: code.to_string(), field: "plan".to_owned() },
    })?;
    let none = Default::default();
    let overrides = row.map_or(&none, |row| &row.spec.overrides);
    let entitled = entitlement::derive(&code, &plan, overrides, cx.now);
    Ok((entitled.isolation.value, promise::of(&entitled)))
}

/// A region that nobody declared holds no cell; saying so is of more use than refusing every cell.
async fn check_regions(cx: &Ctx, deps: &Deps, asked: &Asked) -> Result<(), Refusal> {
    let Some(residency) = &asked.residency else { return Ok(()) };
    let known = demand::regions(deps.store(), &cx.environment).await.map_err(refuse_store)?;
    for (index, region) in residency.allowed_regions.iter().enumerate() {
        if !known.contains_key(region) {
            let field = format!("allowedRegions[{index}]");
            return Err(Refusal::Reference { kind: "region", name: region.to_string(), field });
        }
    }
    Ok(())
}

async fn settle(
    cx: &Ctx,
    deps: &Deps,
    demand: Demand,
    asked: &Asked,
    row: Option<&TenantRow>,
) -> Result<Demand, Refusal> {
    let label = |name: &str| row.and_then(|row: &TenantRow| label_of(&row.spec, name));
    let origin = asked.origin.clone().or_else(|| RegionName::parse(&label(ORIGIN)?).ok());
    let mut demand = demand;
    if let Some(origin) = origin {
        let regions = demand::regions(deps.store(), &cx.environment).await.map_err(refuse_store)?;
        demand = demand.near(Some(&origin), &regions);
    }
    if let Some(group) = asked.apart.clone().or_else(|| label(APART)) {
        let reader = deps.store().read(&cx.environment);
        let cells = reader.cells_of(APART, &group, row.map(|row| row.id)).await.map_err(refuse_store)?;
        demand = demand.apart_from(cells);
    }
    Ok(demand)
}

fn label_of(spec: &Spec, name: &str) -> Option<String> {
    spec.labels.get(name).cloned()
}
