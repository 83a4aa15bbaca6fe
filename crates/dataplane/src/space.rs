//! What the data plane is told: whose place, of which app, at which level, and by whom.

use std::sync::Arc;

use secrecy::SecretString;
use tenantry_domain::app::{Migrations, Spec};
use tenantry_domain::id::{TenantId, WorkflowId};
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{AppName, CellName, EnvironmentName};

use crate::seal::SealKey;

/// A cell, and how to administer its server.
#[derive(Debug, Clone)]
pub struct CellTarget {
    /// The environment that the cell belongs to.
    pub environment: EnvironmentName,
    /// Its name.
    pub name: CellName,
    /// The administrative login: a superuser, or one with CREATEROLE and CREATEDB.
    pub url: SecretString,
}

/// An app as it was at one version.
#[derive(Debug, Clone)]
pub struct AppTarget {
    /// The environment in which it is deployed.
    pub environment: EnvironmentName,
    /// Its name.
    pub app: AppName,
    /// The version of its manifest. A lower one never undoes what a higher one did.
    pub version: i64,
    /// The manifest.
    pub spec: Arc<Spec>,
}

impl AppTarget {
    /// Whether the app's structure comes from SQL files rather than from a command.
    #[must_use]
    pub fn has_files(&self) -> bool {
        matches!(self.spec.migrations, Migrations::Files { .. })
    }
}

/// One tenant's place.
#[derive(Debug, Clone)]
pub struct Space {
    /// Whose it is.
    pub tenant: TenantId,
    /// What runs in it.
    pub app: Arc<AppTarget>,
    /// What separates it from others.
    pub isolation: Isolation,
    /// The placement's generation, from 1.
    pub epoch: i64,
    /// How many connections the tenant may have; absent means as many as the server allows.
    pub connections: Option<u32>,
}

/// Who acts, and in which turn. A newer turn shuts out all older ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Grows with every claim on the tenant. What was seen is remembered where the tenant's objects are.
    pub fence: i64,
    /// The workflow on whose behalf. What it makes bears its id.
    pub workflow: WorkflowId,
}

/// Whether a tenant's users are let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gate {
    /// Not yet.
    Preparing,
    /// Yes.
    Open,
    /// Not at present.
    Suspended,
    /// No more, the data is kept.
    Archived,
}

impl Gate {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Preparing, Self::Open, Self::Suspended, Self::Archived];

    /// The word used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Open => "open",
            Self::Suspended => "suspended",
            Self::Archived => "archived",
        }
    }

    /// The letter in `tenantry.tenant`.
    pub(crate) const fn letter(self) -> &'static str {
        match self {
            Self::Preparing => "p",
            Self::Open => "a",
            Self::Suspended => "s",
            Self::Archived => "r",
        }
    }

    /// The gate of a letter; unknown ones count as shut.
    pub(crate) fn of(letter: &str) -> Self {
        Self::ALL.into_iter().find(|gate| gate.letter() == letter).unwrap_or(Self::Suspended)
    }
}

/// What a client needs to reach a tenant. Nothing secret is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Whose it is.
    pub tenant: TenantId,
    /// The placement's generation.
    pub epoch: i64,
    /// The level.
    pub isolation: Isolation,
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The database there.
    pub database: String,
    /// The schema of the tables.
    pub schema: String,
    /// The login.
    pub role: String,
}

/// What lets an application in. See [`crate::Cell::credential`].
#[derive(Debug, Clone)]
pub struct Credential {
    /// The login.
    pub role: String,
    /// Its password.
    pub password: SecretString,
    /// The key of the database's seal.
    pub seal: SealKey,
}
