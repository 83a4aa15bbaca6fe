//! A new tenant: the record first, as draft or with a wish to be active; controllers do the rest.

use tenantry_domain::code::FieldError;
use tenantry_domain::event;
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_domain::tenant::{Slug, Spec};
use tenantry_store::{Entry, NewOperation, NewTenant, TenantRow, WriteTx};

use crate::ctx::Ctx;
use crate::deps::{Deps, mint};
use crate::governance::{self, About, Thing};
use crate::quotas::counted;
use crate::refusal::Refusal;
use crate::tenants::edit::{self, Opened, refuse_store};
use crate::tenants::read::view;
use crate::tenants::refer;
use crate::view::Accepted;

/// A new tenant may ask for two states only.
pub(crate) fn check_first_state(spec: &Spec) -> Result<(), Refusal> {
    match spec.state {
        Phase::Draft | Phase::Active => Ok(()),
        other => {
            let message = format!("a new tenant cannot be {other}; expected draft or active");
            Err(Refusal::Fields(vec![FieldError::new("spec.state", message)]))
        }
    }
}

pub(crate) fn new_tenant(cx: &Ctx, slug: Slug, spec: Spec) -> NewTenant {
    NewTenant {
        id: mint::tenant(),
        slug,
        observed_version: i64::from(spec.state == Phase::Draft),
        spec,
        conditions: Vec::new(),
        action: "tenant.create".to_owned(),
        correlation_id: cx.correlation_id.clone(),
    }
}

/// Asks the operator's rules about a tenant that is there since this transaction, and about its life where it is to begin
/// at once.
pub(crate) async fn born(
    cx: &Ctx,
    deps: &Deps,
    tx: &mut WriteTx,
    row: &TenantRow,
    fit: &refer::Fit,
) -> Result<(), Refusal> {
    let about = About::default().level(fit.level);
    governance::rule_on(cx, deps, "tenant.create", tx, Thing::Unborn(row), about.clone()).await?;
    match &fit.cell {
        Some(cell) => governance::rule_on(cx, deps, "tenant.activate", tx, Thing::Unborn(row), about.at(cell)).await,
        None => Ok(()),
    }
}

/// What the event of a new tenant says.
pub(crate) fn created(slug: &Slug, spec: &Spec) -> serde_json::Value {
    serde_json::json!({
        "slug": slug, "plan": spec.plan, "app": spec.app, "externalIds": spec.external_ids, "wanted": spec.state,
    })
}

/// Creates a tenant.
///
/// # Errors
/// See [`Refusal`]; nothing was created.
pub async fn create(cx: &Ctx, deps: &Deps, slug: Slug, spec: Spec) -> Result<Accepted, Refusal> {
    let permit = cx.permit_environment("tenant.create")?;
    let mut tx = match edit::open_unruled(cx, deps, &permit).await? {
        Opened::Replay(answer) => return edit::replayed(answer),
        Opened::Fresh(tx) => tx,
    };
    check_first_state(&spec)?;
    crate::domains::check(deps, &[], &spec.domains)?;
    let fit = refer::check(cx, &mut tx, &spec, spec.state == Phase::Active).await?;
    let audit = edit::created_audit(cx, &permit, &slug, &spec);
    let data = created(&slug, &spec);
    let new = new_tenant(cx, slug, spec);
    let mut entry = Entry::tenant(new.id, audit, vec![event::Draft::new(event::Type::TenantCreated, data)]);
    let rows = tx.tenants().create_many(std::slice::from_ref(&new)).await.map_err(refuse_store)?;
    let row = rows.into_iter().next().ok_or_else(|| Refusal::NoTenant(new.slug.to_string()))?;
    born(cx, deps, &mut tx, &row, &fit).await?;
    match counted::domains(cx, &mut tx, 0, &row).await {
        Ok(told) => entry.events.extend(told),
        Err(stop) => {
            tx.rollback().await;
            return Err(stop.refuse(cx, deps, &permit).await);
        }
    }
    let operation = mint::operation();
    let record = NewOperation {
        id: operation,
        kind: "tenant.create".to_owned(),
        correlation_id: cx.correlation_id.clone(),
        request: serde_json::Value::Null,
        targets: vec![(row.id, row.version)],
    };
    tx.operations().create(&record);
    let mut answer = Accepted { tenant: view(row), operation: Some(operation), receipt: None };
    edit::remember(cx, &mut tx, &answer, Some(operation));
    let receipts = tx.commit(vec![entry]).await.map_err(refuse_store)?;
    deps.nudge();
    answer.receipt = receipts.entries.first().map(edit::receipt_view);
    Ok(answer)
}
