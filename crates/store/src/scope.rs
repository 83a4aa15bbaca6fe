//! What an entry, an event or a chain belongs to.
//!
//! INVARIANT: every statement of ours names its environment, which comes from a permit or from the reader's caller.

use std::fmt;

use tenantry_domain::id::TenantId;
use uuid::Uuid;

/// The owner of a chain and of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A tenant.
    Tenant(TenantId),
    /// The environment itself, for what belongs to no tenant.
    Environment,
}

impl Subject {
    /// The column's value: the tenant's id, nil for the environment.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        match self {
            Self::Tenant(id) => id.uuid(),
            Self::Environment => Uuid::nil(),
        }
    }

    /// Reads a column's value.
    #[must_use]
    pub const fn from_uuid(id: Uuid) -> Self {
        if id.is_nil() { Self::Environment } else { Self::Tenant(TenantId::from_uuid(id)) }
    }

    /// The tenant, if it is one.
    #[must_use]
    pub const fn tenant(self) -> Option<TenantId> {
        match self {
            Self::Tenant(id) => Some(id),
            Self::Environment => None,
        }
    }
}

impl From<TenantId> for Subject {
    fn from(id: TenantId) -> Self {
        Self::Tenant(id)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant(id) => write!(f, "{id}"),
            Self::Environment => f.write_str("environment"),
        }
    }
}
