//! Whether what a tenant uses fits into what it would be entitled to.

use tenantry_domain::limit::QuotaName;
use tenantry_domain::member::Rules;
use tenantry_domain::plan::entitlement::Entitlements;
use tenantry_domain::plan::version::excess;
use tenantry_store::{TenantRow, WriteTx};

use crate::ctx::Ctx;
use crate::refusal::Refusal;
use crate::tenants::edit::refuse_store;

/// Checks a locked tenant's use against limits that would be stricter than those that it has.
///
/// # Errors
/// What it uses too much of, with the figures; or our database does not answer.
pub(crate) async fn check(
    cx: &Ctx,
    tx: &mut WriteTx,
    tenant: &TenantRow,
    old: &Entitlements,
    new: &Entitlements,
) -> Result<(), Refusal> {
    // Nobody's use can be above a limit that is not stricter, so the usual upgrade reads nothing.
    if excess(old, new, |_| u64::MAX).is_empty() {
        return Ok(());
    }
    let rows = tx.quotas().list(tenant.id).await.map_err(refuse_store)?;
    let people = tx.members().roll(tenant.id).await.map_err(refuse_store)?.used();
    let used = |name: &str| {
        if name == Rules::USERS {
            return people;
        }
        let Some(row) = rows.iter().find(|row| QuotaName::as_str(&row.name) == name) else { return 0 };
        // What was used in a period that has ended is used no more.
        let since = new.quotas.get(name).and_then(|derived| derived.value.since(cx.now));
        let current = if row.since >= since { row.used } else { 0 };
        current.saturating_add(row.reserved)
    };
    let found = excess(old, new, used);
    if found.is_empty() { Ok(()) } else { Err(Refusal::TooMuchUsed { plan: new.plan.clone(), excess: found }) }
}
