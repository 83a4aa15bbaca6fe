//! Rates and quotas: the arithmetic, without a clock.
//!
//! A *rate* says how often something may come and forgets by itself ([`rate`]). A *quota* says how much there may be and
//! is given back, or begins anew with its period ([`quota`]); some of it Tenantry counts itself ([`counted`]). [`fields`] tells
//! callers of rates.

pub mod counted;
pub mod fields;
pub mod level;
pub mod quota;
pub mod rate;

pub use counted::Counted;
pub use quota::{Bound, BoundError, Crossing, Marks, Mode, Percent, QuotaName, QuotaNameError};
pub use rate::{Limit, Verdict};

use std::fmt;

/// What a request to our own API costs, and so which of a principal's rates it counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Reads one thing or one page.
    Read,
    /// Changes one thing.
    Write,
    /// Reads or changes many things: manifests, audit, exports, imports.
    Bulk,
    /// What applications and proxies ask before they serve: resolve, route, credentials, forward-auth, rates, features,
    /// permissions of members.
    Resolve,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Bulk, Self::Resolve];

    /// The class's name, as in a plan's `rateLimits`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Bulk => "bulk",
            Self::Resolve => "resolve",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
