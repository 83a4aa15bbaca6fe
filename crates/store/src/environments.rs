//! The partitions of the registry.

use tenantry_domain::Timestamp;
use tenantry_domain::name::EnvironmentName;
use tenantry_pg::Row;

use crate::columns::{get, parse};
use crate::{Store, StoreError};

/// One environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentRow {
    /// Its name.
    pub name: EnvironmentName,
    /// Since when it exists.
    pub created_at: Timestamp,
}

fn read(row: &Row) -> Result<EnvironmentRow, StoreError> {
    Ok(EnvironmentRow { name: parse(row, "name")?, created_at: get(row, "created_at")? })
}

impl Store {
    /// Makes sure that an environment exists; says whether it is new.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn ensure_environment(&self, name: &EnvironmentName) -> Result<bool, StoreError> {
        let made = self
            .query(
                "INSERT INTO tenantry.environment (name, created_at) VALUES ($1, now()) ON CONFLICT DO NOTHING RETURNING name",
                &[&name.as_str()],
            )
            .await?;
        Ok(!made.is_empty())
    }

    /// All environments, by name.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn environments(&self) -> Result<Vec<EnvironmentRow>, StoreError> {
        let rows = self.query("SELECT name, created_at FROM tenantry.environment ORDER BY name", &[]).await?;
        rows.iter().map(read).collect()
    }

    /// One environment, if it exists.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn environment(&self, name: &EnvironmentName) -> Result<Option<EnvironmentRow>, StoreError> {
        let sql = "SELECT name, created_at FROM tenantry.environment WHERE name = $1";
        self.query_opt(sql, &[&name.as_str()]).await?.as_ref().map(read).transpose()
    }
}
