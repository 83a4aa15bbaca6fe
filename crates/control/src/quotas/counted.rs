//! What Tenantry counts itself, for whoever changes it: logins, webhook endpoints, tokens, domains.
//!
//! The change is written first, then [`settle`] or [`close`] counts and judges in the same transaction. A refusal undoes all
//! of it, is told once by `quota.exceeded`, and names a plan that would have allowed the change.
//! INVARIANT: of a kind that is counted nothing is added but by a transaction that counted it under the tenant's lock.

use tenantry_domain::event;
use tenantry_domain::id::TenantId;
use tenantry_domain::limit::{Bound, Counted};
use tenantry_domain::policy::Permit;
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_store::{StoreError, TenantRow, UsedUp, WriteTx};

use super::refused::{advise, note};
use super::{bound_of, entitlements, storage};
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::refuse_store;

/// A change that a quota does not allow, and what it takes to tell of it once its transaction is over.
#[derive(Debug)]
pub(crate) struct Full {
    tenant: Box<TenantRow>,
    bound: Bound,
    used_up: UsedUp,
}

/// Why a change was not counted.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A quota is used up.
    Full(Full),
    /// Anything else.
    Refusal(Refusal),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Refusal(refuse_store(error))
    }
}

impl Stop {
    /// The caller's refusal, and what is to be told when the refused transaction is over.
    pub(crate) async fn said(self, cx: &Ctx, deps: &Deps) -> (Refusal, Option<Full>) {
        match self {
            Self::Full(full) => (advise(cx, deps, &full.tenant, full.used_up.clone()).await, Some(full)),
            Self::Refusal(refusal) => (refusal, None),
        }
    }

    /// The caller's refusal, which is told at once. The refused transaction has to be over.
    pub(crate) async fn refuse(self, cx: &Ctx, deps: &Deps, permit: &Permit) -> Refusal {
        let (refusal, full) = self.said(cx, deps).await;
        if let Some(full) = full {
            full.tell(cx, deps, permit).await;
        }
        refusal
    }
}

impl Full {
    /// Tells of the refusal, once per crossing. The refused transaction has to be over: this takes the tenant's lock.
    pub(crate) async fn tell(&self, cx: &Ctx, deps: &Deps, permit: &Permit) {
        note(cx, deps, permit, &self.tenant, &self.bound, &self.used_up).await;
    }
}

/// Counts what a change leaves, and gives what is to be told with the change's entry. `grown` says by how much there are more
/// than before; a tenant whose data takes more than its hard `storage` gets none.
///
/// # Errors
/// A quota is used up, or our database does not answer.
pub(crate) async fn settle(
    cx: &Ctx,
    tx: &mut WriteTx,
    tenant: &TenantRow,
    kind: Counted,
    grown: u64,
) -> Result<Vec<event::Draft>, Stop> {
    let all = match entitlements(cx, tx, tenant).await {
        Ok(all) => all,
        // Whatever became of the plan, taking back goes on.
        Err(Refusal::NoObject { .. }) if grown == 0 => return Ok(Vec::new()),
        Err(refusal) => return Err(Stop::Refusal(refusal)),
    };
    let bound = bound_of(&all, kind.as_str());
    if grown > 0
        && let Some((bound, used_up)) = storage::held_up(tx, tenant.id, &all).await?
    {
        return Err(Stop::Full(Full { tenant: Box::new(tenant.clone()), bound, used_up }));
    }
    match tx.quotas().settle_count(tenant.id, kind, grown, &bound).await {
        Ok(taken) => Ok(taken.events()),
        Err(StoreError::QuotaUsedUp(used_up)) => {
            Err(Stop::Full(Full { tenant: Box::new(tenant.clone()), bound, used_up }))
        }
        Err(error) => Err(error.into()),
    }
}

/// The same for whoever has nothing else to do with the tenant; says no by itself. A tenant that is gone counts nothing.
///
/// # Errors
/// As [`settle`]; the transaction is rolled back then.
pub(crate) async fn close(
    cx: &Ctx,
    deps: &Deps,
    permit: &Permit,
    mut tx: WriteTx,
    tenant: TenantId,
    (kind, grown): (Counted, u64),
) -> Result<(WriteTx, Vec<event::Draft>), Refusal> {
    let row = match tx.tenants().lock(tenant).await {
        Ok(row) if row.state.phase() != Phase::Deleted => row,
        Ok(_) | Err(StoreError::NotFound) => return Ok((tx, Vec::new())),
        Err(error) => return Err(refuse_store(error)),
    };
    match settle(cx, &mut tx, &row, kind, grown).await {
        Ok(told) => Ok((tx, told)),
        Err(stop) => {
            tx.rollback().await;
            Err(stop.refuse(cx, deps, permit).await)
        }
    }
}

/// Counts the domains of a tenant whose new spec is written; nothing happens where they are as many as before.
///
/// # Errors
/// As [`settle`].
pub(crate) async fn domains(
    cx: &Ctx,
    tx: &mut WriteTx,
    before: usize,
    tenant: &TenantRow,
) -> Result<Vec<event::Draft>, Stop> {
    let after = tenant.spec.domains.len();
    if after == before {
        return Ok(Vec::new());
    }
    let grown = u64::try_from(after.saturating_sub(before)).unwrap_or(u64::MAX);
    settle(cx, tx, tenant, Counted::Domains, grown).await
}
