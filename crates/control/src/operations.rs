//! Long work as its callers follow and steer it.

use tenantry_domain::audit::Category;
use tenantry_domain::event;
use tenantry_domain::id::{OperationId, TenantId};
use tenantry_domain::page::PageSize;
use tenantry_domain::workflow::Definition;
use tenantry_store::{Entry, OperationFilter, OperationView, Page, Reader, TargetView, WorkflowRow, WorkflowStatus};

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::engine::progress;
use crate::refusal::Refusal;
use crate::tenants::edit::{Opened, open, refuse_store, remember};
use crate::tenants::read::request;
use crate::view::{Operation, OperationStatus, Workflow};

/// Most workflows shown with an operation; those in trouble or at work come first.
const SHOWN: usize = 50;

async fn view(reader: &Reader, found: OperationView) -> Result<Operation, Refusal> {
    let status = status(found.status);
    let count = |wanted: &[tenantry_store::OperationStatus]| {
        i64::try_from(found.targets.iter().filter(|target| wanted.contains(&target.status)).count()).unwrap_or(i64::MAX)
    };
    use tenantry_store::OperationStatus as S;
    let (done, failed) = (count(&[S::Succeeded]), count(&[S::Failed, S::Stuck]));
    let total = i64::try_from(found.targets.len()).unwrap_or(i64::MAX);
    let mut targets: Vec<&TargetView> = found.targets.iter().filter(|target| target.workflow.is_some()).collect();
    targets.sort_by_key(|target| std::cmp::Reverse(target.status));
    let ended_at = if status.is_final() {
        targets.iter().filter_map(|target| target.workflow.as_ref()?.ended_at).max()
    } else {
        None
    };
    let mut workflows = Vec::new();
    for target in targets.into_iter().take(SHOWN) {
        if let Some(row) = &target.workflow {
            workflows.push(workflow(reader, target, row).await?);
        }
    }
    Ok(Operation {
        id: found.operation.id,
        environment: found.operation.environment,
        kind: found.operation.kind,
        status,
        created_at: found.operation.created_at,
        ended_at,
        requested_by: found.operation.requested_by,
        total,
        done,
        failed,
        workflows,
    })
}

const fn status(stored: tenantry_store::OperationStatus) -> OperationStatus {
    use tenantry_store::OperationStatus as S;
    match stored {
        S::Succeeded => OperationStatus::Completed,
        S::Pending => OperationStatus::Waiting,
        S::Running => OperationStatus::Running,
        S::Failed => OperationStatus::Failed,
        S::Stuck => OperationStatus::Stuck,
    }
}

async fn workflow(reader: &Reader, target: &TargetView, row: &WorkflowRow) -> Result<Workflow, Refusal> {
    let journal = reader.journal(row.id).await.map_err(refuse_store)?;
    let definition = Definition::find(row.kind, row.definition_version);
    Ok(Workflow {
        id: row.id,
        tenant: row.tenant,
        slug: target.slug.to_string(),
        kind: row.kind,
        status: row.status.as_str().to_owned(),
        cause: row.cause.clone().or_else(|| row.last_failure.clone()),
        steps: definition.map(|definition| progress::steps(definition, &journal)).unwrap_or_default(),
    })
}

/// One operation.
///
/// # Errors
/// There is none.
pub async fn get(cx: &Ctx, deps: &Deps, id: OperationId) -> Result<Operation, Refusal> {
    cx.permit_environment("operation.read")?;
    let reader = deps.store().read(&cx.environment);
    let found = reader.operation(id).await.map_err(refuse_store)?;
    view(&reader, found.ok_or_else(|| Refusal::NoOperation(id.to_string()))?).await
}

/// A page of operations, newest first.
///
/// # Errors
/// The page token is of no use here.
pub async fn list(
    cx: &Ctx,
    deps: &Deps,
    tenant: Option<TenantId>,
    size: PageSize,
    token: Option<&str>,
) -> Result<Page<Operation>, Refusal> {
    cx.permit_environment("operation.read")?;
    let principal = cx.actor.to_string();
    let reader = deps.store().read(&cx.environment);
    let filter = OperationFilter { tenant };
    let page = reader.operations(&filter, &request(cx, &principal, size, token)).await.map_err(refuse_store)?;
    let mut items = Vec::with_capacity(page.items.len());
    for item in page.items {
        items.push(view(&reader, item).await?);
    }
    Ok(Page { items, next: page.next })
}

/// Asks all unfinished workflows of an operation to stop and undo.
///
/// # Errors
/// The operation has ended, or a workflow is past its point of no return.
pub async fn cancel(cx: &Ctx, deps: &Deps, id: OperationId) -> Result<Operation, Refusal> {
    steer(cx, deps, id, Steer::Cancel).await
}

/// Lets the stuck workflows of an operation go on, and has versions tried again whose workflow was undone.
///
/// # Errors
/// None of them is stuck or failed.
pub async fn retry(cx: &Ctx, deps: &Deps, id: OperationId) -> Result<Operation, Refusal> {
    steer(cx, deps, id, Steer::Retry).await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Steer {
    Cancel,
    Retry,
}

async fn steer(cx: &Ctx, deps: &Deps, id: OperationId, how: Steer) -> Result<Operation, Refusal> {
    let action = if how == Steer::Cancel { "operation.cancel" } else { "operation.retry" };
    let permit = cx.permit_environment(action)?;
    let reader = deps.store().read(&cx.environment);
    let found =
        reader.operation(id).await.map_err(refuse_store)?.ok_or_else(|| Refusal::NoOperation(id.to_string()))?;
    let mut tx = match open(cx, deps, &permit).await? {
        Opened::Replay(_) => return get(cx, deps, id).await,
        Opened::Fresh(tx) => tx,
    };
    // Tenants before their workflows, and in one order, as everybody locks them.
    let tenants: Vec<TenantId> =
        found.targets.iter().filter_map(|target| Some(target.workflow.as_ref()?.tenant)).collect();
    tx.tenants().lock_many(&tenants).await.map_err(refuse_store)?;
    let mut entries = Vec::new();
    for target in &found.targets {
        let Some(row) = &target.workflow else { continue };
        let row = tx.workflows().lock(row.id).await.map_err(refuse_store)?;
        match (how, row.status) {
            (Steer::Cancel, WorkflowStatus::Running | WorkflowStatus::Stuck) => {
                if is_past_return(&row) {
                    return Err(Refusal::NotCancellable);
                }
                tx.workflows().cancel(row.id).await.map_err(refuse_store)?;
            }
            (Steer::Retry, WorkflowStatus::Stuck) => {
                tx.workflows().retry(row.id).await.map_err(refuse_store)?;
            }
            (Steer::Retry, WorkflowStatus::Unwound) => {}
            _ => continue,
        }
        let tenant = tx.tenants().lock(row.tenant).await.map_err(refuse_store)?;
        if row.status == WorkflowStatus::Unwound {
            // A version that was tried and undone is left alone until somebody says that its cause is gone.
            if tenant.failure.is_none() || tenant.version != target.version {
                continue;
            }
            tx.tenants().forget_failure(row.tenant).map_err(refuse_store)?;
        }
        let mut audit = cx.audit(&permit, Category::Workflow, format!("tenant/{}", tenant.slug));
        audit.changes = serde_json::json!({ "workflow": row.id, "kind": row.kind, "operation": id });
        let data = serde_json::json!({ "workflow": row.id, "kind": row.kind, "action": action });
        entries.push(Entry::tenant(row.tenant, audit, vec![event::Draft::new(event::Type::OperationProgressed, data)]));
    }
    if entries.is_empty() {
        tx.rollback().await;
        return Err(Refusal::Ended);
    }
    remember(cx, &mut tx, &(), Some(id));
    tx.commit(entries).await.map_err(refuse_store)?;
    deps.nudge();
    get(cx, deps, id).await
}

fn is_past_return(row: &WorkflowRow) -> bool {
    let Some(definition) = Definition::find(row.kind, row.definition_version) else { return true };
    let begun = row.current_step.and_then(|step| definition.position(step));
    definition.no_return.zip(begun).is_some_and(|(point, at)| at >= point)
}
