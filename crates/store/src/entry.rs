//! What a commit takes and what it gives: entries in, stamps out.

use tenantry_domain::audit::{self, Category, Hash, Outcome};
use tenantry_domain::event;
use tenantry_domain::id::TenantId;

use crate::scope::Subject;

/// One audit entry with the events that it causes.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Whose chain and sequence.
    pub subject: Subject,
    /// The entry, without number, time and owner.
    pub audit: audit::Draft,
    /// The events, in order. Their version is the tenant's at commit.
    pub events: Vec<event::Draft>,
}

impl Entry {
    /// An entry of a tenant.
    #[must_use]
    pub const fn tenant(id: TenantId, audit: audit::Draft, events: Vec<event::Draft>) -> Self {
        Self { subject: Subject::Tenant(id), audit, events }
    }

    /// An entry of the environment itself.
    #[must_use]
    pub const fn environment(audit: audit::Draft, events: Vec<event::Draft>) -> Self {
        Self { subject: Subject::Environment, audit, events }
    }

    /// The version of a tenant that the entry is the record of.
    pub(crate) fn records(&self) -> Option<(TenantId, Option<i64>)> {
        let is_record = self.audit.category == Category::Mutation && self.audit.outcome == Outcome::Success;
        self.subject.tenant().filter(|_| is_record).map(|id| (id, self.audit.version))
    }
}

/// Where an entry stands in its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Whose chain.
    pub subject: Subject,
    /// Its number.
    pub seq: i64,
    /// Its hash.
    pub hash: Hash,
}

/// The proof of a commit, in the order of the entries given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// One for each entry.
    pub entries: Vec<Stamp>,
}
