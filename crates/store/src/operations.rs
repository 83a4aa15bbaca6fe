//! Operations: what a caller of long work follows. An operation stores what was asked for; how it stands is derived
//! from its targets, so it can neither lag behind nor contradict them.

use serde_json::Value;
use tenantry_domain::Timestamp;
use tenantry_domain::id::{OperationId, TenantId, WorkflowId};
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::tenant::Slug;
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_domain::workflow::Cause;
use tenantry_pg::{Json, Row};
use uuid::Uuid;

use crate::columns::{get, json, json_opt, parse, slug};
use crate::cursor::Binding;
use crate::line::Statement;
use crate::workflows::{self, WorkflowRow, WorkflowStatus, workflow_columns};
use crate::{Page, PageRequest, Reader, StoreError, WriteTx};

/// An operation that is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct NewOperation {
    /// A fresh id.
    pub id: OperationId,
    /// What was asked for, `tenant.create`, `manifests.apply`.
    pub kind: String,
    /// The chain of requests.
    pub correlation_id: String,
    /// The request, without secrets.
    pub request: Value,
    /// Which version of which tenant has to come into effect.
    pub targets: Vec<(TenantId, i64)>,
}

/// An operation as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct OperationRow {
    /// The partition.
    pub environment: EnvironmentName,
    /// Its id.
    pub id: OperationId,
    /// What was asked for.
    pub kind: String,
    /// Who asked.
    pub requested_by: String,
    /// The chain of requests.
    pub correlation_id: String,
    /// The request.
    pub request: Value,
    /// When.
    pub created_at: Timestamp,
}

/// How an operation or one of its targets stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperationStatus {
    /// Nothing left to do.
    Succeeded,
    /// Not begun yet.
    Pending,
    /// At work.
    Running,
    /// Tried and unwound.
    Failed,
    /// A human must look.
    Stuck,
}

/// One target with its progress.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetView {
    /// Which tenant.
    pub tenant: TenantId,
    /// Its name.
    pub slug: Slug,
    /// The version that has to come into effect.
    pub version: i64,
    /// How it stands.
    pub status: OperationStatus,
    /// Why it failed or is stuck.
    pub cause: Option<Cause>,
    /// The workflow that was begun for this version (or for the first one behind it).
    pub workflow: Option<WorkflowRow>,
    /// What can be said of that workflow when only another release can read it; `workflow` is absent then.
    pub unread: Option<Unread>,
}

/// A workflow of another release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Its id.
    pub id: WorkflowId,
    /// What it does, in that release's word.
    pub kind: String,
    /// How it stands.
    pub status: WorkflowStatus,
}

/// An operation with its progress.
#[derive(Debug, Clone, PartialEq)]
pub struct OperationView {
    /// What was asked for.
    pub operation: OperationRow,
    /// Stuck when any target is; else pending or running while any is; else failed when any is.
    pub status: OperationStatus,
    /// The targets, by tenant id.
    pub targets: Vec<TargetView>,
}

/// Which operations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OperationFilter {
    /// Only those with this tenant among their targets.
    pub tenant: Option<TenantId>,
    /// Only those that stand like this.
    pub status: Option<OperationStatus>,
}

/// Operations that are looked at together when a status is wanted.
const LOOKED_AT: i64 = 200;

/// Looks for one page at most. What is behind them is on the page after, even if this one is not full then.
const LOOKS: u32 = 20;

const INSERT: &str = "
    WITH made AS (
        INSERT INTO tenantry.operation (env, id, kind, requested_by, correlation_id, created_at, request)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
    )
    INSERT INTO tenantry.operation_target (env, operation, tenant, version)
    SELECT $1, $2, * FROM unnest($8::uuid[], $9::bigint[])";

const LIST: &str = "
    SELECT o.env, o.id, o.kind, o.requested_by, o.correlation_id, o.created_at, o.request FROM tenantry.operation AS o
    WHERE o.env = $1 AND o.id < $2 ORDER BY o.id DESC LIMIT $3";

const LIST_OF_TENANT: &str = "
    SELECT o.env, o.id, o.kind, o.requested_by, o.correlation_id, o.created_at, o.request
    FROM tenantry.operation_target AS g
    JOIN tenantry.operation AS o ON o.env = g.env AND o.id = g.operation
    WHERE g.env = $1 AND g.tenant = $4 AND g.operation < $2 ORDER BY g.operation DESC LIMIT $3";

/// Those with a stuck workflow that may be theirs: there are few, however many operations are newer.
const LIST_NEAR_STUCK: &str = "
    SELECT o.env, o.id, o.kind, o.requested_by, o.correlation_id, o.created_at, o.request FROM tenantry.operation AS o
    WHERE o.env = $1 AND o.id < $2 AND o.id IN (
        SELECT g.operation FROM tenantry.workflow AS w
        JOIN tenantry.operation_target AS g ON g.env = w.env AND g.tenant = w.tenant AND g.version <= w.target_version
        WHERE w.env = $1 AND w.status = 'stuck'
    ) ORDER BY o.id DESC LIMIT $3";

/// The first workflow that aims at the version or beyond it decides: later ones have another reason.
const TARGETS: &str = concat!(
    "SELECT g.operation, g.tenant AS target, g.version, t.slug, t.phase, t.observed_version, t.failed_version, t.failure, ",
    workflow_columns!(),
    " FROM tenantry.operation_target AS g
    JOIN tenantry.tenant AS t ON t.env = g.env AND t.id = g.tenant
    LEFT JOIN LATERAL (
        SELECT * FROM tenantry.workflow AS w
        WHERE w.env = g.env AND w.tenant = g.tenant AND w.target_version >= g.version
        ORDER BY w.created_at, w.id LIMIT 1
    ) AS w ON true
    WHERE g.env = $1 AND g.operation = ANY ($2) ORDER BY g.operation, g.tenant"
);

fn read(row: &Row) -> Result<OperationRow, StoreError> {
    Ok(OperationRow {
        environment: parse(row, "env")?,
        id: OperationId::from_uuid(get(row, "id")?),
        kind: get(row, "kind")?,
        requested_by: get(row, "requested_by")?,
        correlation_id: get(row, "correlation_id")?,
        request: json(row, "request")?,
        created_at: get(row, "created_at")?,
    })
}

/// What the target's columns say of it.
fn read_target(row: &Row) -> Result<TargetView, StoreError> {
    let version: i64 = get(row, "version")?;
    let owner: Option<Uuid> = get(row, "id")?;
    let (workflow, unread) = match owner.map(|id| (id, workflows::read(row))) {
        None => (None, None),
        Some((_, Ok(workflow))) => (Some(workflow), None),
        Some((id, Err(StoreError::Unreadable { .. }))) => {
            let id = WorkflowId::from_uuid(id);
            (None, Some(Unread { id, kind: get(row, "kind")?, status: parse(row, "status")? }))
        }
        Some((_, Err(error))) => return Err(error),
    };
    let failed: Option<i64> = get(row, "failed_version")?;
    let failure: Option<Cause> = json_opt(row, "failure")?;
    let is_reached = get::<i64>(row, "observed_version")? >= version || parse::<Phase>(row, "phase")? == Phase::Deleted;
    let is_failed = failed.is_some_and(|failed| failed >= version);
    let settled = match (is_reached, is_failed) {
        (true, _) => Some(OperationStatus::Succeeded),
        (false, true) => Some(OperationStatus::Failed),
        (false, false) => None,
    };
    let begun = workflow.as_ref().map(|workflow| workflow.status).or(unread.as_ref().map(|unread| unread.status));
    let status = match begun {
        Some(WorkflowStatus::Running) => OperationStatus::Running,
        Some(WorkflowStatus::Stuck) => OperationStatus::Stuck,
        Some(WorkflowStatus::Unwound) => OperationStatus::Failed,
        Some(WorkflowStatus::Completed) => settled.unwrap_or(OperationStatus::Running),
        None => settled.unwrap_or(OperationStatus::Pending),
    };
    let is_bad = matches!(status, OperationStatus::Failed | OperationStatus::Stuck);
    let cause = workflow.as_ref().and_then(|workflow| workflow.cause.clone()).or(failure).filter(|_| is_bad);
    Ok(TargetView {
        tenant: TenantId::from_uuid(get(row, "target")?),
        slug: slug(row)?,
        version,
        status,
        cause,
        workflow,
        unread,
    })
}

/// How an operation stands as a whole.
fn overall(targets: &[TargetView]) -> OperationStatus {
    let has = |status| targets.iter().any(|target| target.status == status);
    if has(OperationStatus::Stuck) {
        OperationStatus::Stuck
    } else if targets.iter().all(|target| target.status == OperationStatus::Pending) && !targets.is_empty() {
        OperationStatus::Pending
    } else if has(OperationStatus::Running) || has(OperationStatus::Pending) {
        OperationStatus::Running
    } else if has(OperationStatus::Failed) {
        OperationStatus::Failed
    } else {
        OperationStatus::Succeeded
    }
}

/// Operations inside a transaction.
pub struct Operations<'a> {
    pub(crate) tx: &'a mut WriteTx,
}

impl Operations<'_> {
    /// Records an operation; it leaves with the commit.
    pub fn create(&mut self, new: &NewOperation) -> OperationRow {
        let row = OperationRow {
            environment: self.tx.environment().clone(),
            id: new.id,
            kind: new.kind.clone(),
            requested_by: self.tx.actor.to_string(),
            correlation_id: new.correlation_id.clone(),
            request: new.request.clone(),
            created_at: self.tx.now,
        };
        let (tenants, versions): (Vec<Uuid>, Vec<i64>) =
            new.targets.iter().map(|(id, version)| (id.uuid(), *version)).unzip();
        let statement = Statement::new(INSERT)
            .bind(self.tx.env())
            .bind(row.id.uuid())
            .bind(row.kind.clone())
            .bind(row.requested_by.clone())
            .bind(row.correlation_id.clone())
            .bind(row.created_at)
            .bind(Json(row.request.clone()))
            .bind(tenants)
            .bind(versions);
        self.tx.queue(statement);
        row
    }
}

impl Reader {
    /// One operation with its progress, if there is such a one.
    ///
    /// # Errors
    /// The database's.
    pub async fn operation(&self, id: OperationId) -> Result<Option<OperationView>, StoreError> {
        let sql = "
            SELECT o.env, o.id, o.kind, o.requested_by, o.correlation_id, o.created_at, o.request FROM tenantry.operation AS o
            WHERE o.env = $1 AND o.id = $2";
        let row = self.store.query_opt(sql, &[&self.environment.as_str(), &id.uuid()]).await?;
        let found = row.as_ref().map(read).transpose()?.into_iter().collect();
        Ok(self.views(found).await?.pop())
    }

    /// Operations with their progress, newest first.
    ///
    /// # Errors
    /// The page token's, or the database's.
    pub async fn operations(
        &self,
        filter: &OperationFilter,
        page: &PageRequest<'_>,
    ) -> Result<Page<OperationView>, StoreError> {
        let binding = Binding::new(&self.store, "operations", &self.environment, filter, page);
        let before = match binding.open(page)? {
            Some(keys) => Uuid::from_bytes(keys),
            None => Uuid::max(),
        };
        if let Some(status) = filter.status {
            return self.standing(filter, status, page, &binding, before).await;
        }
        let found = self.list(filter, before, i64::from(page.size.get()) + 1).await?;
        let found = binding.page(found, page, |row| row.id.uuid().into_bytes());
        Ok(Page { items: self.views(found.items).await?, next: found.next })
    }

    async fn list(&self, filter: &OperationFilter, before: Uuid, limit: i64) -> Result<Vec<OperationRow>, StoreError> {
        let env = self.environment.as_str();
        let rows = match (filter.tenant, filter.status) {
            (Some(tenant), _) => self.store.query(LIST_OF_TENANT, &[&env, &before, &limit, &tenant.uuid()]).await?,
            (None, Some(OperationStatus::Stuck)) => self.store.query(LIST_NEAR_STUCK, &[&env, &before, &limit]).await?,
            (None, _) => self.store.query(LIST, &[&env, &before, &limit]).await?,
        };
        rows.iter().map(read).collect()
    }

    /// How an operation stands is derived and in no column, so they are looked through until a page is full.
    async fn standing(
        &self,
        filter: &OperationFilter,
        status: OperationStatus,
        page: &PageRequest<'_>,
        binding: &Binding,
        mut before: Uuid,
    ) -> Result<Page<OperationView>, StoreError> {
        let mut found = Vec::new();
        for _ in 0..LOOKS {
            let looked_at = self.list(filter, before, LOOKED_AT).await?;
            let is_last = i64::try_from(looked_at.len()).unwrap_or(i64::MAX) < LOOKED_AT;
            before = looked_at.last().map_or(before, |row| row.id.uuid());
            found.extend(self.views(looked_at).await?.into_iter().filter(|view| view.status == status));
            if is_last || found.len() > usize::from(page.size.get()) {
                return Ok(binding.page(found, page, |view| view.operation.id.uuid().into_bytes()));
            }
        }
        Ok(Page { items: found, next: Some(binding.token(page, before.into_bytes())) })
    }

    async fn views(&self, operations: Vec<OperationRow>) -> Result<Vec<OperationView>, StoreError> {
        if operations.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<Uuid> = operations.iter().map(|operation| operation.id.uuid()).collect();
        let mut views: Vec<OperationView> = operations
            .into_iter()
            .map(|operation| OperationView { operation, status: OperationStatus::Succeeded, targets: Vec::new() })
            .collect();
        for row in self.store.query(TARGETS, &[&self.environment.as_str(), &ids]).await? {
            let operation = OperationId::from_uuid(get(&row, "operation")?);
            if let Some(view) = views.iter_mut().find(|view| view.operation.id == operation) {
                view.targets.push(read_target(&row)?);
            }
        }
        for view in &mut views {
            view.status = overall(&view.targets);
        }
        Ok(views)
    }
}
