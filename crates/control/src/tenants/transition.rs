//! The verbs of the lifecycle: each is a small edit of the manifest, checked against where the tenant is.

use tenantry_domain::tenant::Spec;
use tenantry_domain::tenant::lifecycle::{Action, Phase, TransitionError};
use tenantry_domain::tenant::spec::Suspension;
use tenantry_store::TenantRow;

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{Expected, TenantRef, edit};
use crate::view::Accepted;

/// The spec after a verb, or the refusal. Asking for what is (or is about to be) so already changes nothing.
fn toward(row: &TenantRow, action: Action, target: Phase) -> Result<Spec, Refusal> {
    let phase = row.state.phase();
    let is_there = row.spec.state == target && (phase == target || action.target(phase) == Some(target));
    if !is_there && action.target(phase).is_none() {
        return Err(TransitionError { from: phase, action }.into());
    }
    // A tenant that waits for its deletion is taken back by `undelete` only, which says so.
    if row.spec.state == Phase::Deleted {
        return Err(TransitionError { from: phase, action }.into());
    }
    let suspension = if target == Phase::Suspended { row.spec.suspension.clone() } else { None };
    Ok(Spec { state: target, suspension, ..row.spec.clone() })
}

/// Draft to active.
///
/// # Errors
/// See [`Refusal`]; nothing changed.
pub async fn activate(cx: &Ctx, deps: &Deps, tenant: &TenantRef, expected: Expected) -> Result<Accepted, Refusal> {
    edit(cx, deps, tenant, expected, "tenant.activate", |row| toward(row, Action::Activate, Phase::Active)).await
}

/// Active to suspended, for a recorded reason.
///
/// # Errors
/// See [`Refusal`]; nothing changed.
pub async fn suspend(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    expected: Expected,
    suspension: Suspension,
) -> Result<Accepted, Refusal> {
    edit(cx, deps, tenant, expected, "tenant.suspend", |row| {
        let spec = toward(row, Action::Suspend, Phase::Suspended)?;
        if row.spec.state == Phase::Suspended { Ok(spec) } else { Ok(Spec { suspension: Some(suspension), ..spec }) }
    })
    .await
}

/// Suspended to active.
///
/// # Errors
/// See [`Refusal`]; nothing changed.
pub async fn resume(cx: &Ctx, deps: &Deps, tenant: &TenantRef, expected: Expected) -> Result<Accepted, Refusal> {
    edit(cx, deps, tenant, expected, "tenant.resume", |row| toward(row, Action::Resume, Phase::Active)).await
}

/// Suspended to archived.
///
/// # Errors
/// See [`Refusal`]; nothing changed.
pub async fn archive(cx: &Ctx, deps: &Deps, tenant: &TenantRef, expected: Expected) -> Result<Accepted, Refusal> {
    edit(cx, deps, tenant, expected, "tenant.archive", |row| toward(row, Action::Archive, Phase::Archived)).await
}

/// Archived to active.
///
/// # Errors
/// See [`Refusal`]; nothing changed.
pub async fn restore(cx: &Ctx, deps: &Deps, tenant: &TenantRef, expected: Expected) -> Result<Accepted, Refusal> {
    edit(cx, deps, tenant, expected, "tenant.restore", |row| toward(row, Action::Restore, Phase::Active)).await
}
