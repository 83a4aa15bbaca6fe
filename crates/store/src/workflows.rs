//! Workflows: started inside a change, claimed and journaled by whoever holds the newest fence.
//!
//! INVARIANT: a journal takes a fact only while the workflow runs and only with its newest fence, and both are
//! checked by the statement that writes. A lease only says who may go on undisturbed; the fence says who may write.

mod list;

use std::str::FromStr;

use serde_json::Value;
use tenantry_domain::Timestamp;
use tenantry_domain::id::{ReplicaId, TenantId, WorkflowId};
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::workflow::{self, Cause, Fact, Kind, StepName};
use tenantry_pg::{Json, Row};

use crate::columns::{count, get, json, json_opt, parse, parse_opt};
use crate::line::Statement;
use crate::progress;
use crate::{StoreError, WriteTx};

/// How a workflow stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkflowStatus {
    /// Steps are left.
    Running,
    /// All steps are done.
    Completed,
    /// All that was done is undone.
    Unwound,
    /// A human must look.
    Stuck,
}

impl WorkflowStatus {
    /// The word in columns.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Unwound => "unwound",
            Self::Stuck => "stuck",
        }
    }
}

/// The text is none of the statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a status of a workflow")]
pub struct UnknownStatus;

impl FromStr for WorkflowStatus {
    type Err = UnknownStatus;
    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        [Self::Running, Self::Completed, Self::Unwound, Self::Stuck]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(UnknownStatus)
    }
}

/// A workflow that is to run.
#[derive(Debug, Clone, PartialEq)]
pub struct NewWorkflow {
    /// A fresh id.
    pub id: WorkflowId,
    /// Whose.
    pub tenant: TenantId,
    /// What it does.
    pub kind: Kind,
    /// By which definition.
    pub definition_version: u32,
    /// The tenant's version that it brings into effect.
    pub target_version: i64,
    /// What its steps need to know; no secret.
    pub input: Value,
}

/// A workflow as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkflowRow {
    /// The partition.
    pub environment: EnvironmentName,
    /// Its id.
    pub id: WorkflowId,
    /// Whose.
    pub tenant: TenantId,
    /// What it does.
    pub kind: Kind,
    /// By which definition.
    pub definition_version: u32,
    /// The tenant's version that it brings into effect.
    pub target_version: i64,
    /// How it stands.
    pub status: WorkflowStatus,
    /// Who is at it; nobody between two claims.
    pub owner: Option<ReplicaId>,
    /// Until when the owner is undisturbed.
    pub lease_until: Option<Timestamp>,
    /// The newest fence; 0 before the first claim.
    pub fence: i64,
    /// Nothing to do before.
    pub wake_at: Timestamp,
    /// Somebody asked to stop and undo.
    pub cancel_requested: bool,
    /// What its steps need to know.
    pub input: Value,
    /// When it was started.
    pub created_at: Timestamp,
    /// When it completed or was unwound.
    pub ended_at: Option<Timestamp>,
    /// Why it was unwound or is stuck.
    pub cause: Option<Cause>,
    /// The step begun last.
    pub current_step: Option<StepName>,
    /// Steps done, forward.
    pub steps_done: i64,
    /// The number of the current step's beginning.
    pub attempt: i64,
    /// The last failure of the current step, while it is tried again.
    pub last_failure: Option<Cause>,
}

/// The right to write into a workflow's journal, until somebody else has a newer one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Which.
    pub workflow: WorkflowId,
    /// The fence.
    pub fence: i64,
}

/// A workflow that this replica may go on with.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// The row.
    pub workflow: WorkflowRow,
    /// All that happened so far, in order.
    pub journal: Vec<workflow::Entry>,
}

impl Claimed {
    /// The right to write.
    #[must_use]
    pub const fn claim(&self) -> Claim {
        Claim { workflow: self.workflow.id, fence: self.workflow.fence }
    }
}

/// The columns that [`read`] needs.
macro_rules! workflow_columns {
    () => {
        "w.env, w.id, w.tenant, w.kind, w.definition_version, w.target_version, w.status, w.owner, w.lease_until, w.fence, \
         w.wake_at, w.cancel_requested, w.input, w.created_at, w.ended_at, w.cause, w.current_step, w.attempt, \
         w.steps_done, w.last_failure"
    };
}
pub(crate) use workflow_columns;

pub(crate) fn read(row: &Row) -> Result<WorkflowRow, StoreError> {
    let owner: Option<uuid::Uuid> = get(row, "owner")?;
    let definition_version: i32 = get(row, "definition_version")?;
    Ok(WorkflowRow {
        environment: parse(row, "env")?,
        id: WorkflowId::from_uuid(get(row, "id")?),
        tenant: TenantId::from_uuid(get(row, "tenant")?),
        kind: parse(row, "kind")?,
        definition_version: u32::try_from(definition_version)
            .map_err(|_| StoreError::Unreadable { what: "definition_version" })?,
        target_version: get(row, "target_version")?,
        status: parse(row, "status")?,
        owner: owner.map(ReplicaId::from_uuid),
        lease_until: get(row, "lease_until")?,
        fence: get(row, "fence")?,
        wake_at: get(row, "wake_at")?,
        cancel_requested: get(row, "cancel_requested")?,
        input: json(row, "input")?,
        created_at: get(row, "created_at")?,
        ended_at: get(row, "ended_at")?,
        cause: json_opt(row, "cause")?,
        current_step: parse_opt(row, "current_step")?,
        steps_done: count(row, "steps_done")?,
        attempt: count(row, "attempt")?,
        last_failure: json_opt(row, "last_failure")?,
    })
}

pub(crate) fn read_entry(row: &Row) -> Result<workflow::Entry, StoreError> {
    Ok(workflow::Entry { at: get(row, "at")?, fact: json(row, "fact")? })
}

/// Due at once, also when the clock of whoever starts it is ahead.
const START: &str = concat!(
    "INSERT INTO tenantry.workflow AS w
        (env, id, tenant, kind, definition_version, target_version, status, wake_at, input, created_at)
     VALUES ($1, $2, $3, $4, $5, $6, 'running', least($7, clock_timestamp()), $8, $7) ON CONFLICT DO NOTHING RETURNING ",
    workflow_columns!()
);

macro_rules! open {
    () => {
        concat!(
            "SELECT ",
            workflow_columns!(),
            " FROM tenantry.workflow AS w WHERE w.env = $1 AND w.tenant = $2 AND w.status IN ('running', 'stuck')"
        )
    };
}

const OPEN: &str = concat!(open!(), " FOR UPDATE");
const SEE_OPEN: &str = open!();

const LOCK: &str =
    concat!("SELECT ", workflow_columns!(), " FROM tenantry.workflow AS w WHERE w.env = $1 AND w.id = $2 FOR UPDATE");

const END: &str = concat!(
    "UPDATE tenantry.workflow AS w
     SET status = $3, cause = $4, owner = NULL, lease_until = NULL, ended_at = CASE WHEN $3 <> 'stuck' THEN $5::timestamptz END
     WHERE w.id = $1 AND w.fence = $2 AND w.status = 'running' RETURNING ",
    workflow_columns!()
);

/// A new fence takes the workflow away from its owner, who has not seen the new fact.
const STEER: &str = concat!(
    "WITH steered AS (
        UPDATE tenantry.workflow AS w
        SET status = 'running', cause = NULL, owner = NULL, lease_until = NULL, wake_at = least($3, clock_timestamp()), journal_seq = w.journal_seq + 1,
            fence = nextval('tenantry.fence_seq'), cancel_requested = w.cancel_requested OR $5
        WHERE w.env = $1 AND w.id = $2 AND w.status = ANY ($6)
        RETURNING w.*
    ), told AS (
        INSERT INTO tenantry.journal (env, workflow, seq, at, fact, fence)
        SELECT env, id, journal_seq, $3, $4, fence FROM steered
    )
    SELECT ",
    workflow_columns!(),
    " FROM steered AS w"
);

/// Workflows inside a transaction.
pub struct Workflows<'a> {
    pub(crate) tx: &'a mut WriteTx,
}

impl Workflows<'_> {
    /// Starts a workflow; it can be claimed from the commit on.
    ///
    /// # Errors
    /// [`StoreError::WorkflowRunning`], or the database's.
    pub async fn start(&mut self, new: &NewWorkflow) -> Result<WorkflowRow, StoreError> {
        let statement = Statement::new(START)
            .bind(self.tx.env())
            .bind(new.id.uuid())
            .bind(new.tenant.uuid())
            .bind(new.kind.as_str())
            .bind(i32::try_from(new.definition_version).unwrap_or(i32::MAX))
            .bind(new.target_version)
            .bind(self.tx.now)
            .bind(Json(new.input.clone()));
        if let Some(row) = self.tx.rows(statement).await?.first() {
            self.tx.wrote = true;
            return read(row);
        }
        match self.open_of(new.tenant).await? {
            Some(open) => Err(StoreError::WorkflowRunning { id: open.id }),
            // It ended between the two statements, or the id is not fresh: the caller reads again and decides anew.
            None => Err(StoreError::WorkflowRunning { id: new.id }),
        }
    }

    /// The unfinished workflow of a tenant, locked.
    ///
    /// # Errors
    /// The database's.
    pub async fn open_of(&mut self, tenant: TenantId) -> Result<Option<WorkflowRow>, StoreError> {
        let statement = Statement::new(self.tx.text(OPEN, SEE_OPEN)).bind(self.tx.env()).bind(tenant.uuid());
        self.tx.rows(statement).await?.first().map(read).transpose()
    }

    /// Locks a workflow.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or the database's.
    pub async fn lock(&mut self, id: WorkflowId) -> Result<WorkflowRow, StoreError> {
        let statement = Statement::new(LOCK).bind(self.tx.env()).bind(id.uuid());
        read(self.tx.rows(statement).await?.first().ok_or(StoreError::NotFound)?)
    }

    /// Writes facts as part of this transaction, and keeps others from taking the workflow over until its end.
    ///
    /// # Errors
    /// [`StoreError::Fenced`], or the database's.
    pub async fn journal(&mut self, claim: Claim, facts: &[workflow::Entry]) -> Result<(), StoreError> {
        let rows = self.tx.rows(progress::statement(claim, facts, None)).await?;
        self.held(rows.first()).map(|_| ())
    }

    /// Ends a workflow, or marks it as stuck. Cannot be [`WorkflowStatus::Running`].
    ///
    /// # Errors
    /// [`StoreError::Fenced`], or the database's.
    pub async fn end(
        &mut self,
        claim: Claim,
        status: WorkflowStatus,
        cause: Option<&Cause>,
    ) -> Result<WorkflowRow, StoreError> {
        let statement = Statement::new(END)
            .bind(claim.workflow.uuid())
            .bind(claim.fence)
            .bind(status.as_str())
            .bind(cause.map(|cause| Json(cause.clone())))
            .bind(self.tx.now);
        let rows = self.tx.rows(statement).await?;
        read(self.held(rows.first())?)
    }

    /// Writes into the journal that somebody wants it to stop, wakes it up and takes it from its owner.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is not running or stuck, or the database's.
    pub async fn cancel(&mut self, id: WorkflowId) -> Result<WorkflowRow, StoreError> {
        self.steer(id, Fact::CancelRequested, vec!["running", "stuck"]).await
    }

    /// Writes into the journal that a stuck workflow shall go on, and sets it running.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is not stuck, or the database's.
    pub async fn retry(&mut self, id: WorkflowId) -> Result<WorkflowRow, StoreError> {
        self.steer(id, Fact::RetryRequested, vec!["stuck"]).await
    }

    async fn steer(&mut self, id: WorkflowId, fact: Fact, from: Vec<&'static str>) -> Result<WorkflowRow, StoreError> {
        let is_cancel = fact == Fact::CancelRequested;
        let statement = Statement::new(STEER).bind(self.tx.env()).bind(id.uuid()).bind(self.tx.now);
        let statement = statement.bind(Json(fact)).bind(is_cancel).bind(from);
        let rows = self.tx.rows(statement).await?;
        let row = rows.first().ok_or(StoreError::NotFound)?;
        self.tx.wrote = true;
        read(row)
    }

    /// What a statement under a fence gave. A transaction of a former owner must not commit anything else either.
    fn held<'r>(&mut self, row: Option<&'r Row>) -> Result<&'r Row, StoreError> {
        match row {
            Some(row) => {
                self.tx.wrote = true;
                Ok(row)
            }
            None => {
                self.tx.abort();
                Err(StoreError::Fenced)
            }
        }
    }
}
