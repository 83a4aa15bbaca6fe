//! The isolation levels, in rising order, and what each one promises.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a tenant's data is kept apart from other tenants' data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Common tables; forced row-level security on a sealed transaction context.
    Shared,
    /// A PostgreSQL schema and a login role of its own in a common database.
    Schema,
    /// A database and a login role of its own on a common server.
    Database,
    /// A cell of its own.
    Cluster,
}

impl Isolation {
    /// All levels, weakest first.
    pub const ALL: [Self; 4] = [Self::Shared, Self::Schema, Self::Database, Self::Cluster];

    /// The word used in manifests, columns and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Schema => "schema",
            Self::Database => "database",
            Self::Cluster => "cluster",
        }
    }

    /// Whether the tables of this level hold the rows of more than one tenant, so that a tenant key is
    /// the only thing that tells them apart.
    #[must_use]
    pub const fn needs_tenant_key(self) -> bool {
        matches!(self, Self::Shared)
    }

    /// Whether the tenant connects with a role that no other tenant uses.
    #[must_use]
    pub const fn has_own_role(self) -> bool {
        !matches!(self, Self::Shared)
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is none of the four levels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an isolation level; expected one of shared, schema, database, cluster")]
pub struct UnknownIsolation(pub String);

impl FromStr for Isolation {
    type Err = UnknownIsolation;
    fn from_str(text: &str) -> Result<Self, UnknownIsolation> {
        Self::ALL.into_iter().find(|level| level.as_str() == text).ok_or_else(|| UnknownIsolation(text.to_owned()))
    }
}
