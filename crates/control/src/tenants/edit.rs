//! The one way in which a tenant's desired state changes.
//!
//! Every verb is an edit of the manifest: lock, check the caller's version, compute the new spec, judge it (pure),
//! write version, operation, idempotent answer, audit and events in one commit, nudge the controllers. Nothing is
//! done to the world here.

use serde_json::Value;
use tenantry_domain::audit::{self, Category};
use tenantry_domain::code::FieldError;
use tenantry_domain::id::{OperationId, TenantId};
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_domain::tenant::{Slug, Spec};
use tenantry_store::{
    Begun, NewOperation, Stamp, StateChange, StoreError, StoredAnswer, TenantChange, TenantRow, WriteTx,
};

use crate::ctx::Ctx;
use crate::deps::{Deps, mint};
use crate::governance::{self, About};
use crate::quotas::counted;
use crate::refusal::Refusal;
use crate::tenants::judge::judged;
use crate::tenants::read::view;
use crate::tenants::refer;
pub use crate::tenants::target::{Expected, RefError, TenantRef};
use crate::timing;
use crate::view::{Accepted, Receipt};

/// Our database's errors as callers may see them.
pub(crate) fn refuse_store(error: StoreError) -> Refusal {
    match error {
        StoreError::SlugTaken { slug } | StoreError::SlugQuarantined { slug, .. } => {
            Refusal::SlugTaken(slug.to_string())
        }
        StoreError::ExternalIdTaken { system, id } => {
            Refusal::ExternalIdTaken { field: format!("spec.externalIds.{system}"), id: format!("{system}:{id}") }
        }
        StoreError::AliasTaken { alias } => Refusal::ExternalIdTaken { field: "spec.aliases".to_owned(), id: alias },
        StoreError::LoginTaken { name } => Refusal::LoginTaken(name.to_string()),
        StoreError::StaleVersion { current } => Refusal::Stale { current },
        StoreError::DefaultTaken => Refusal::SecondDefault { plan: String::new(), other: None },
        StoreError::QuotaUsedUp(used_up) => Refusal::QuotaUsedUp { used_up, plan: None },
        StoreError::KeyReused => Refusal::KeyReused,
        StoreError::KeyInFlight => Refusal::KeyInFlight,
        StoreError::EnvironmentNotFound => Refusal::NoEnvironment,
        StoreError::Cursor(_) => Refusal::Cursor,
        error @ StoreError::UnknownOutcome => Refusal::UnknownOutcome(error),
        error if error.is_unavailable() => Refusal::Unavailable(error),
        error => Refusal::Internal(error),
    }
}

/// Finds a tenant or says that there is none. One that the caller may not know of is none.
pub(crate) async fn require(cx: &Ctx, deps: &Deps, tenant: &TenantRef) -> Result<TenantRow, Refusal> {
    let row = deps.store().read(&cx.environment).tenant(tenant.key()).await.map_err(refuse_store)?;
    row.filter(|row| cx.sees(row.id)).ok_or_else(|| Refusal::NoTenant(tenant.to_string()))
}

/// Locks a tenant that something is to be made for.
pub(crate) async fn lock_living(tx: &mut WriteTx, id: TenantId) -> Result<(), Refusal> {
    let row = tx.tenants().lock(id).await.map_err(|error| match error {
        StoreError::NotFound => Refusal::NoTenant(id.to_string()),
        error => refuse_store(error),
    })?;
    if row.state.phase() == Phase::Deleted { Err(Refusal::NoTenant(id.to_string())) } else { Ok(()) }
}

/// Either the answer that a repeated request gets, or the transaction to go on with.
pub(crate) enum Opened {
    /// The first request with the key left this answer.
    Replay(Value),
    /// Go on.
    Fresh(WriteTx),
}

/// Opens a transaction, looks the idempotency key up in it, and asks the operator's rules.
pub(crate) async fn open(cx: &Ctx, deps: &Deps, permit: &tenantry_domain::policy::Permit) -> Result<Opened, Refusal> {
    let mut opened = open_unruled(cx, deps, permit).await?;
    if let Opened::Fresh(tx) = &mut opened {
        governance::rule(cx, deps, permit, tx, About::default()).await?;
    }
    Ok(opened)
}

/// As [`open`], for whoever can tell the rules more later. Until they were asked nothing can be committed.
pub(crate) async fn open_unruled(
    cx: &Ctx,
    deps: &Deps,
    permit: &tenantry_domain::policy::Permit,
) -> Result<Opened, Refusal> {
    // A grace that begins by a wrong clock may be over before it began.
    if timing::standing(deps).await == timing::Standing::Apart {
        return Err(Refusal::ClockApart);
    }
    let mut tx = deps.store().write(permit, cx.now).await.map_err(refuse_store)?;
    if let Some(key) = &cx.idempotency {
        let begun = tx.idempotency().begin(&stored_key(cx, key)).await;
        if let Begun::Replay(answer) = begun.map_err(refuse_store)? {
            tx.rollback().await;
            return Ok(Opened::Replay(serde_json::from_slice(&answer.body).unwrap_or_default()));
        }
    }
    Ok(Opened::Fresh(tx))
}

/// Leaves the answer for repetitions of the request, inside its transaction.
pub(crate) fn remember<T: serde::Serialize>(cx: &Ctx, tx: &mut WriteTx, answer: &T, operation: Option<OperationId>) {
    if let Some(key) = &cx.idempotency {
        let body = serde_json::to_vec(answer).unwrap_or_default();
        let answer = StoredAnswer { status: 202, headers: Vec::new(), body, operation };
        tx.idempotency().finish(&stored_key(cx, key), &answer, KEPT);
    }
}

/// How long an answer is kept for repetitions: longer than any client retries.
const KEPT: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3600);

fn stored_key(cx: &Ctx, key: &crate::ctx::IdempotencyKey) -> tenantry_store::IdempotencyKey {
    tenantry_store::IdempotencyKey {
        principal: cx.actor.to_string(),
        route: key.route.clone(),
        key: key.key.clone(),
        fingerprint: key.fingerprint,
    }
}

/// Reads the answer of an earlier request.
pub(crate) fn replayed<T: serde::de::DeserializeOwned>(answer: Value) -> Result<T, Refusal> {
    serde_json::from_value(answer).map_err(|_| Refusal::KeyReused)
}

/// Edits one tenant. `edit` computes the new spec from the row and may refuse.
pub(crate) async fn edit<F>(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    expected: Expected,
    name: &'static str,
    edit: F,
) -> Result<Accepted, Refusal>
where
    F: FnOnce(&TenantRow) -> Result<Spec, Refusal> + Send,
{
    let id = match tenant {
        // Whether there is such a one shows when it is locked, without asking twice.
        TenantRef::Id(id) => *id,
        TenantRef::Slug(_) => require(cx, deps, tenant).await?.id,
    };
    let permit = cx.permit(name, id)?;
    let mut tx = match open_unruled(cx, deps, &permit).await? {
        Opened::Replay(answer) => return replayed(answer),
        Opened::Fresh(tx) => tx,
    };
    let row = tx.tenants().lock(id).await.map_err(|error| match error {
        StoreError::NotFound => Refusal::NoTenant(tenant.to_string()),
        error => refuse_store(error),
    })?;
    expected.check(row.version)?;
    let spec = edit(&row)?;
    if spec == row.spec {
        tx.rollback().await;
        return Ok(Accepted { tenant: view(row), operation: None, receipt: None });
    }
    let mut known = refer::Cache::default();
    let (change, mut entry) = judged(cx, deps, &permit, &mut tx, &mut known, &row, spec).await?;
    let operation = mint::operation();
    let (changed, answer) = write(cx, &mut tx, &change, operation, name).await?;
    match counted::domains(cx, &mut tx, row.spec.domains.len(), &changed).await {
        Ok(told) => entry.events.extend(told),
        Err(stop) => {
            tx.rollback().await;
            return Err(stop.refuse(cx, deps, &permit).await);
        }
    }
    remember(cx, &mut tx, &answer, Some(operation));
    let receipt = tx.commit(vec![entry]).await.map_err(refuse_store)?;
    deps.nudge();
    Ok(Accepted {
        tenant: view(changed),
        operation: Some(operation),
        receipt: receipt.entries.first().map(receipt_view),
    })
}

pub(crate) fn receipt_view(stamp: &Stamp) -> Receipt {
    Receipt { seq: stamp.seq, hash: hex(&stamp.hash) }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

async fn write(
    cx: &Ctx,
    tx: &mut WriteTx,
    change: &TenantChange,
    operation: OperationId,
    name: &'static str,
) -> Result<(TenantRow, Accepted), Refusal> {
    let changed = tx.tenants().apply(change).await.map_err(refuse_store)?;
    let changed = settle_record(tx, changed)?;
    let targets = vec![(changed.id, changed.version)];
    let new = NewOperation {
        id: operation,
        kind: name.to_owned(),
        correlation_id: cx.correlation_id.clone(),
        request: Value::Null,
        targets,
    };
    tx.operations().create(&new);
    // The receipt is numbered at commit, so the stored answer goes without; a repetition is told so by its absence.
    let answer = Accepted { tenant: view(changed.clone()), operation: Some(operation), receipt: None };
    Ok((changed, answer))
}

/// Where nothing is provisioned or served (draft, archived), a new version is in effect as soon as it is recorded.
pub(crate) fn settle_record(tx: &mut WriteTx, row: TenantRow) -> Result<TenantRow, Refusal> {
    let phase = row.state.phase();
    if row.spec.state != phase || !matches!(phase, Phase::Draft | Phase::Archived) {
        return Ok(row);
    }
    let settled = StateChange {
        id: row.id,
        state: row.state,
        observed_version: row.version,
        app_version: row.app_version,
        conditions: row.conditions,
    };
    tx.tenants().set_state(&settled).map_err(refuse_store)
}

/// Replaces the desired state.
///
/// # Errors
/// See [`Refusal`]; nothing changed.
pub async fn update(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    expected: Expected,
    spec: Spec,
) -> Result<Accepted, Refusal> {
    edit(cx, deps, tenant, expected, "tenant.update", |row| Ok(keep_deletion(row, spec))).await
}

/// Changes parts of the desired state by a merge patch (RFC 7396) on the spec.
///
/// # Errors
/// See [`Refusal`]; nothing changed.
pub async fn patch<F>(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    expected: Expected,
    parse: F,
) -> Result<Accepted, Refusal>
where
    F: FnOnce(Value) -> Result<Spec, Vec<FieldError>> + Send,
{
    edit(cx, deps, tenant, expected, "tenant.update", |row| {
        let current = serde_json::to_value(&row.spec).unwrap_or_default();
        Ok(keep_deletion(row, parse(current).map_err(Refusal::Fields)?))
    })
    .await
}

/// A manifest says nothing of a waiting deletion, so it neither sets nor clears one.
pub(crate) fn keep_deletion(row: &TenantRow, spec: Spec) -> Spec {
    if row.spec.state == Phase::Deleted {
        Spec { state: Phase::Deleted, deletion: row.spec.deletion.clone(), ..spec }
    } else {
        spec
    }
}

/// The empty audit helper used by bulk writers.
pub(crate) fn created_audit(
    cx: &Ctx,
    permit: &tenantry_domain::policy::Permit,
    slug: &Slug,
    spec: &Spec,
) -> audit::Draft {
    let mut audit = cx.audit(permit, Category::Mutation, format!("tenant/{slug}"));
    audit.version = Some(1);
    audit.changes = serde_json::json!({ "plan": spec.plan, "app": spec.app, "state": spec.state });
    audit
}
