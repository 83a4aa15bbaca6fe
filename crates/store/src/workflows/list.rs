//! Reading workflows and their journals.

use std::collections::BTreeMap;

use tenantry_domain::id::{TenantId, WorkflowId};
use tenantry_domain::workflow;
use tenantry_pg::Row;

use crate::columns::get;
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

    /// The workflows of a tenant, newest first. Those that only another release can read are left out.
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
        Ok(readable(&rows))
    }

    /// All workflows of a status, oldest first: what is running, what is stuck. Those that only another release can read are
    /// left out.
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
        Ok(readable(&rows))
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

    /// The journals of several workflows, each in order. One that only another release can read is left out.
    ///
    /// # Errors
    /// The database's.
    pub async fn journals(&self, ids: &[WorkflowId]) -> Result<BTreeMap<WorkflowId, Vec<workflow::Entry>>, StoreError> {
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let sql = "
            SELECT workflow, at, fact FROM tenantry.journal
            WHERE env = $1 AND workflow = ANY ($2) ORDER BY workflow, seq";
        let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.uuid()).collect();
        let mut journals: BTreeMap<WorkflowId, Option<Vec<workflow::Entry>>> = BTreeMap::new();
        for row in self.store.query(sql, &[&self.environment.as_str(), &ids]).await? {
            let id = WorkflowId::from_uuid(get(&row, "workflow")?);
            let journal = journals.entry(id).or_insert_with(|| Some(Vec::new()));
            match (read_entry(&row), journal.as_mut()) {
                (Ok(entry), Some(known)) => known.push(entry),
                _ => *journal = None,
            }
        }
        Ok(journals.into_iter().filter_map(|(id, journal)| Some((id, journal?))).collect())
    }
}

fn readable(rows: &[Row]) -> Vec<WorkflowRow> {
    rows.iter().filter_map(|row| read(row).ok()).collect()
}
