//! Judges a new spec of a tenant: rights, lifecycle, references, place, and the operator's rules. Nothing is written here.

use tenantry_domain::audit::Category;
use tenantry_domain::code::FieldError;
use tenantry_domain::id::{OperationId, TenantId};
use tenantry_domain::page::PageSize;
use tenantry_domain::placement::Placement;
use tenantry_domain::plan::entitlement::Entitlements;
use tenantry_domain::policy::Permit;
use tenantry_domain::tenant::lifecycle::{Action, Phase};
use tenantry_domain::tenant::profile::SizeClass;
use tenantry_domain::tenant::{Spec, change};
use tenantry_domain::workflow::Kind;
use tenantry_domain::{diff, event};
use tenantry_store::{Entry, OperationFilter, PageRequest, TenantChange, TenantRow, WorkflowStatus, WriteTx};

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::governance::{self, About, Thing};
use crate::plans::room;
use crate::quotas;
use crate::refusal::Refusal;
use crate::tenants::edit::refuse_store;
use crate::tenants::{promises, refer};

/// The right that a change of a tenant takes.
const fn right(action: Action) -> &'static str {
    match action {
        Action::Activate => "tenant.activate",
        Action::Suspend => "tenant.suspend",
        Action::Resume => "tenant.resume",
        Action::Archive => "tenant.archive",
        Action::Restore => "tenant.restore",
        Action::Delete => "tenant.delete",
        Action::Update => "tenant.update",
    }
}

/// Judges a new spec against lifecycle, references and place, and prepares what is to be written. `known` is what the request has
/// looked up and placed already.
pub(crate) async fn judged(
    cx: &Ctx,
    deps: &Deps,
    permit: &Permit,
    tx: &mut WriteTx,
    known: &mut refer::Cache,
    row: &TenantRow,
    spec: Spec,
) -> Result<(TenantChange, Entry), Refusal> {
    // Taking a waiting deletion back is no edge of the graph: the tenant stays where it is.
    let is_taken_back = row.spec.state == Phase::Deleted && spec.state == row.state.phase();
    let action = if is_taken_back { Action::Update } else { change::action(row.state.phase(), spec.state)? };
    // A manifest can ask for whatever a verb can, and needs the same right.
    let is_step = spec.state != row.spec.state;
    let right = if is_taken_back {
        "tenant.undelete"
    } else if is_step {
        right(action)
    } else {
        "tenant.update"
    };
    let is_rollback = !is_step && permit.action() == "tenant.rollback";
    // What changes beside the step is a change as any other.
    let beside = Spec {
        state: row.spec.state,
        suspension: row.spec.suspension.clone(),
        deletion: row.spec.deletion.clone(),
        ..spec.clone()
    };
    let is_more = is_step && beside != row.spec;
    if cx.answers_for(permit) {
        if permit.action() != right && !is_rollback {
            cx.permit(right, row.id)?;
        }
        if is_more && !matches!(permit.action(), "tenant.update" | "tenant.rollback") {
            cx.permit("tenant.update", row.id)?;
        }
    }
    if spec.business.synthetic && !row.spec.business.synthetic {
        // Tests' tenants go without a removal request, without a grace and without a second person.
        let message = "is said when a tenant is made, and not later";
        return Err(Refusal::Fields(vec![FieldError::new("spec.business.synthetic", message)]));
    }
    if spec.state != row.spec.state
        && let Some(running) = tx.workflows().open_of(row.id).await.map_err(refuse_store)?
        // These leave the lifecycle where it is; the next one follows them by itself.
        && !(matches!(running.kind, Kind::Update | Kind::Repair) && running.status == WorkflowStatus::Running)
    {
        return Err(Refusal::Busy { kind: running.kind, operation: newest_operation(cx, deps, row.id).await });
    }
    crate::domains::check(deps, &row.spec.domains, &spec.domains)?;
    let mut about = About::change(&row.spec, &spec, cx.now);
    // What it has and what it would have, where the change may make a difference.
    let mut deviates = None;
    let level = match &row.placement {
        Some(placement) if refer::is_same(&row.spec, &spec) => placement.isolation,
        _ => {
            let fit = known.recheck(cx, tx, row, &spec, action == Action::Activate).await?;
            about = fit.cell.iter().fold(about.level(fit.level), About::at);
            if row.spec.plan != spec.plan || row.spec.overrides != spec.overrides {
                let old = entitled(cx, tx, row).await?;
                if let Some(old) = &old
                    && row.spec.plan != spec.plan
                {
                    room::check(tx, row, old, &fit.entitlements).await?;
                }
                deviates = Some((old, fit.entitlements));
            }
            fit.level
        }
    };
    if let Some(placement) = &row.placement
        && is_step
        && about.regions.is_empty()
        && let Some(cell) = refer::cell(tx, &placement.cell).await?
    {
        about = about.at(&cell);
    }
    known.allows(tx, Some(row), &spec).await?;
    // A tenant that is being onboarded has its place before it has a state: its workflow goes on with what is written here.
    if let Some(placement) = &row.placement {
        change::stays(placement, &row.spec, &spec, level).map_err(Refusal::from)?;
    }
    let asked = if is_rollback { "tenant.rollback" } else { right };
    governance::rule_on(cx, deps, asked, tx, Thing::Tenant(row), about).await?;
    if is_more {
        let about = About::change(&row.spec, &beside, cx.now);
        governance::rule_on(cx, deps, "tenant.update", tx, Thing::Tenant(row), about).await?;
    }
    if let Some(placement) = &row.placement {
        recount(tx, placement, row.spec.business.size, spec.business.size).await?;
        if let Some((old, new)) = &deviates {
            promises::check(cx, tx, row.id, old.as_ref(), new, placement).await?;
        }
        if deviates.is_some() || row.spec.business.size != spec.business.size {
            known.forget_loads();
        }
    }
    let old = serde_json::to_value(&row.spec).unwrap_or_default();
    let new = serde_json::to_value(&spec).unwrap_or_default();
    let version = row.version + 1;
    let mut audit = cx.audit(permit, Category::Mutation, format!("tenant/{}", row.slug));
    audit.version = Some(version);
    audit.changes = change::audited(&old, &new);
    audit.reason = reason(&spec);
    let paths: Vec<String> = diff::diff(&old, &new).into_iter().map(|change| change.path).collect();
    let kind =
        if paths.iter().any(|path| path == "plan") { event::Type::PlanChanged } else { event::Type::TenantUpdated };
    let data = serde_json::json!({
        "slug": row.slug, "version": version, "action": action, "changed": paths, "plan": spec.plan, "app": spec.app,
        "externalIds": spec.external_ids, "wanted": spec.state,
    });
    let entry = Entry::tenant(row.id, audit, vec![event::Draft::new(kind, data)]);
    let change = TenantChange {
        id: row.id,
        from_version: row.version,
        spec,
        rename: None,
        action: permit.action().to_owned(),
        correlation_id: cx.correlation_id.clone(),
    };
    Ok((change, entry))
}

/// What a tenant is entitled to before the change. Absent where this release cannot read its plan, which a newer one wrote: nobody
/// is kept from leaving it.
async fn entitled(cx: &Ctx, tx: &mut WriteTx, row: &TenantRow) -> Result<Option<Entitlements>, Refusal> {
    match quotas::entitlements(cx, tx, row).await {
        Ok(old) => Ok(Some(old)),
        Err(Refusal::NoObject { .. }) => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

/// The operation that a caller who came too early can wait for. A courtesy: without it the refusal still stands.
async fn newest_operation(cx: &Ctx, deps: &Deps, tenant: TenantId) -> Option<OperationId> {
    let principal = cx.actor.to_string();
    let page = PageRequest { principal: &principal, token: None, size: PageSize::new(1).ok()?, now: cx.now };
    let filter = OperationFilter { tenant: Some(tenant), ..OperationFilter::default() };
    let found = deps.store().read(&cx.environment).operations(&filter, &page).await.ok()?;
    found.items.first().map(|item| item.operation.id)
}

/// A tenant that grows or shrinks keeps its cell's count right, and may not grow past what the cell has.
async fn recount(tx: &mut WriteTx, placement: &Placement, old: SizeClass, new: SizeClass) -> Result<(), Refusal> {
    if old.weight() == new.weight() {
        return Ok(());
    }
    let loads = tx.cells().loads().await.map_err(refuse_store)?;
    if new.weight() < old.weight() {
        // Also where the cell has less room than is taken: it is less afterwards.
        let less = old.weight() - new.weight();
        return tx.cells().release(&placement.cell, placement.isolation, less).await.map_err(refuse_store);
    }
    let capacity = loads
        .iter()
        .find(|load| load.name == placement.cell)
        .map_or(0, |load| load.spec.capacity.of(placement.isolation));
    tx.cells().release(&placement.cell, placement.isolation, old.weight()).await.map_err(refuse_store)?;
    tx.cells().take(&placement.cell, placement.isolation, new.weight(), capacity).await.map_err(refuse_store)
}

fn reason(spec: &Spec) -> Option<String> {
    if let Some(deletion) = &spec.deletion {
        return Some(deletion.reason.clone());
    }
    let suspension = spec.suspension.as_ref()?;
    let cause = serde_json::to_value(suspension.reason).ok()?;
    let cause = cause.as_str().unwrap_or_default().to_owned();
    Some(match &suspension.note {
        Some(note) => format!("{cause}: {note}"),
        None => cause,
    })
}
