//! Deletion: typed confirmation, reason, grace; until the grace ends it can be taken back.

use jiff::SignedDuration;
use tenantry_domain::reconcile;
use tenantry_domain::tenant::Spec;
use tenantry_domain::tenant::lifecycle::{Action, Phase, TransitionError};
use tenantry_domain::tenant::spec::Deletion;
use tenantry_domain::workflow::Kind;
use tenantry_store::TenantRow;

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{Expected, TenantRef, edit, require};
use crate::view::{Accepted, Outcome, PlannedObject};

/// What a caller says with a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteRequest {
    /// The tenant's slug, typed again.
    pub confirm: String,
    /// The removal request; owed unless the tenant is synthetic.
    pub reason: Option<String>,
    /// How long to wait; the installation's least when absent.
    pub grace: Option<SignedDuration>,
    /// Only say what would happen.
    pub dry_run: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeleteOutcome {
    /// What would happen.
    Planned(PlannedObject),
    /// It was accepted.
    Accepted(Accepted),
}

fn wanted(cx: &Ctx, deps: &Deps, row: &TenantRow, request: &DeleteRequest) -> Result<Spec, Refusal> {
    let phase = row.state.phase();
    if Action::Delete.target(phase).is_none() {
        return Err(TransitionError { from: phase, action: Action::Delete }.into());
    }
    if request.confirm != row.slug.as_str() {
        return Err(Refusal::Confirmation);
    }
    if row.spec.state == Phase::Deleted {
        return Ok(row.spec.clone());
    }
    let is_synthetic = row.spec.business.synthetic;
    let reason = request.reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
    if reason.is_none() && !is_synthetic {
        return Err(Refusal::NoRemovalReason);
    }
    // A draft owns no data, so nothing is lost that a grace period could save.
    let least =
        if is_synthetic || phase == Phase::Draft { SignedDuration::ZERO } else { deps.options().deletion_grace };
    let grace = request.grace.unwrap_or(least);
    if grace < least {
        return Err(Refusal::Grace { minimum: format!("{least:#}") });
    }
    let not_before = cx.now.saturating_add(grace).unwrap_or(cx.now);
    let reason = reason.unwrap_or("synthetic tenant").to_owned();
    Ok(Spec { state: Phase::Deleted, deletion: Some(Deletion { reason, not_before }), ..row.spec.clone() })
}

/// Asks for a tenant's deletion, or previews it.
///
/// # Errors
/// See [`Refusal`]; nothing changed.
pub async fn delete(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    expected: Expected,
    request: DeleteRequest,
) -> Result<DeleteOutcome, Refusal> {
    if request.dry_run {
        let row = require(cx, deps, tenant).await?;
        cx.permit("tenant.delete", row.id)?;
        expected.check(row.version)?;
        let spec = wanted(cx, deps, &row, &request)?;
        let old = serde_json::to_value(&row.spec).unwrap_or_default();
        let new = serde_json::to_value(&spec).unwrap_or_default();
        let hold = spec.deletion.as_ref().filter(|deletion| deletion.not_before > cx.now);
        return Ok(DeleteOutcome::Planned(PlannedObject {
            kind: "Tenant".to_owned(),
            name: row.slug.to_string(),
            outcome: Outcome::Changed,
            changes: tenantry_domain::diff::diff(&old, &new),
            steps: reconcile::steps(Kind::Delete),
            placement: None,
            hold: hold.map(|deletion| reconcile::Hold::Grace { until: deletion.not_before }),
        }));
    }
    let accepted = edit(cx, deps, tenant, expected, "tenant.delete", |row| wanted(cx, deps, row, &request)).await?;
    Ok(DeleteOutcome::Accepted(accepted))
}

/// Takes a waiting deletion back.
///
/// # Errors
/// Nothing waits, or the erasure has begun.
pub async fn undelete(cx: &Ctx, deps: &Deps, tenant: &TenantRef, expected: Expected) -> Result<Accepted, Refusal> {
    edit(cx, deps, tenant, expected, "tenant.undelete", |row| {
        let phase = row.state.phase();
        if phase == Phase::Deleted {
            return Err(TransitionError { from: phase, action: Action::Restore }.into());
        }
        if row.spec.state != Phase::Deleted {
            return Ok(row.spec.clone());
        }
        Ok(Spec { state: phase, deletion: None, ..row.spec.clone() })
    })
    .await
}
