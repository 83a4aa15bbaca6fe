//! Saying no for a quota: told once as an event, and with the plan that would allow it.

use tenantry_domain::audit::{Category, Outcome};
use tenantry_domain::limit::{Bound, Mode};
use tenantry_domain::plan::PlanSpec;
use tenantry_domain::policy::{self, Permit};
use tenantry_store::{CatalogKind, CatalogRow, Entry, StoreError, TenantRow, UsedUp};

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::refuse_store;

/// Turns the store's refusal into the caller's, after the transaction that was refused is rolled back. When a quota was
/// the reason, the tenant gets `quota.exceeded`, once per crossing, and the refusal names the cheapest plan that would
/// have allowed the request. Any other error is passed on.
pub async fn refuse(
    cx: &Ctx,
    deps: &Deps,
    permit: &Permit,
    tenant: &TenantRow,
    bound: &Bound,
    error: StoreError,
) -> Refusal {
    let StoreError::QuotaUsedUp(used_up) = error else { return refuse_store(error) };
    note(cx, deps, permit, tenant, bound, &used_up).await;
    advise(cx, deps, tenant, used_up).await
}

/// Tells of what was refused, as far as that is possible: the event is not worth another answer than the refusal.
pub(super) async fn note(cx: &Ctx, deps: &Deps, permit: &Permit, tenant: &TenantRow, bound: &Bound, used_up: &UsedUp) {
    match tell(cx, deps, permit, tenant, bound, used_up).await {
        // A tenant that was to be made with more than its plan allows is not there.
        Ok(()) | Err(StoreError::NotFound) => {}
        Err(error) => tracing::warn!(%error, quota = %used_up.quota, "an exceeded quota was not told"),
    }
}

/// The refusal, with the plan that would have allowed it. Without advice it still stands.
pub(super) async fn advise(cx: &Ctx, deps: &Deps, tenant: &TenantRow, used_up: UsedUp) -> Refusal {
    let plans = deps.store().read(&cx.environment).catalog_list(CatalogKind::Plan).await.unwrap_or_default();
    let plan = cheapest(&plans, tenant, &used_up);
    Refusal::QuotaUsedUp { used_up, plan }
}

async fn tell(
    cx: &Ctx,
    deps: &Deps,
    permit: &Permit,
    tenant: &TenantRow,
    bound: &Bound,
    used_up: &UsedUp,
) -> Result<(), StoreError> {
    // What was refused is told by us: it needs nobody's leave.
    let ours = policy::controller(permit.action(), permit.scope().clone());
    let mut tx = deps.store().write(&ours, cx.now).await?;
    let Some(event) = tx.quotas().refused(tenant.id, used_up, bound).await? else {
        tx.rollback().await;
        return Ok(());
    };
    let mut audit = cx.audit(permit, Category::Refusal, format!("tenant/{}", tenant.slug));
    audit.outcome = Outcome::Failed;
    audit.changes = event.data.clone();
    tx.commit(vec![Entry::tenant(tenant.id, audit, vec![event])]).await?;
    Ok(())
}

/// The plan that would have allowed the request, and its limit in words: the cheapest by its monthly price; one without a
/// price comes last, as it costs what is agreed; of equals the one that gives least.
fn cheapest(plans: &[CatalogRow], tenant: &TenantRow, used_up: &UsedUp) -> Option<(String, String)> {
    let needed = used_up.used.saturating_add(used_up.reserved).saturating_add(used_up.asked);
    let fit = plans.iter().filter(|row| row.name != tenant.spec.plan.as_str()).filter_map(|row| {
        let spec: PlanSpec = serde_json::from_value(row.spec.clone()).ok()?;
        // A plan that does not name the quota says nothing about it, so it is no advice.
        let bound = spec.quotas.get(used_up.quota.as_str()).copied()?;
        if bound.most().is_some_and(|most| most < needed) {
            return None;
        }
        let price = spec.terms.price.map_or(u64::MAX, |price| price.monthly_minor);
        let words = match bound.mode {
            Mode::Hard => bound.limit.to_string(),
            _ => "any amount".to_owned(),
        };
        Some(((price, bound.most().unwrap_or(u64::MAX), row.name.clone()), words))
    });
    fit.min().map(|((_, _, name), words)| (name, words))
}
