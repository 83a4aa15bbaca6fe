//! What a tenant's spec refers to must exist and fit together; checked inside the writing transaction.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tenantry_domain::app;
use tenantry_domain::cell::{CellLoad, CellSpec};
use tenantry_domain::code::FieldError;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{CellName, PlanCode};
use tenantry_domain::placement::{self, APART, Decision};
use tenantry_domain::plan::PlanSpec;
use tenantry_domain::plan::entitlement::{self, Entitlements};
use tenantry_domain::plan::promise::{self, Promises};
use tenantry_domain::tenant::Spec;
use tenantry_store::{CatalogKind, TenantRow, WriteTx};

use crate::ctx::Ctx;
use crate::refusal::Refusal;
use crate::tenants::edit::refuse_store;
use crate::tenants::{demand, promises};

/// Objects that were looked up already, for requests with many tenants.
#[derive(Default)]
pub(crate) struct Cache {
    objects: BTreeMap<(CatalogKind, String), Option<Value>>,
    /// The newest versions of plans, held until the end of the transaction.
    plans: BTreeMap<String, Option<Value>>,
    /// A copy of the loads, with those counted in that the request has found a cell for.
    loads: Option<Vec<CellLoad>>,
    /// These, in their order.
    placed: Vec<Placed>,
}

/// A tenant of the request for which a cell was found. None is taken before its workflow counts under lock, but what one was
/// promised here the next one of the same request does not find.
struct Placed {
    cell: CellName,
    level: Isolation,
    places: u32,
    promises: Promises,
    /// Its group, of which no two share a cell.
    group: Option<String>,
}

/// Whether a new spec refers to what the old one refers to, and deviates from its plan in the same way. That was checked
/// when it was written, and what is in use is not removed; so the usual edit reads and locks nothing of the catalog,
/// whose rows all writers of an environment would otherwise meet at.
pub(crate) fn is_same(old: &Spec, new: &Spec) -> bool {
    old.plan == new.plan
        && old.app == new.app
        && old.overrides == new.overrides
        && old.residency.allowed_regions == new.residency.allowed_regions
}

/// How a tenant would be kept.
pub(crate) struct Fit {
    /// The level that plan and overrides lead to.
    pub(crate) level: Isolation,
    /// All that they lead to.
    pub(crate) entitlements: Entitlements,
    /// The cell that would be chosen now; absent when a place was not asked for.
    pub(crate) cell: Option<CellSpec>,
    /// Why that one; absent with it.
    pub(crate) decision: Option<Decision>,
}

/// Checks one tenant's references, see [`Cache::check`].
pub(crate) async fn check(cx: &Ctx, tx: &mut WriteTx, spec: &Spec, must_fit: bool) -> Result<Fit, Refusal> {
    Cache::default().check(cx, tx, spec, must_fit).await
}

/// Checks a tenant against another version of its plan as it would be checked against another plan, and gives the level that
/// it would have.
///
/// # Errors
/// What does not fit, would move the tenant, or is not allowed.
pub(crate) async fn suits(cx: &Ctx, tx: &mut WriteTx, row: &TenantRow, plan: &PlanSpec) -> Result<Isolation, Refusal> {
    let spec = &row.spec;
    let app: app::Spec = Cache::default().object(tx, CatalogKind::App, spec.app.as_str(), "spec.app").await?;
    check_overrides(spec, plan)?;
    let level = entitlement::derive(&spec.plan, plan, &spec.overrides, cx.now).isolation.value;
    unfit(spec, &app, level)?;
    if let Some(placement) = row.state.placement()
        && placement.isolation != level
    {
        let (from, to) = (placement.isolation.to_string(), level.to_string());
        return Err(Refusal::Moves { field: "spec.plan", from, to });
    }
    forbids(tx, spec, plan.terms.refused(spec)).await?;
    Ok(level)
}

/// Refuses what a plan does not let a tenant set, with the plans that would.
async fn forbids(tx: &mut WriteTx, spec: &Spec, fields: Vec<FieldError>) -> Result<(), Refusal> {
    if fields.is_empty() {
        return Ok(());
    }
    let all = crate::flags::catalog_within(tx).await?;
    // A newer version of the own plan is no other plan.
    let fits = |code: &PlanCode, plan: &PlanSpec| *code != spec.plan && plan.terms.refused(spec).is_empty();
    let mut plans: Vec<_> = all.iter().filter(|(code, plan)| fits(code, plan)).collect();
    plans.sort_by_key(|(code, plan)| (plan.terms.rank(), plan.isolation, (*code).clone()));
    let plans = plans.into_iter().map(|(code, _)| code.clone()).collect();
    Err(Refusal::PlanForbids { plan: spec.plan.clone(), fields, plans })
}

fn unfit(spec: &Spec, app: &app::Spec, level: Isolation) -> Result<(), Refusal> {
    app.fits(level).map_err(|unfit| Refusal::Unfit { app: spec.app.to_string(), level: level.to_string(), unfit })
}

impl Cache {
    async fn object<T: DeserializeOwned>(
        &mut self,
        tx: &mut WriteTx,
        kind: CatalogKind,
        name: &str,
        field: &str,
    ) -> Result<T, Refusal> {
        let key = (kind, name.to_owned());
        if !self.objects.contains_key(&key) {
            let row = tx.catalog().get(kind, name).await.map_err(refuse_store)?;
            self.objects.insert(key.clone(), row.map(|row| row.spec));
        }
        let absent = || Refusal::Reference { kind: kind.as_str(), name: name.to_owned(), field: field.to_owned() };
        let spec = self.objects.get(&key).cloned().flatten().ok_or_else(absent)?;
        serde_json::from_value(spec).map_err(|_| absent())
    }

    /// The plan that a spec names: in the version that the tenant has, or the newest for one that is to be bound to it. Nobody
    /// writes a version of the newest before the end of the transaction, so what is checked is what it is bound to.
    async fn plan(&mut self, tx: &mut WriteTx, row: Option<&TenantRow>, spec: &Spec) -> Result<PlanSpec, Refusal> {
        let name = spec.plan.as_str();
        let absent = || Refusal::Reference { kind: "plan", name: name.to_owned(), field: "spec.plan".to_owned() };
        let found = match row.filter(|row| row.spec.plan == spec.plan) {
            Some(row) => tx.catalog().plan_of(row).await.map_err(refuse_store)?.map(|plan| plan.spec),
            None => {
                if !self.plans.contains_key(name) {
                    let held = tx.catalog().hold_plan(name).await.map_err(refuse_store)?;
                    self.plans.insert(name.to_owned(), held.map(|held| held.spec));
                }
                self.plans.get(name).cloned().flatten()
            }
        };
        serde_json::from_value(found.ok_or_else(absent)?).map_err(|_| absent())
    }

    /// Checks a tenant that is to be: references, fitness, and what its plan lets it set for itself. With `must_fit`, a
    /// cell must have room right now, so that an activation that cannot succeed is refused before it is accepted.
    ///
    /// # Errors
    /// What does not exist, does not fit, or is not allowed.
    pub(crate) async fn check(
        &mut self,
        cx: &Ctx,
        tx: &mut WriteTx,
        spec: &Spec,
        must_fit: bool,
    ) -> Result<Fit, Refusal> {
        let fit = self.fits(cx, tx, None, spec, must_fit).await?;
        self.allows(tx, None, spec).await?;
        Ok(fit)
    }

    /// Checks the references of a tenant that is there already, see [`Self::check`]. While it keeps its plan, the version that it
    /// has is what counts.
    ///
    /// # Errors
    /// What does not exist, or does not fit.
    pub(crate) async fn recheck(
        &mut self,
        cx: &Ctx,
        tx: &mut WriteTx,
        row: &TenantRow,
        spec: &Spec,
        must_fit: bool,
    ) -> Result<Fit, Refusal> {
        self.fits(cx, tx, Some(row), spec, must_fit).await
    }

    /// Says that the transaction changes what cells have in use or have promised.
    pub(crate) fn forget_loads(&mut self) {
        self.loads = None;
    }

    /// Checks what a tenant sets for itself against its plan. What an older plan let it set stays until it is bound to
    /// another one.
    ///
    /// # Errors
    /// What the plan does not allow, with the plans that would.
    pub(crate) async fn allows(
        &mut self,
        tx: &mut WriteTx,
        row: Option<&TenantRow>,
        new: &Spec,
    ) -> Result<(), Refusal> {
        let old = row.map(|row| &row.spec);
        let is_bare = new.settings.is_empty() && new.domains.is_empty();
        let is_same = |old: &Spec| {
            old.plan == new.plan && old.domains == new.domains && old.settings.keys().eq(new.settings.keys())
        };
        if is_bare || old.is_some_and(is_same) {
            return Ok(());
        }
        let plan = self.plan(tx, row, new).await?;
        let known = old.filter(|old| old.plan == new.plan).map(|old| plan.terms.refused(old)).unwrap_or_default();
        let mut fields = plan.terms.refused(new);
        fields.retain(|field| !known.contains(field));
        forbids(tx, new, fields).await
    }

    /// Checks references and fitness.
    async fn fits(
        &mut self,
        cx: &Ctx,
        tx: &mut WriteTx,
        row: Option<&TenantRow>,
        spec: &Spec,
        must_fit: bool,
    ) -> Result<Fit, Refusal> {
        let plan = self.plan(tx, row, spec).await?;
        let app: app::Spec = self.object(tx, CatalogKind::App, spec.app.as_str(), "spec.app").await?;
        for (index, region) in spec.residency.allowed_regions.iter().enumerate() {
            let field = format!("spec.residency.allowedRegions[{index}]");
            let _: Value = self.object(tx, CatalogKind::Region, region.as_str(), &field).await?;
        }
        check_overrides(spec, &plan)?;
        let entitlements = entitlement::derive(&spec.plan, &plan, &spec.overrides, cx.now);
        let (level, promises) = (entitlements.isolation.value, promise::of(&entitlements));
        unfit(spec, &app, level)?;
        // Whoever has a place is counted there and needs no second one.
        if !must_fit || row.is_some_and(|row| row.placement.is_some()) {
            return Ok(Fit { level, entitlements, cell: None, decision: None });
        }
        let demand = demand::within(tx, level, spec).await.map_err(refuse_store)?.promising(promises.clone());
        let demand = demand.apart_from(self.holding(spec));
        let loads = self.loads(cx, tx).await?;
        let decision = placement::decide(&demand, loads)?;
        let chosen = loads.iter_mut().find(|load| load.name == decision.cell);
        let cell = chosen.as_ref().map(|load| load.spec.clone());
        if let Some(load) = chosen {
            let places = demand.size.weight();
            load.count_in(level, places, &promises);
            let (cell, group) = (decision.cell.clone(), spec.labels.get(APART).cloned());
            self.placed.push(Placed { cell, level, places, promises, group });
        }
        Ok(Fit { level, entitlements, cell, decision: Some(decision) })
    }

    /// Cells that were found for others of a tenant's group.
    fn holding(&self, spec: &Spec) -> Vec<CellName> {
        let Some(group) = spec.labels.get(APART) else { return Vec::new() };
        let others = self.placed.iter().filter(|placed| placed.group.as_ref() == Some(group));
        others.map(|placed| placed.cell.clone()).collect()
    }

    async fn loads(&mut self, cx: &Ctx, tx: &mut WriteTx) -> Result<&mut [CellLoad], Refusal> {
        let known = match self.loads.take() {
            Some(known) => known,
            None => {
                let mut fresh = loads(cx, tx).await?;
                for placed in &self.placed {
                    if let Some(load) = fresh.iter_mut().find(|load| load.name == placed.cell) {
                        load.count_in(placed.level, placed.places, &placed.promises);
                    }
                }
                fresh
            }
        };
        Ok(self.loads.insert(known).as_mut_slice())
    }
}

/// The cells as this transaction declares them, with the places that are in use now and what is promised. Taking places is
/// a matter of the workflow, which counts under lock; here nobody waits for anybody.
async fn loads(cx: &Ctx, tx: &mut WriteTx) -> Result<Vec<CellLoad>, Refusal> {
    let mut loads = tx.cells().seen().await.map_err(refuse_store)?;
    promises::within(tx, &mut loads, None, cx.now).await.map_err(refuse_store)?;
    Ok(loads)
}

/// A cell as it is declared now.
pub(crate) async fn cell(tx: &mut WriteTx, name: &CellName) -> Result<Option<CellSpec>, Refusal> {
    let row = tx.catalog().get(CatalogKind::Cell, name.as_str()).await.map_err(refuse_store)?;
    Ok(row.and_then(|row| serde_json::from_value(row.spec).ok()))
}

fn check_overrides(spec: &Spec, plan: &PlanSpec) -> Result<(), Refusal> {
    let message = "the plan has no such entry to override";
    let quotas = spec.overrides.quotas.keys().filter(|name| !plan.quotas.contains_key(*name));
    let rates = spec.overrides.rate_limits.keys().filter(|name| !plan.rate_limits.contains_key(*name));
    let unknown: Vec<FieldError> = quotas
        .map(|name| FieldError::new(format!("spec.overrides.quotas.{name}"), message))
        .chain(rates.map(|name| FieldError::new(format!("spec.overrides.rateLimits.{name}"), message)))
        .collect();
    if unknown.is_empty() { Ok(()) } else { Err(Refusal::Fields(unknown)) }
}
