//! What can go wrong in the store, by cause. Constraint names of our tables are known here and nowhere else.

use tenantry_domain::Timestamp;
use tenantry_domain::gateway::LoginName;
use tenantry_domain::id::WorkflowId;
use tenantry_domain::tenant::Slug;
use tenantry_pg::{PgError, PgKind};

use crate::cursor::CursorError;

/// Why the store did not do what it was asked for. Nothing was changed, save for [`StoreError::UnknownOutcome`].
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A living tenant of the environment has this slug, or one that the eye takes for it.
    #[error("the name `{slug}` is taken")]
    SlugTaken {
        /// The wanted slug.
        slug: Slug,
    },
    /// The slug was released a short while ago.
    #[error("the name `{slug}` is blocked until {until}")]
    SlugQuarantined {
        /// The wanted slug.
        slug: Slug,
        /// When it can be had.
        until: Timestamp,
    },
    /// Another tenant is known by this id of another system.
    #[error("the external id `{system}:{id}` belongs to another tenant")]
    ExternalIdTaken {
        /// The other system.
        system: String,
        /// The id there.
        id: String,
    },
    /// Another tenant is known by this alias.
    #[error("the alias `{alias}` belongs to another tenant")]
    AliasTaken {
        /// The wanted alias.
        alias: String,
    },
    /// Another plan of the environment is the default.
    #[error("another plan is the default one")]
    DefaultTaken,
    /// A login of the gateway that is in use has this name, in this environment or another one.
    #[error("the name `{name}` of a login is taken")]
    LoginTaken {
        /// The wanted name.
        name: LoginName,
    },
    /// The change was made from a version that is no longer (or never was) the newest.
    #[error("version {current} is the newest")]
    StaleVersion {
        /// The newest version; 0 when the thing does not exist.
        current: i64,
    },
    /// There is no such row in the environment.
    #[error("there is no such thing in this environment")]
    NotFound,
    /// There is no such environment.
    #[error("there is no such environment")]
    EnvironmentNotFound,
    /// Another owner has taken the workflow over, or it has ended.
    #[error("the workflow is no longer held by this owner")]
    Fenced,
    /// The tenant has an unfinished workflow.
    #[error("workflow {id} is at work on the tenant")]
    WorkflowRunning {
        /// Which.
        id: WorkflowId,
    },
    /// The idempotency key came with another request before.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The first request with the idempotency key has not ended yet.
    #[error("a request with this idempotency key is running")]
    KeyInFlight,
    /// A hard quota of the tenant does not allow what was asked for.
    #[error(transparent)]
    QuotaUsedUp(#[from] crate::quotas::UsedUp),
    /// The cell has not enough places left.
    #[error("the cell has no room left")]
    NoCapacity,
    /// COMMIT was sent and its answer was lost: everything was stored or nothing. Resolve it by reading.
    #[error("it is not known whether the change was stored")]
    UnknownOutcome,
    /// An earlier call of the transaction failed, so nothing of it can be committed.
    #[error("an earlier call of the transaction had failed")]
    Aborted,
    /// A defect of the caller: a change without its audit entry, or an entry for a version that was not made.
    #[error("the change and its audit entries do not belong together")]
    Unaudited,
    /// Nobody asked the operator's rules; a defect of ours.
    #[error("the operator's rules were not asked")]
    Unruled,
    /// A defect of the caller: an event does not have the shape that its type promises. Looked for only where
    /// [`crate::Store::keep_contract`] was called.
    #[error("the event `{kind}` does not keep its contract: {why}")]
    OffContract {
        /// The event's type.
        kind: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A defect of the caller: a row is to be changed that this transaction has not locked.
    #[error("the row is not locked by this transaction")]
    NotLocked,
    /// A defect of the caller: the permit does not reach this tenant.
    #[error("the permit does not reach this far")]
    OutOfScope,
    /// The page token cannot be used.
    #[error("the page token cannot be used")]
    Cursor(#[from] CursorError),
    /// A stored value cannot be read by this release.
    #[error("a stored {what} cannot be read by this release")]
    Unreadable {
        /// What it should be.
        what: &'static str,
    },
    /// The database refused or cannot be reached; its kind says what to do.
    #[error("the control database")]
    Pg(#[from] PgError),
}

impl StoreError {
    /// Whether the database is away or overloaded, so that the same call may succeed a little later.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        let Self::Pg(error) = self else { return false };
        matches!(
            error.kind(),
            PgKind::Unavailable
                | PgKind::Timeout
                | PgKind::Serialization
                | PgKind::LockNotAvailable
                | PgKind::QueryCanceled
                | PgKind::DiskFull
                | PgKind::TooManyConnections
        )
    }

    /// The error of a statement that was a transaction of its own: without a plain answer nobody knows how it ended.
    pub(crate) fn of_lone_write(error: Self) -> Self {
        match error {
            Self::Pg(error) if error.kind() == PgKind::Unavailable => Self::UnknownOutcome,
            other => other,
        }
    }
}

impl tenantry_pg::Contended for StoreError {
    fn is_contended(&self) -> bool {
        matches!(self, Self::Pg(error) if error.is_contended())
    }
}

/// SQLSTATEs that our own statements raise through `tenantry.require`.
pub(crate) mod state {
    /// Another request with the same idempotency key was faster.
    pub(crate) const KEY_IN_FLIGHT: &str = "TN110";
    /// The new slug is in quarantine.
    pub(crate) const QUARANTINED: &str = "TN111";
}
