//! The last steps: what the registry says once the data plane is where it should be.

use serde_json::{Value, json};
use tenantry_domain::audit::{self, Category, Outcome};
use tenantry_domain::code::Code;
use tenantry_domain::event::{self, Type};
use tenantry_domain::plan::PlanSpec;
use tenantry_domain::policy::{Actor, FINGERPRINT};
use tenantry_domain::tenant::lifecycle::{State, SuspensionReason};
use tenantry_domain::workflow::{Cause, StepName};
use tenantry_store::{Entry, Finding, StateChange, TenantRow, WriteTx};

use crate::deps::Deps;
use crate::engine::{Call, Local};
use crate::workflows::conditions;
use crate::workflows::{refused, store_cause};

/// Records the outcome of a run.
pub(super) async fn mark(deps: &Deps, call: &Call, tx: &mut WriteTx) -> Result<Local, Cause> {
    let row = tx.tenants().lock(call.tenant).await.map_err(store_cause)?;
    let (state, action, kind) = next_state(deps, call, &row, tx).await?;
    let app_version = call
        .outputs
        .get(&StepName::Migrate)
        .and_then(|output| output.get("appVersion"))
        .and_then(Value::as_i64)
        .unwrap_or(row.app_version);
    if matches!(state, State::Deleted { .. }) {
        if let Some(placement) = row.state.placement() {
            let weight = row.spec.business.size.weight();
            tx.cells().release(&placement.cell, placement.isolation, weight).await.map_err(store_cause)?;
        }
        let until = call.now.saturating_add(deps.options().slug_quarantine).unwrap_or(call.now);
        tx.tenants().release(call.tenant, until).map_err(store_cause)?;
    }
    let reached = StateChange {
        id: call.tenant,
        state: state.clone(),
        observed_version: if call.step == StepName::MarkRepaired { row.observed_version } else { call.target_version },
        app_version,
        conditions: conditions::reached(&row, &state, call.now),
    };
    tx.tenants().set_state(&reached).map_err(store_cause)?;
    if call.step == StepName::MarkRepaired {
        // What could be put right was; what could not stays on record until a sweep no longer sees it.
        let left: Vec<Finding> = row.findings.iter().filter(|finding| !finding.repairable).cloned().collect();
        let conditions = conditions::drifted(&row, &left, call.now);
        tx.tenants().set_findings(call.tenant, left, conditions).map_err(store_cause)?;
    }
    let mut audit = draft(call, action, Category::Transition, row.slug.as_str());
    audit.changes =
        json!({ "from": row.state.phase(), "to": state.phase(), "observedVersion": reached.observed_version });
    if call.step == StepName::MarkRepaired {
        audit.category = Category::Drift;
        let fixed = call.outputs.get(&StepName::Protect).and_then(|output| output.get("fixed"));
        audit.changes = json!({ "fixed": fixed });
    }
    let completed = json!({ "workflow": call.workflow, "kind": call.kind });
    let mut data = payload(&row, &state);
    if let (Type::OperationProgressed, Value::Object(data), Value::Object(whose)) = (kind, &mut data, &completed) {
        data.extend(whose.clone());
    }
    let mut events = vec![event::Draft::new(kind, data), event::Draft::new(Type::OperationCompleted, completed)];
    if kind == Type::OperationProgressed
        && row.observed_version < call.target_version
        && let Some(before) = tx.tenants().plan_at(call.tenant, row.observed_version).await.map_err(store_cause)?
        && before != row.spec.plan
    {
        let data = json!({ "slug": row.slug, "plan": row.spec.plan, "before": before });
        events.push(event::Draft::new(Type::PlanApplied, data));
    }
    let entry = Entry::tenant(call.tenant, audit, events);
    Ok(Local { output: Value::Null, entries: vec![entry] })
}

async fn next_state(
    deps: &Deps,
    call: &Call,
    row: &TenantRow,
    tx: &mut WriteTx,
) -> Result<(State, &'static str, Type), Cause> {
    let illegal = |error| refused(Code::IllegalTransition, error);
    Ok(match call.step {
        StepName::MarkActive => {
            let placement = call.outputs.get(&StepName::Place).and_then(|output| output.get("placement")).cloned();
            let placement = placement.and_then(|value| serde_json::from_value(value).ok());
            let placement =
                placement.ok_or_else(|| refused(Code::Internal, "the journal holds no readable placement"))?;
            (row.state.activate(placement, call.now).map_err(illegal)?, "tenant.activate", Type::TenantActivated)
        }
        StepName::MarkSuspended => {
            let reason = row.spec.suspension.as_ref().map_or(SuspensionReason::Commercial, |why| why.reason);
            (row.state.suspend(reason, call.now).map_err(illegal)?, "tenant.suspend", Type::TenantSuspended)
        }
        StepName::MarkResumed => (row.state.resume(call.now).map_err(illegal)?, "tenant.resume", Type::TenantResumed),
        StepName::MarkArchived => {
            let plan = tx.catalog().plan_of(row).await.map_err(store_cause)?;
            let plan = plan.and_then(|plan| serde_json::from_value::<PlanSpec>(plan.spec).ok());
            let days = plan.map_or(90, |plan| plan.archive_retention_days);
            let purge_after = call.now.saturating_add(jiff::SignedDuration::from_hours(i64::from(days) * 24));
            let state = row.state.archive(purge_after.unwrap_or(call.now), call.now).map_err(illegal)?;
            (state, "tenant.archive", Type::TenantArchived)
        }
        StepName::MarkRestored => {
            (row.state.restore(call.now).map_err(illegal)?, "tenant.restore", Type::TenantRestored)
        }
        StepName::MarkDeleted => (row.state.delete(call.now).map_err(illegal)?, "tenant.delete", Type::TenantDeleted),
        StepName::MarkRepaired => (row.state.clone(), "drift.repair", Type::DriftRepaired),
        _ => {
            deps.nudge_watchers();
            (row.state.clone(), "tenant.reach", Type::OperationProgressed)
        }
    })
}

/// What receivers of lifecycle events get: enough to find the tenant, nothing personal.
pub(crate) fn payload(row: &TenantRow, state: &State) -> Value {
    let placement = state.placement();
    json!({
        "slug": row.slug,
        "state": state.phase(),
        "plan": row.spec.plan,
        "app": row.spec.app,
        "externalIds": row.spec.external_ids,
        "region": placement.map(|placement| &placement.region),
        "cell": placement.map(|placement| &placement.cell),
        "isolation": placement.map(|placement| placement.isolation),
    })
}

/// An audit entry of a workflow step.
pub(super) fn draft(call: &Call, action: &str, category: Category, slug: &str) -> audit::Draft {
    audit::Draft {
        action: action.to_owned(),
        category,
        outcome: Outcome::Success,
        actor: Actor::controller("executor"),
        target: format!("tenant/{slug}"),
        version: None,
        reason: None,
        request_id: call.key().to_string(),
        correlation_id: call.correlation_id.clone(),
        policy: FINGERPRINT.to_owned(),
        changes: Value::Null,
    }
}
