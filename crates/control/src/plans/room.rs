//! Whether what a tenant uses fits into what it would be entitled to.

use tenantry_domain::limit::{Counted, QuotaName};
use tenantry_domain::member::Rules;
use tenantry_domain::plan::entitlement::Entitlements;
use tenantry_domain::plan::version::excess;
use tenantry_store::{TenantRow, WriteTx};

use crate::refusal::Refusal;
use crate::tenants::edit::refuse_store;

/// Checks a locked tenant's use against limits that would be stricter than those that it has.
///
/// # Errors
/// What it uses too much of, with the figures; or our database does not answer.
pub(crate) async fn check(
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
    let counts = tx.quotas().counts(tenant.id).await.map_err(refuse_store)?;
    let used = |name: &str| {
        if name == Rules::USERS {
            return people;
        }
        if let Some(kind) = Counted::parse(name) {
            return counts.get(&kind).copied().unwrap_or_default();
        }
        let row = rows.iter().find(|row| QuotaName::as_str(&row.name) == name);
        row.map_or(0, |row| row.used.saturating_add(row.reserved))
    };
    let found = excess(old, new, used);
    if found.is_empty() { Ok(()) } else { Err(Refusal::TooMuchUsed { plan: new.plan.clone(), excess: found }) }
}
