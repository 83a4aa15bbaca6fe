//! The user's product as the data plane sees it: where its migrations come from and which of its tables are
//! shared. An app says nothing about levels; plans do.

use serde::{Deserialize, Serialize};

use crate::isolation::Isolation;
use crate::rollout::Strategy;

/// How an app's structure is brought to its newest version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Migrations {
    /// A folder's `*.sql` files in name order, as they were when the app was applied.
    #[serde(rename_all = "camelCase")]
    Files {
        /// The stream; the order is the order of application.
        files: Vec<MigrationFile>,
    },
    /// A command of the app's own framework, run once per target with the target's environment.
    #[serde(rename_all = "camelCase")]
    Exec {
        /// The command line, split by the shell of the machine that runs it.
        command: String,
        /// Where it runs; the process's own directory when absent.
        directory: Option<String>,
    },
}

/// One file of a migration stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationFile {
    /// The file's name, `0001_init.sql`; unique inside the app, orders the stream.
    pub name: String,
    /// The SQL text, unqualified: the search path decides where it lands.
    pub sql: String,
}

/// The desired state of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// Where the structure comes from.
    pub migrations: Migrations,
    /// The tenant column; absent when the app has none, which rules out [`Isolation::Shared`].
    pub tenant_key: Option<String>,
    /// Tables without a tenant column that all tenants read and none writes.
    pub reference_tables: Vec<String>,
    /// How a new version reaches its targets.
    #[serde(default, skip_serializing_if = "Strategy::is_default")]
    pub rollout: Strategy,
}

impl Spec {
    /// Whether a place that has the structure of `other` has that of `self` too, with nothing to run: only what a
    /// migration changes is compared. A command may do anything, so two of them are never the same.
    #[must_use]
    pub fn leads_to_the_same_as(&self, other: &Self) -> bool {
        matches!(self.migrations, Migrations::Files { .. })
            && self.migrations == other.migrations
            && self.tenant_key == other.tenant_key
            && self.reference_tables == other.reference_tables
    }

    /// Whether a tenant of this app may live at `level`, else the reason why not.
    ///
    /// # Errors
    /// [`Unfit`] names the missing property of the app.
    pub fn fits(&self, level: Isolation) -> Result<(), Unfit> {
        if level.needs_tenant_key() {
            if self.tenant_key.is_none() {
                return Err(Unfit::NoTenantKey);
            }
            if matches!(self.migrations, Migrations::Exec { .. }) {
                return Err(Unfit::ExecAtShared);
            }
        }
        Ok(())
    }
}

/// Why an app cannot serve tenants at a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Rows of several tenants in one table need a column that tells them apart.
    #[error("the app declares no tenant key, so its tables cannot hold more than one tenant")]
    NoTenantKey,
    /// A foreign migration command could create unguarded tables among other tenants' rows.
    #[error("an app that migrates by a command cannot be guarded in shared tables")]
    ExecAtShared,
}
