//! Whether a process and this database belong together: the tables' version, and the print of the root key.
//!
//! INVARIANT: a print that is there is only replaced on somebody's word; two first starts with different keys leave one of
//! them refused.

use crate::columns::get;
use crate::store::MIGRATIONS;
use crate::{Store, StoreError};

/// How the tables stand to what this release knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaFit {
    /// This release can work with them. They may have more than it knows.
    Fits,
    /// Migrations of this release have not run.
    Older {
        /// The newest one that ran.
        version: i64,
        /// The newest one of this release.
        known: i64,
    },
    /// A newer release took away what this one needs.
    Newer {
        /// The newest one that a release has to know.
        least: i64,
        /// The newest one of this release.
        known: i64,
    },
}

/// The newest migration of this release.
fn known() -> i64 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

impl Store {
    /// Whether this release can work with the tables as they are.
    ///
    /// # Errors
    /// The database does not answer, or was never migrated.
    pub async fn schema_fit(&self) -> Result<SchemaFit, StoreError> {
        let known = known();
        let newest = "SELECT coalesce(max(version), 0) AS version FROM tenantry.migration";
        let row = self.query_opt(newest, &[]).await?.ok_or(StoreError::NotFound)?;
        let version: i64 = get(&row, "version")?;
        if version < known {
            return Ok(SchemaFit::Older { version, known });
        }
        let least = "SELECT least_version FROM tenantry.installation";
        let row = self.query_opt(least, &[]).await?.ok_or(StoreError::NotFound)?;
        let least: i64 = get(&row, "least_version")?;
        Ok(if least > known { SchemaFit::Newer { least, known } } else { SchemaFit::Fits })
    }

    /// The print of the root key that this installation works with; nothing before the first process has started.
    ///
    /// # Errors
    /// The database does not answer, or its tables are older than prints.
    pub async fn root_print(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let row = self.query_opt("SELECT root_print FROM tenantry.installation", &[]).await?;
        get(&row.ok_or(StoreError::NotFound)?, "root_print")
    }

    /// Leaves the print of the root key if there is none yet; says whether it is the one that is there now.
    ///
    /// # Errors
    /// The database's.
    pub async fn hold_root_print(&self, print: &[u8; 32]) -> Result<bool, StoreError> {
        if self.root_print().await?.is_none() {
            let sql = "UPDATE tenantry.installation SET root_print = $1 WHERE root_print IS NULL";
            self.query(sql, &[&print.as_slice()]).await?;
        }
        Ok(self.root_print().await?.as_deref() == Some(print.as_slice()))
    }

    /// Replaces the print of the root key: the installation's key was changed.
    ///
    /// # Errors
    /// The database's.
    pub async fn replace_root_print(&self, print: &[u8; 32]) -> Result<(), StoreError> {
        self.query("UPDATE tenantry.installation SET root_print = $1", &[&print.as_slice()]).await.map(|_| ())
    }
}
