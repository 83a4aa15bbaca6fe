//! Which tenant a caller means, and which version of it.

use std::fmt;
use std::str::FromStr;

use tenantry_domain::id::TenantId;
use tenantry_domain::name::NameError;
use tenantry_domain::tenant::Slug;
use tenantry_store::TenantKey;

use crate::refusal::Refusal;

/// How a caller names a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantRef {
    /// By canonical id.
    Id(TenantId),
    /// By readable name.
    Slug(Slug),
}

/// The text names no tenant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefError {
    /// An id of another kind of thing, or a damaged one.
    #[error(transparent)]
    Id(#[from] tenantry_domain::id::IdError),
    /// Not a slug.
    #[error(transparent)]
    Slug(#[from] NameError),
}

impl FromStr for TenantRef {
    type Err = RefError;
    /// An underscore tells ids from slugs, which cannot hold one.
    fn from_str(text: &str) -> Result<Self, RefError> {
        if text.contains('_') { Ok(Self::Id(text.parse()?)) } else { Ok(Self::Slug(text.parse()?)) }
    }
}

impl fmt::Display for TenantRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Slug(slug) => write!(f, "{slug}"),
        }
    }
}

impl TenantRef {
    pub(crate) fn key(&self) -> TenantKey {
        match self {
            Self::Id(id) => TenantKey::Id(*id),
            Self::Slug(slug) => TenantKey::Slug(slug.clone()),
        }
    }
}

/// The version that the caller believes to be current.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Whatever it is.
    Any,
    /// This one.
    Version(i64),
}

impl Expected {
    /// Compares with the version that is current.
    ///
    /// # Errors
    /// Another version is current.
    pub const fn check(self, current: i64) -> Result<(), Refusal> {
        match self {
            Self::Version(version) if version != current => Err(Refusal::Stale { current }),
            _ => Ok(()),
        }
    }
}
