//! What a tenant's spec refers to must exist and fit together; checked inside the writing transaction.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tenantry_domain::app;
use tenantry_domain::cell::CellLoad;
use tenantry_domain::code::FieldError;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::CellName;
use tenantry_domain::placement;
use tenantry_domain::plan::{PlanSpec, entitlement};
use tenantry_domain::tenant::Spec;
use tenantry_store::{CatalogKind, WriteTx};

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::demand;
use crate::tenants::edit::refuse_store;

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

/// Checks one tenant's references, see [`Cache::check`].
pub(crate) async fn check(
    cx: &Ctx,
    deps: &Deps,
    tx: &mut WriteTx,
    spec: &Spec,
    must_fit: bool,
) -> Result<Isolation, Refusal> {
    Cache::default().check(cx, deps, tx, spec, must_fit).await
}

/// Checks the references of a tenant that is there already, see [`Cache::check`].
pub(crate) async fn recheck(
    cx: &Ctx,
    deps: &Deps,
    tx: &mut WriteTx,
    spec: &Spec,
    must_fit: bool,
) -> Result<Isolation, Refusal> {
    Cache::default().fits(cx, deps, tx, spec, must_fit).await
}

/// Checks what a tenant that is there already wants to set for itself.
///
/// # Errors
/// What its plan does not allow, with the plans that would.
pub(crate) async fn allows(cx: &Ctx, deps: &Deps, tx: &mut WriteTx, old: &Spec, new: &Spec) -> Result<(), Refusal> {
    Cache::default().allows(cx, deps, tx, Some(old), new).await
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
        deps: &Deps,
        tx: &mut WriteTx,
        spec: &Spec,
        must_fit: bool,
    ) -> Result<Isolation, Refusal> {
        let level = self.fits(cx, deps, tx, spec, must_fit).await?;
        self.allows(cx, deps, tx, None, spec).await?;
        Ok(level)
    }

    /// Checks what a tenant sets for itself against its plan. What an older plan let it set stays until it is bound to
    /// another one.
    ///
    /// # Errors
    /// What the plan does not allow, with the plans that would.
    async fn allows(
        &mut self,
        cx: &Ctx,
        deps: &Deps,
        tx: &mut WriteTx,
        old: Option<&Spec>,
        new: &Spec,
    ) -> Result<(), Refusal> {
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
        let all = crate::flags::catalog(cx, deps).await?;
        let mut plans: Vec<_> = all.iter().filter(|(_, plan)| plan.terms.refused(new).is_empty()).collect();
        plans.sort_by_key(|(code, plan)| (plan.terms.rank(), plan.isolation, (*code).clone()));
        let plans = plans.into_iter().map(|(code, _)| code.clone()).collect();
        Err(Refusal::PlanForbids { plan: new.plan.clone(), fields, plans })
    }

    /// Checks references and fitness; gives the level that plan and overrides lead to.
    async fn fits(
        &mut self,
        cx: &Ctx,
        deps: &Deps,
        tx: &mut WriteTx,
        spec: &Spec,
        must_fit: bool,
    ) -> Result<Isolation, Refusal> {
        let plan: PlanSpec = self.object(tx, CatalogKind::Plan, spec.plan.as_str(), "spec.plan").await?;
        let app: app::Spec = self.object(tx, CatalogKind::App, spec.app.as_str(), "spec.app").await?;
        for (index, region) in spec.residency.allowed_regions.iter().enumerate() {
            let field = format!("spec.residency.allowedRegions[{index}]");
            let _: Value = self.object(tx, CatalogKind::Region, region.as_str(), &field).await?;
        }
        check_overrides(spec, &plan)?;
        let level = entitlement::derive(&spec.plan, &plan, &spec.overrides, cx.now).isolation.value;
        app.fits(level).map_err(|unfit| Refusal::Unfit {
            app: spec.app.to_string(),
            level: level.to_string(),
            unfit,
        })?;
        if must_fit {
            if self.loads.is_none() {
                self.loads = Some(loads(cx, deps, tx).await?);
            }
            let demand = demand::seen(deps.store(), &cx.environment, level, spec, None).await.map_err(refuse_store)?;
            placement::decide(&demand, self.loads.as_deref().unwrap_or_default())?;
        }
        Ok(level)
    }
}

/// The cells as this transaction declares them, with the places that are in use now. Taking places is a matter of
/// the workflow, which counts under lock; here nobody waits for anybody.
pub(crate) async fn loads(cx: &Ctx, deps: &Deps, tx: &mut WriteTx) -> Result<Vec<CellLoad>, Refusal> {
    let used = deps.store().read(&cx.environment).cell_loads().await.map_err(refuse_store)?;
    let declared = tx.catalog().list(CatalogKind::Cell).await.map_err(refuse_store)?;
    let cells = declared.into_iter().filter_map(|row| {
        let name = CellName::parse(&row.name).ok()?;
        let spec = serde_json::from_value(row.spec).ok()?;
        let used = used.iter().find(|load| load.name == name).map(|load| load.used).unwrap_or_default();
        Some(CellLoad { name, spec, used })
    });
    Ok(cells.collect())
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
