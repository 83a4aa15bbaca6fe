//! What can go wrong, as one closed set. The words are those of the application contract: [`Error::reason`] is stable
//! and made for branching, in every language the same.
//!
//! INVARIANT: no message shows a stored value or a secret, and none tells whether another tenant's object exists.

use std::time::Duration;

use tenantry_domain::access::HostError;
use tenantry_pg::{CommitError, PgError, PgKind};

use crate::signed::ContextFault;
use crate::tenant::State;

/// Why a tenant cannot be served. Each says what to do next ([`Error::hint`]).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is missing or outside of its bounds.
    #[error("the setting `{name}` {fault}")]
    SettingsInvalid {
        /// The setting.
        name: &'static str,
        /// What is wrong with it.
        fault: SettingsFault,
    },
    /// Something that needs a tenant came without one. Nothing was sent.
    #[error("no tenant is current here")]
    TenantScopeMissing,
    /// Two sources name different tenants, or a source is not acceptable. Never a precedence.
    #[error("{0}")]
    TenantMismatch(Mismatch),
    /// There is no such tenant.
    #[error("{0}")]
    TenantNotFound(Absent),
    /// The tenant is being made, or brought back.
    #[error("the tenant `{0}` is being prepared")]
    TenantPreparing(String),
    /// The tenant is suspended at present.
    #[error("the tenant `{0}` is suspended")]
    TenantSuspended(String),
    /// The tenant was archived; its data is kept and not served.
    #[error("the tenant `{0}` is archived")]
    TenantGone(String),
    /// The tenant was moved while it was being let in. Nothing of the transaction has run.
    #[error("the tenant `{0}` is being moved")]
    TenantMoved(String),
    /// The connections that the tenant may use are taken. Nothing has run.
    #[error("{0}")]
    TenantBusy(Overload),
    /// The tenant's database cannot be reached.
    #[error("the database of tenant `{tenant}` is not available: {cause}")]
    DatabaseUnavailable {
        /// The tenant's slug.
        tenant: String,
        /// What the driver says.
        cause: PgError,
    },
    /// The database refuses the login or the key, also after they were fetched again.
    #[error("the database of tenant `{tenant}` refuses the credential: {cause}")]
    CredentialRefused {
        /// The tenant's slug.
        tenant: String,
        /// What the driver says.
        cause: PgError,
    },
    /// The control plane does not answer, and nothing that may still be used is known.
    #[error("the control plane does not answer ({0})")]
    ControlPlaneUnavailable(Silence),
    /// The control plane does not accept this application: its token, its environment, or its version.
    #[error("the control plane refuses the request ({0})")]
    ControlPlaneRefused(String),
    /// A statement failed.
    #[error("{0}")]
    Statement(#[from] PgError),
    /// A commit failed.
    #[error("{0}")]
    Commit(#[from] CommitError),
}

/// Why the control plane gave no answer that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Silence {
    /// It cannot be reached, is too slow, or can serve nobody at present.
    #[error("{0}")]
    Away(String),
    /// It answers, and says "not now" to this question: a rate is exceeded, a cell cannot be reached. That tells
    /// nothing about other questions.
    #[error("{0}")]
    NotNow(String),
}

/// What is wrong with a setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsFault {
    /// It is not given.
    #[error("is missing")]
    Missing,
    /// It cannot be read as what it is.
    #[error("cannot be read: expected {0}")]
    Unreadable(&'static str),
    /// It is too small or too large.
    #[error("must be between {0} and {1}")]
    Bounds(u64, u64),
    /// Plain HTTP to another machine would show the token to the network.
    #[error("is plain HTTP to another machine; use https, or set `allow_http` where the network encrypts by itself")]
    PlainHttp,
    /// The file cannot be read.
    #[error("names a file that cannot be read")]
    File,
}

/// Why the sources of a request name no one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Two sources name different tenants.
    #[error("the request's sources name different tenants")]
    Disagree,
    /// No source names a tenant.
    #[error("nothing in the request names a tenant")]
    Nameless,
    /// The host is no host name.
    #[error("the host is not acceptable: {0}")]
    Host(HostError),
    /// There is none, although hosts name tenants here.
    #[error("the request has no host")]
    NoHost,
    /// There are two that differ.
    #[error("the request has two hosts")]
    TwoHosts,
    /// The header is there twice.
    #[error("the request has the tenant's header twice")]
    TwoHeaders,
    /// The signed context is not good.
    #[error("the signed context is not acceptable: {0}")]
    Context(ContextFault),
    /// The service requires a signed context, and there is none.
    #[error("the request has no signed context")]
    NoContext,
    /// A job names another tenant than the one that the worker is bound to.
    #[error("the job is not of the tenant that this worker serves")]
    Job,
}

/// Why there is no tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Absent {
    /// Nobody has this name or id.
    #[error("there is no such tenant")]
    Unknown,
    /// Nobody is at this host.
    #[error("there is no tenant at this host")]
    Host,
    /// Nobody is at this path.
    #[error("there is no tenant at this path")]
    Path,
    /// The header holds neither a slug nor an id.
    #[error("the tenant's header names no tenant")]
    Header,
    /// The token's claim holds neither a slug nor an id.
    #[error("the token's claim names no tenant")]
    Token,
    /// It is not where the control plane says.
    #[error("the tenant is not where the control plane says")]
    Place,
}

/// Which bound was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Overload {
    /// No connection became free in time.
    #[error("no connection of the tenant became free within {} ms", .0.as_millis())]
    Deadline(Duration),
    /// As many as may wait do so already.
    #[error("{0} callers wait for a connection of this cell already")]
    Queue(usize),
    /// The server has no connection left.
    #[error("the database server has no connection left")]
    Server,
}

impl Error {
    pub(crate) fn not_open(slug: &str, state: State) -> Self {
        match state {
            State::Preparing => Self::TenantPreparing(slug.to_owned()),
            State::Archived => Self::TenantGone(slug.to_owned()),
            State::Open | State::Suspended => Self::TenantSuspended(slug.to_owned()),
        }
    }

    /// The word that problem documents carry as `reason`.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::SettingsInvalid { .. } => "SettingsInvalid",
            Self::TenantScopeMissing => "TenantScopeMissing",
            Self::TenantMismatch(_) => "TenantMismatch",
            Self::TenantNotFound(_) => "TenantNotFound",
            Self::TenantPreparing(_) => "TenantPreparing",
            Self::TenantSuspended(_) => "TenantSuspended",
            Self::TenantGone(_) => "TenantGone",
            Self::TenantMoved(_) => "TenantMoved",
            Self::TenantBusy(_) => "TenantBusy",
            Self::DatabaseUnavailable { .. } => "DatabaseUnavailable",
            Self::CredentialRefused { .. } => "CredentialRefused",
            Self::ControlPlaneUnavailable(_) => "ControlPlaneUnavailable",
            Self::ControlPlaneRefused(_) => "ControlPlaneRefused",
            Self::Statement(_) => "StatementFailed",
            Self::Commit(_) => "CommitFailed",
        }
    }

    /// The HTTP status that says the same.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::TenantMismatch(_) => 400,
            Self::TenantNotFound(_) => 404,
            Self::TenantSuspended(_) => 403,
            Self::TenantGone(_) => 410,
            Self::SettingsInvalid { .. } | Self::TenantScopeMissing | Self::ControlPlaneRefused(_) => 500,
            Self::Statement(_) | Self::Commit(_) if self.retry_after().is_none() => 500,
            _ => 503,
        }
    }

    /// After how many seconds the same request may work; absent means never by itself.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            Self::TenantPreparing(_) | Self::CredentialRefused { .. } => Some(5),
            Self::TenantMoved(_) | Self::TenantBusy(_) => Some(1),
            Self::DatabaseUnavailable { .. } | Self::ControlPlaneUnavailable(_) => Some(2),
            Self::Statement(error) | Self::Commit(CommitError::Refused(error)) => passing(error),
            _ => None,
        }
    }

    /// What the code means, in one line that is the same each time.
    #[must_use]
    pub const fn title(&self) -> &'static str {
        match self {
            Self::SettingsInvalid { .. } => "The settings are not valid",
            Self::TenantScopeMissing => "No tenant is current",
            Self::TenantMismatch(_) => "The tenant is not named unambiguously",
            Self::TenantNotFound(_) => "No such tenant",
            Self::TenantPreparing(_) => "The tenant is being prepared",
            Self::TenantSuspended(_) => "The tenant is suspended",
            Self::TenantGone(_) => "The tenant is gone",
            Self::TenantMoved(_) => "The tenant is being moved",
            Self::TenantBusy(_) => "All connections of the tenant are in use",
            Self::DatabaseUnavailable { .. } => "The database is not available",
            Self::CredentialRefused { .. } => "The database refuses the credential",
            Self::ControlPlaneUnavailable(_) => "The control plane is not available",
            Self::ControlPlaneRefused(_) => "The control plane refuses this application",
            Self::Statement(_) => "A statement failed",
            Self::Commit(_) => "The transaction was not committed",
        }
    }

    /// What to do next.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::SettingsInvalid { .. } => "Correct the setting; the table of settings is in docs/sdk-rust.md.",
            Self::TenantScopeMissing => {
                "Put the tenant layer around the routes, or run it inside of `context::within`."
            }
            Self::TenantMismatch(_) => "Send one tenant only, by a source that this service accepts.",
            Self::TenantNotFound(_) => "Check the address.",
            Self::TenantPreparing(_) => "Try again in a few seconds.",
            Self::TenantSuspended(_) | Self::TenantGone(_) => "Ask the operator of this service.",
            Self::TenantMoved(_) => "Begin the transaction again.",
            Self::TenantBusy(_) => {
                "Try again; if it stays so, look for long transactions or raise the plan's `connections`."
            }
            Self::DatabaseUnavailable { .. } => "Try again; if it stays so, look at the cell.",
            Self::CredentialRefused { .. } => {
                "Look at the cell: `tenantry describe tenant` shows whether its login and seal have drifted."
            }
            Self::ControlPlaneUnavailable(_) => "Try again; see whether TENANTRY_URL is reachable from here.",
            Self::ControlPlaneRefused(_) => {
                "Check TENANTRY_URL, TENANTRY_ENVIRONMENT and the token, and whether the control plane is new enough."
            }
            Self::Statement(_) | Self::Commit(_) => "Look at the cause in the log.",
        }
    }

    /// Whether the tenant is gone for good: archived, deleted or never there.
    pub(crate) const fn is_final(&self) -> bool {
        matches!(self, Self::TenantGone(_) | Self::TenantNotFound(_) | Self::TenantMismatch(_))
    }

    /// Whether the tenant is not open at present.
    pub(crate) const fn is_shut(&self) -> bool {
        matches!(self, Self::TenantSuspended(_) | Self::TenantPreparing(_))
    }
}

/// Lost connections and lost races may fare better; the rest is a mistake in the statement or its values.
fn passing(error: &PgError) -> Option<u32> {
    match error.kind() {
        PgKind::Serialization => Some(1),
        PgKind::Unavailable | PgKind::Timeout | PgKind::TooManyConnections | PgKind::LockNotAvailable => Some(2),
        _ => None,
    }
}
