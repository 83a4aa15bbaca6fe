//! Quotas of tenants: what is used, taking, giving back, setting aside; and rates, in [`rates`].
//!
//! Applications count here what Tenantry does not see. What Tenantry counts itself it counts in the transaction that
//! changes it ([`counted`]; members by their own rules), and nobody else changes those counters; a refusal of what is taken goes
//! through [`refuse`], which tells of it once and names a plan that would allow more.
//! INVARIANT: use changes only with an entry in the tenant's chain.

mod answer;
pub(crate) mod counted;
pub mod rates;
mod refused;
pub(crate) mod storage;

use jiff::SignedDuration;
use tenantry_domain::audit::Category;
use tenantry_domain::code::FieldError;
use tenantry_domain::id::{ReservationId, TenantId};
use tenantry_domain::limit::Bound;
pub use tenantry_domain::limit::QuotaName;
use tenantry_domain::plan::PlanSpec;
use tenantry_domain::plan::entitlement::{self, Derived, Entitlements};
use tenantry_domain::policy::Permit;
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_store::{Entry, NewReservation, ReservationRow, StoreError, Taken, TenantRow, WriteTx};

pub use answer::{Quota, Reservation, Standing};
pub use refused::refuse;

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{Opened, TenantRef, open, refuse_store, remember, replayed, require};

/// The bound of one quota, for those who take it in a transaction of their own. The plan is read as that transaction
/// sees it, so a bound cannot change behind the taking. A quota that the plan does not name is counted without a limit.
///
/// # Errors
/// The plan is gone, or our database does not answer.
pub async fn bound(cx: &Ctx, tx: &mut WriteTx, tenant: &TenantRow, quota: &QuotaName) -> Result<Bound, Refusal> {
    Ok(bound_of(&entitlements(cx, tx, tenant).await?, quota.as_str()))
}

/// The bound of a quota by what a tenant is entitled to.
pub(crate) fn bound_of(entitlements: &Entitlements, quota: &str) -> Bound {
    entitlements.quotas.get(quota).map_or(Bound::OBSERVED, |derived| derived.value)
}

/// Within this time every living process has reported itself.
const ALIVE: std::time::Duration = std::time::Duration::from_secs(30);

/// What each process does now and then: learns how many share the rates, and frees what expired reservations hold. The
/// last minute is left out, so that nobody meets whoever ends a reservation at the last moment.
pub(crate) async fn keep(deps: &Deps) {
    match deps.store().replicas(ALIVE).await {
        Ok(replicas) => deps.rates().set_replicas(replicas.len()),
        Err(error) => tracing::debug!(%error, "how many share the rates is not known"),
    }
    let before = deps.now().checked_sub(SignedDuration::from_mins(1)).unwrap_or_else(|_| deps.now());
    if let Err(error) = deps.store().sweep_reservations(before).await {
        tracing::debug!(%error, "expired reservations were not freed");
    }
}

/// What a tenant is entitled to by the version of its plan that it has, as a transaction sees it.
///
/// # Errors
/// The plan is gone, or our database does not answer.
pub(crate) async fn entitlements(cx: &Ctx, tx: &mut WriteTx, tenant: &TenantRow) -> Result<Entitlements, Refusal> {
    let plan = tenant.spec.plan.as_str();
    let absent = || Refusal::NoObject { kind: "plan".to_owned(), name: plan.to_owned() };
    let found = tx.catalog().plan_of(tenant).await.map_err(refuse_store)?.ok_or_else(absent)?;
    let spec: PlanSpec = serde_json::from_value(found.spec).map_err(|_| absent())?;
    Ok(entitlement::derive(&tenant.spec.plan, &spec, &tenant.spec.overrides, cx.now))
}

/// All quotas of a tenant: those of its plan, and what else is counted.
///
/// # Errors
/// There is no such tenant.
pub async fn list(cx: &Ctx, deps: &Deps, tenant: &TenantRef) -> Result<Vec<Quota>, Refusal> {
    let row = require(cx, deps, tenant).await?;
    cx.permit("quota.read", row.id)?;
    let entitlements = crate::tenants::read::entitlements_of(cx, deps, &row).await?;
    let reader = deps.store().read(&cx.environment);
    let mut used = reader.quotas(row.id, cx.now).await.map_err(refuse_store)?;
    let counts = reader.counts(row.id, cx.now).await.map_err(refuse_store)?;
    answer::live(&mut used, &entitlements, &counts, cx.now);
    Ok(answer::all(&entitlements, used, cx.now))
}

/// Insists that applications count a quota. What Tenantry counts itself is right by itself, and a part of it that somebody
/// else took would keep people out.
fn counted_outside(quota: &QuotaName) -> Result<(), Refusal> {
    let Some(what) = quota.counted() else { return Ok(()) };
    let message = format_args!(
        "is counted by Tenantry itself ({what}); for what your application counts, name another one in the plan"
    );
    Err(Refusal::Request(vec![FieldError::new("quota", message)]))
}

/// Takes an amount, or nothing.
///
/// # Errors
/// There is no such tenant or quota, Tenantry counts it itself, or a hard limit does not allow it.
pub async fn take(cx: &Ctx, deps: &Deps, tenant: &TenantRef, quota: &QuotaName, amount: u64) -> Result<Quota, Refusal> {
    change(cx, deps, tenant, quota, Change::Take(amount)).await
}

/// Gives an amount back. What was not taken makes no room.
///
/// # Errors
/// There is no such tenant or quota.
pub async fn give_back(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    quota: &QuotaName,
    amount: u64,
) -> Result<Quota, Refusal> {
    change(cx, deps, tenant, quota, Change::GiveBack(amount)).await
}

/// Sets what is used to what was counted elsewhere.
///
/// # Errors
/// There is no such tenant or quota.
pub async fn recount(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    quota: &QuotaName,
    used: u64,
) -> Result<Quota, Refusal> {
    change(cx, deps, tenant, quota, Change::Set(used)).await
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Take(u64),
    GiveBack(u64),
    Set(u64),
}

impl Change {
    const fn action(self) -> &'static str {
        match self {
            Self::Take(_) => "quota.take",
            Self::GiveBack(_) => "quota.release",
            Self::Set(_) => "quota.set",
        }
    }
}

async fn change(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    quota: &QuotaName,
    change: Change,
) -> Result<Quota, Refusal> {
    let id = require(cx, deps, tenant).await?.id;
    let permit = cx.permit(change.action(), id)?;
    counted_outside(quota)?;
    let mut tx = match open(cx, deps, &permit).await? {
        Opened::Replay(answer) => return replayed(answer),
        Opened::Fresh(tx) => tx,
    };
    let (row, derived) = entitled(cx, &mut tx, id, quota).await?;
    let bound = derived.value;
    let mut quotas = tx.quotas();
    let taken = match change {
        Change::Take(amount) => quotas.take(id, quota, amount, &bound).await,
        Change::GiveBack(amount) => quotas.give_back(id, quota, amount, &bound).await,
        Change::Set(used) => quotas.recount(id, quota, used, &bound).await,
    };
    let taken = match taken {
        Ok(taken) => taken,
        Err(error) => {
            tx.rollback().await;
            return Err(refuse(cx, deps, &permit, &row, &bound, error).await);
        }
    };
    let answer = Quota::of(quota, &derived, taken.used, taken.reserved, cx.now);
    remember(cx, &mut tx, &answer, None);
    commit(cx, &permit, tx, &row, &taken).await?;
    Ok(answer)
}

/// Sets an amount aside.
///
/// # Errors
/// There is no such tenant or quota, or a hard limit does not allow it.
pub async fn reserve(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    quota: &QuotaName,
    amount: u64,
    held: SignedDuration,
) -> Result<Reservation, Refusal> {
    let id = require(cx, deps, tenant).await?.id;
    let permit = cx.permit("quota.reserve", id)?;
    counted_outside(quota)?;
    let mut tx = match open(cx, deps, &permit).await? {
        Opened::Replay(answer) => return replayed(answer),
        Opened::Fresh(tx) => tx,
    };
    let (row, derived) = entitled(cx, &mut tx, id, quota).await?;
    // The bound of a reservation is the door's; what does not fit the calendar does not fit it either.
    let expires = cx.now.checked_add(held).unwrap_or(cx.now);
    let new = NewReservation { id: ReservationId::from_uuid(uuid::Uuid::now_v7()), amount, expires };
    let taken = match tx.quotas().reserve(id, quota, &new, &derived.value).await {
        Ok(taken) => taken,
        Err(error) => {
            tx.rollback().await;
            return Err(refuse(cx, deps, &permit, &row, &derived.value, error).await);
        }
    };
    let quota = Quota::of(quota, &derived, taken.used, taken.reserved, cx.now);
    let answer = Reservation { id: new.id, amount, expires_at: expires, quota };
    remember(cx, &mut tx, &answer, None);
    commit(cx, &permit, tx, &row, &taken).await?;
    Ok(answer)
}

/// What was set aside is used now.
///
/// # Errors
/// There is no such tenant, or no such reservation any more.
pub async fn commit_reservation(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    id: ReservationId,
) -> Result<Quota, Refusal> {
    end(cx, deps, tenant, id, "quota.commit").await
}

/// What was set aside is free again.
///
/// # Errors
/// There is no such tenant, or no such reservation any more.
pub async fn release_reservation(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    id: ReservationId,
) -> Result<Quota, Refusal> {
    end(cx, deps, tenant, id, "quota.release").await
}

async fn end(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    reservation: ReservationId,
    action: &'static str,
) -> Result<Quota, Refusal> {
    let id = require(cx, deps, tenant).await?.id;
    let permit = cx.permit(action, id)?;
    let mut tx = match open(cx, deps, &permit).await? {
        Opened::Replay(answer) => return replayed(answer),
        Opened::Fresh(tx) => tx,
    };
    let row = lock(&mut tx, id).await?;
    let found = tx.quotas().reservation(id, reservation).await.map_err(refuse_store)?;
    let found: ReservationRow = found.ok_or_else(|| Refusal::NoReservation(reservation.to_string()))?;
    let all = entitlements(cx, &mut tx, &row).await?;
    // What was set aside under a plan that named the quota is ended under one that does not, too.
    let derived = all.quotas.get(found.quota.as_str()).cloned().unwrap_or_else(answer::observed);
    let mut quotas = tx.quotas();
    let ended = if action == "quota.commit" {
        quotas.commit(id, &found, &derived.value).await
    } else {
        quotas.release(id, &found, &derived.value).await
    };
    let ended = ended.map_err(refuse_store)?;
    let answer = Quota::of(&found.quota, &derived, ended.used, ended.reserved, cx.now);
    remember(cx, &mut tx, &answer, None);
    commit(cx, &permit, tx, &row, &ended).await?;
    Ok(answer)
}

/// The locked tenant and what it is entitled to of a quota. Applications count what plans name, and nothing else: a
/// misspelt name would be a quota without a limit.
async fn entitled(
    cx: &Ctx,
    tx: &mut WriteTx,
    id: TenantId,
    quota: &QuotaName,
) -> Result<(TenantRow, Derived<Bound>), Refusal> {
    let row = lock(tx, id).await?;
    let all = entitlements(cx, tx, &row).await?;
    let derived = all.quotas.get(quota.as_str()).cloned();
    let derived = derived.ok_or_else(|| Refusal::NoQuota { quota: quota.to_string(), plan: all.plan.to_string() })?;
    Ok((row, derived))
}

async fn lock(tx: &mut WriteTx, id: TenantId) -> Result<TenantRow, Refusal> {
    let gone = || Refusal::NoTenant(id.to_string());
    let row = tx.tenants().lock(id).await.map_err(|error| match error {
        StoreError::NotFound => gone(),
        error => refuse_store(error),
    })?;
    if row.state.phase() == Phase::Deleted { Err(gone()) } else { Ok(row) }
}

async fn commit(cx: &Ctx, permit: &Permit, tx: WriteTx, row: &TenantRow, taken: &Taken) -> Result<(), Refusal> {
    let mut audit = cx.audit(permit, Category::Access, format!("tenant/{}", row.slug));
    audit.changes = serde_json::json!({ "quota": taken.quota, "used": taken.used, "reserved": taken.reserved });
    let entry = Entry::tenant(row.id, audit, taken.events());
    tx.commit(vec![entry]).await.map_err(refuse_store)?;
    Ok(())
}
