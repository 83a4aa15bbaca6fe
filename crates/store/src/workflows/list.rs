//! Reading workflows and their journals.

use tenantry_domain::id::{TenantId, WorkflowId};
use tenantry_domain::workflow;

use crate::workflows::{WorkflowRow, WorkflowStatus, read, read_entry, workflow_columns};
use crate::{Reader, StoreError};

impl Reader {
    /// One workflow, if there is such a one.
    ///
    /// # Errors
    /// The database's.
    pub async fn workflow(&self, id: WorkflowId) -> Result<Option<WorkflowRow>, StoreError> {
        let sql =
            concat!("SELECT ", workflow_columns!(), " FROM tenantry.workflow AS w WHERE w.env = $1 AND w.id = $2");
        self.store.query_opt(sql, &[&self.environment.as_str(), &id.uuid()]).await?.as_ref().map(read).transpose()
    }

    /// The workflows of a tenant, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn workflows(&self, tenant: TenantId, limit: u32) -> Result<Vec<WorkflowRow>, StoreError> {
        let sql = concat!(
            "SELECT ",
            workflow_columns!(),
            " FROM tenantry.workflow AS w WHERE w.env = $1 AND w.tenant = $2 ORDER BY w.created_at DESC, w.id DESC LIMIT $3"
        );
        let rows = self.store.query(sql, &[&self.environment.as_str(), &tenant.uuid(), &i64::from(limit)]).await?;
        rows.iter().map(read).collect()
    }

    /// All workflows of a status, oldest first: what is running, what is stuck.
    ///
    /// # Errors
    /// The database's.
    pub async fn workflows_by_status(
        &self,
        status: WorkflowStatus,
        limit: u32,
    ) -> Result<Vec<WorkflowRow>, StoreError> {
        let sql = concat!(
            "SELECT ",
            workflow_columns!(),
            " FROM tenantry.workflow AS w WHERE w.env = $1 AND w.status = $2 ORDER BY w.created_at, w.id LIMIT $3"
        );
        let rows = self.store.query(sql, &[&self.environment.as_str(), &status.as_str(), &i64::from(limit)]).await?;
        rows.iter().map(read).collect()
    }

    /// A workflow's journal, in order.
    ///
    /// # Errors
    /// The database's.
    pub async fn journal(&self, id: WorkflowId) -> Result<Vec<workflow::Entry>, StoreError> {
        let sql = "SELECT at, fact FROM tenantry.journal WHERE env = $1 AND workflow = $2 ORDER BY seq";
        let rows = self.store.query(sql, &[&self.environment.as_str(), &id.uuid()]).await?;
        rows.iter().map(read_entry).collect()
    }
}
