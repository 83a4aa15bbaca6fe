//! Quotas that a meter counts: what it has counted in the calendar month becomes the quota's use, so that plans warn of it
//! and whoever asks before doing sees it.

use tenantry_domain::audit::Category;
use tenantry_domain::id::TenantId;
use tenantry_domain::limit::{Bound, Mode, QuotaName};
use tenantry_domain::name::{EnvironmentName, MeterName};
use tenantry_domain::policy::{self, Scope};
use tenantry_domain::quantity::Period;
use tenantry_domain::usage::{MeterSpec, Window};
use tenantry_store::{CatalogKind, Entry, StoreError, UsageQuota};

use crate::deps::Deps;

/// Tenants of one meter that are looked at together.
const BATCH: u32 = 200;

/// Puts the quotas right that meters count, of all tenants: one whose quota cannot be put right holds up nobody behind it.
///
/// # Errors
/// Our database's.
pub(crate) async fn settle(deps: &Deps) -> Result<(), StoreError> {
    for environment in deps.store().environments().await? {
        let meters = deps.store().read(&environment.name).catalog_list(CatalogKind::Meter).await?;
        for row in meters {
            let spec = serde_json::from_value::<MeterSpec>(row.spec).ok().and_then(|spec| spec.quota);
            let (Some(quota), Ok(meter)) = (spec, row.name.parse::<MeterName>()) else { continue };
            let month = Window::Month.begin(deps.now());
            of_meter(deps, &environment.name, &UsageQuota { meter, quota, month }).await?;
        }
    }
    Ok(())
}

async fn of_meter(deps: &Deps, environment: &EnvironmentName, of: &UsageQuota) -> Result<(), StoreError> {
    let (reader, quota) = (deps.store().read(environment), &of.quota);
    let mut behind = None;
    loop {
        let page = reader.usage_beside_quota(of, behind, BATCH).await?;
        for (tenant, used) in page.tenants {
            if let Err(error) = of_tenant(deps, environment, tenant, quota, used).await {
                tracing::warn!(%tenant, %quota, %error, "a quota that a meter counts was not put right yet");
            }
        }
        behind = page.next;
        if behind.is_none() {
            return Ok(());
        }
    }
}

async fn of_tenant(
    deps: &Deps,
    environment: &EnvironmentName,
    tenant: TenantId,
    quota: &QuotaName,
    used: u64,
) -> Result<(), StoreError> {
    let cx = super::ours(deps, environment);
    let permit = policy::controller("quota.set", Scope::tenant(environment.clone(), tenant));
    let mut tx = deps.store().write(&permit, cx.now).await?;
    let row = tx.tenants().lock(tenant).await?;
    let all = crate::quotas::entitlements(&cx, &mut tx, &row).await;
    let bound = all.ok().and_then(|all| all.quotas.get(quota.as_str()).map(|derived| derived.value));
    // Only an amount a month begins anew when the meter's month does; and what is off is not counted, so nothing is put right.
    let is_kept = |bound: &Bound| bound.limit.per == Some(Period::Month) && bound.mode != Mode::Off;
    let Some(bound) = bound.filter(is_kept) else {
        tx.rollback().await;
        return Ok(());
    };
    let taken = tx.quotas().recount(tenant, quota, used, &bound).await?;
    let mut audit = cx.audit(&permit, Category::Transition, format!("tenant/{}", row.slug));
    audit.changes = serde_json::json!({ "quota": quota, "used": taken.used });
    tx.commit(vec![Entry::tenant(tenant, audit, taken.events())]).await?;
    Ok(())
}
