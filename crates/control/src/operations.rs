//! Long work as its callers follow and steer it.

use std::collections::BTreeMap;

use tenantry_domain::audit::Category;
use tenantry_domain::event;
use tenantry_domain::id::{OperationId, TenantId, WorkflowId};
use tenantry_domain::page::PageSize;
use tenantry_domain::workflow::{self, Definition};
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

/// The workflows of an operation that are shown.
fn shown(found: &OperationView) -> impl Iterator<Item = &TargetView> {
    let mut targets: Vec<&TargetView> =
        found.targets.iter().filter(|target| target.workflow.is_some() || target.unread.is_some()).collect();
    targets.sort_by_key(|target| std::cmp::Reverse(target.status));
    targets.into_iter().take(SHOWN)
}

/// Operations with their workflows' steps, which are read together, however many there are.
async fn views(reader: &Reader, found: Vec<OperationView>) -> Result<Vec<Operation>, Refusal> {
    let ids: Vec<WorkflowId> =
        found.iter().flat_map(shown).filter_map(|target| Some(target.workflow.as_ref()?.id)).collect();
    let journals = reader.journals(&ids).await.map_err(refuse_store)?;
    Ok(found.into_iter().map(|found| view(&journals, found)).collect())
}

fn view(journals: &BTreeMap<WorkflowId, Vec<workflow::Entry>>, found: OperationView) -> Operation {
    let status = status(found.status);
    let count = |wanted: &[tenantry_store::OperationStatus]| {
        i64::try_from(found.targets.iter().filter(|target| wanted.contains(&target.status)).count()).unwrap_or(i64::MAX)
    };
    use tenantry_store::OperationStatus as S;
    let (done, failed) = (count(&[S::Succeeded]), count(&[S::Failed, S::Stuck]));
    let total = i64::try_from(found.targets.len()).unwrap_or(i64::MAX);
    let ended_at = if status.is_final() {
        found.targets.iter().filter_map(|target| target.workflow.as_ref()?.ended_at).max()
    } else {
        None
    };
    let workflows = shown(&found).filter_map(|target| workflow(journals, target)).collect();
    Operation {
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
    }
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

/// The stored form of a status.
const fn stored(status: OperationStatus) -> tenantry_store::OperationStatus {
    use tenantry_store::OperationStatus as S;
    match status {
        OperationStatus::Completed => S::Succeeded,
        OperationStatus::Waiting => S::Pending,
        OperationStatus::Running => S::Running,
        OperationStatus::Failed => S::Failed,
        OperationStatus::Stuck => S::Stuck,
    }
}

fn workflow(journals: &BTreeMap<WorkflowId, Vec<workflow::Entry>>, target: &TargetView) -> Option<Workflow> {
    if let Some(unread) = &target.unread {
        return Some(Workflow {
            id: unread.id,
            tenant: target.tenant,
            slug: target.slug.to_string(),
            kind: unread.kind.clone(),
            status: unread.status.as_str().to_owned(),
            cause: None,
            steps: Vec::new(),
        });
    }
    let row = target.workflow.as_ref()?;
    let definition = Definition::find(row.kind, row.definition_version).zip(journals.get(&row.id));
    Some(Workflow {
        id: row.id,
        tenant: row.tenant,
        slug: target.slug.to_string(),
        kind: row.kind.to_string(),
        status: row.status.as_str().to_owned(),
        cause: row.cause.clone().or_else(|| row.last_failure.clone()),
        steps: definition.map(|(definition, journal)| progress::steps(definition, journal)).unwrap_or_default(),
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
    let found = found.ok_or_else(|| Refusal::NoOperation(id.to_string()))?;
    let journals = shown(&found).filter_map(|target| Some(target.workflow.as_ref()?.id)).collect::<Vec<_>>();
    let journals = reader.journals(&journals).await.map_err(refuse_store)?;
    Ok(view(&journals, found))
}

/// How an operation stands, for whoever waits for its end: without the journals of its workflows.
///
/// # Errors
/// There is none.
pub async fn standing(cx: &Ctx, deps: &Deps, id: OperationId) -> Result<OperationStatus, Refusal> {
    cx.permit_environment("operation.read")?;
    let found = deps.store().read(&cx.environment).operation(id).await.map_err(refuse_store)?;
    Ok(status(found.ok_or_else(|| Refusal::NoOperation(id.to_string()))?.status))
}

/// Which operations.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Only those with this tenant among their targets.
    pub tenant: Option<TenantId>,
    /// Only those that stand like this.
    pub status: Option<OperationStatus>,
}

/// A page of operations, newest first.
///
/// # Errors
/// The page token is of no use here.
pub async fn list(
    cx: &Ctx,
    deps: &Deps,
    wanted: Wanted,
    size: PageSize,
    token: Option<&str>,
) -> Result<Page<Operation>, Refusal> {
    cx.permit_environment("operation.read")?;
    let principal = cx.actor.to_string();
    let reader = deps.store().read(&cx.environment);
    let filter = OperationFilter { tenant: wanted.tenant, status: wanted.status.map(stored) };
    let page = reader.operations(&filter, &request(cx, &principal, size, token)).await.map_err(refuse_store)?;
    Ok(Page { items: views(&reader, page.items).await?, next: page.next })
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
