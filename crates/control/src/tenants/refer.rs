//! What a tenant's spec refers to must exist and fit together; checked inside the writing transaction.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tenantry_domain::app;
use tenantry_domain::cell::{CellLoad, CellSpec};
use tenantry_domain::code::FieldError;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::CellName;
use tenantry_domain::placement;
use tenantry_domain::plan::promise::{self, Promises};
use tenantry_domain::plan::{PlanSpec, entitlement};
use tenantry_domain::tenant::Spec;
use tenantry_store::{CatalogKind, WriteTx};

use crate::ctx::Ctx;
use crate::refusal::Refusal;
use crate::tenants::edit::refuse_store;
use crate::tenants::{demand, promises};

/// Objects that were looked up already, for requests with many tenants.
#[derive(Default)]
pub(crate) struct Cache {
    objects: BTreeMap<(CatalogKind, String), Option<Value>>,
    loads: Option<Vec<CellLoad>>,
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
    /// The cell that would be chosen now; absent when a place was not asked for.
    pub(crate) cell: Option<CellSpec>,
    /// What its hard quotas would promise it.
    pub(crate) promises: Promises,
}

/// Checks one tenant's references, see [`Cache::check`].
pub(crate) async fn check(cx: &Ctx, tx: &mut WriteTx, spec: &Spec, must_fit: bool) -> Result<Fit, Refusal> {
    Cache::default().check(cx, tx, spec, must_fit).await
}

/// Checks the references of a tenant that is there already, see [`Cache::check`].
pub(crate) async fn recheck(cx: &Ctx, tx: &mut WriteTx, spec: &Spec, must_fit: bool) -> Result<Fit, Refusal> {
    Cache::default().fits(cx, tx, spec, must_fit).await
}

/// Checks what a tenant that is there already wants to set for itself.
///
/// # Errors
/// What its plan does not allow, with the plans that would.
pub(crate) async fn allows(tx: &mut WriteTx, old: &Spec, new: &Spec) -> Result<(), Refusal> {
    Cache::default().allows(tx, Some(old), new).await
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
        let fit = self.fits(cx, tx, spec, must_fit).await?;
        self.allows(tx, None, spec).await?;
        Ok(fit)
    }

    /// Checks what a tenant sets for itself against its plan. What an older plan let it set stays until it is bound to
    /// another one.
    ///
    /// # Errors
    /// What the plan does not allow, with the plans that would.
    async fn allows(&mut self, tx: &mut WriteTx, old: Option<&Spec>, new: &Spec) -> Result<(), Refusal> {
        let is_bare = new.settings.is_empty() && new.domains.is_empty();
        let is_same = |old: &Spec| {
            old.plan == new.plan && old.domains == new.domains && old.settings.keys().eq(new.settings.keys())
        };
        if is_bare || old.is_some_and(is_same) {
            return Ok(());
        }
        let plan: PlanSpec = self.object(tx, CatalogKind::Plan, new.plan.as_str(), "spec.plan").await?;
        let known = old.filter(|old| old.plan == new.plan).map(|old| plan.terms.refused(old)).unwrap_or_default();
        let mut fields = plan.terms.refused(new);
        fields.retain(|field| !known.contains(field));
        if fields.is_empty() {
            return Ok(());
        }
        let all = crate::flags::catalog_within(tx).await?;
        let mut plans: Vec<_> = all.iter().filter(|(_, plan)| plan.terms.refused(new).is_empty()).collect();
        plans.sort_by_key(|(code, plan)| (plan.terms.rank(), plan.isolation, (*code).clone()));
        let plans = plans.into_iter().map(|(code, _)| code.clone()).collect();
        Err(Refusal::PlanForbids { plan: new.plan.clone(), fields, plans })
    }

    /// Checks references and fitness.
    async fn fits(&mut self, cx: &Ctx, tx: &mut WriteTx, spec: &Spec, must_fit: bool) -> Result<Fit, Refusal> {
        let plan: PlanSpec = self.object(tx, CatalogKind::Plan, spec.plan.as_str(), "spec.plan").await?;
        let app: app::Spec = self.object(tx, CatalogKind::App, spec.app.as_str(), "spec.app").await?;
        for (index, region) in spec.residency.allowed_regions.iter().enumerate() {
            let field = format!("spec.residency.allowedRegions[{index}]");
            let _: Value = self.object(tx, CatalogKind::Region, region.as_str(), &field).await?;
        }
        check_overrides(spec, &plan)?;
        let entitled = entitlement::derive(&spec.plan, &plan, &spec.overrides, cx.now);
        let (level, promises) = (entitled.isolation.value, promise::of(&entitled));
        app.fits(level).map_err(|unfit| Refusal::Unfit {
            app: spec.app.to_string(),
            level: level.to_string(),
            unfit,
        })?;
        if !must_fit {
            return Ok(Fit { level, cell: None, promises });
        }
        if self.loads.is_none() {
            self.loads = Some(loads(cx, tx).await?);
        }
        let loads = self.loads.as_deref().unwrap_or_default();
        let demand = demand::within(tx, level, spec).await.map_err(refuse_store)?.promising(promises.clone());
        let decision = placement::decide(&demand, loads)?;
        let cell = loads.iter().find(|load| load.name == decision.cell).map(|load| load.spec.clone());
        Ok(Fit { level, cell, promises })
    }
}

/// The cells as this transaction declares them, with the places that are in use now and what is promised. Taking places is
/// a matter of the workflow, which counts under lock; here nobody waits for anybody.
pub(crate) async fn loads(cx: &Ctx, tx: &mut WriteTx) -> Result<Vec<CellLoad>, Refusal> {
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
