//! One tenant's transaction.
//!
//! A [`TenantTx`] exists only after `seal.enter` let it in, so whoever holds one reads and writes that tenant's rows
//! and no others, whatever SQL is run on it. It ends by [`TenantTx::commit`] or [`TenantTx::rollback`]; dropping it
//! closes the connection. Nothing of a session may be relied on beyond the transaction.

use std::ops::Deref;

use tenantry_domain::id::TenantId;
use tenantry_pg::{CommitError, PgError, PgKind, Session, Tx};

use crate::error::DataError;
use crate::router::Place;

/// Why no transaction of the tenant could be begun. Nothing was run.
#[derive(Debug, thiserror::Error)]
pub enum TenantTxError {
    /// The tenant is being prepared, suspended or archived.
    #[error("the tenant is not open")]
    Suspended,
    /// The tenant is not in this place.
    #[error("the tenant is not in this place")]
    Unknown,
    /// The tenant has been moved since the route was read; read it again.
    #[error("the tenant was moved; its route must be read again")]
    Stale,
    /// The database does not accept our login or our key.
    #[error("the database refused us: {0}")]
    Refused(PgError),
    /// All connections that this tenant may use are taken, and none became free in time.
    #[error("all connections of the tenant are in use")]
    Busy,
    /// So many callers of the tenant wait already that this one was not let into the line. Try again later.
    #[error("too many callers of the tenant wait for a connection")]
    Overloaded,
    /// The server cannot be reached, or has no connection left.
    #[error("the database is not available: {0}")]
    Unavailable(PgError),
    /// The space cannot be named on a PostgreSQL server.
    #[error(transparent)]
    Place(DataError),
    /// Anything else, which is a mistake of ours or of whoever changed our objects.
    #[error("the tenant's transaction could not be begun: {0}")]
    Failed(PgError),
}

impl From<PgError> for TenantTxError {
    fn from(error: PgError) -> Self {
        match (error.sqlstate(), error.kind()) {
            (Some("TN001"), _) => Self::Stale,
            (Some("TN002"), _) => Self::Suspended,
            (Some("TN003"), _) => Self::Unknown,
            // A database that is gone: the tenant was moved away or erased.
            (Some("3D000"), _) => Self::Unknown,
            // 55000: the backend was not armed, which no path of ours leaves so.
            (Some("55000"), _) | (_, PgKind::Permission) => Self::Refused(error),
            (_, PgKind::Timeout) => Self::Busy,
            (_, PgKind::Unavailable | PgKind::TooManyConnections) => Self::Unavailable(error),
            _ => Self::Failed(error),
        }
    }
}

/// An open transaction of one tenant.
pub struct TenantTx {
    tx: Tx,
    tenant: TenantId,
    /// Free again when the transaction is over.
    _place: Place,
}

impl TenantTx {
    pub(crate) fn new(tx: Tx, tenant: TenantId, place: Place) -> Self {
        Self { tx, tenant, _place: place }
    }

    /// Whose transaction this is.
    #[must_use]
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Makes everything of this transaction last.
    ///
    /// # Errors
    /// It was rolled back, or nobody knows; see [`CommitError`].
    pub async fn commit(self) -> Result<(), CommitError> {
        self.tx.commit().await
    }

    /// Undoes everything of this transaction.
    ///
    /// # Errors
    /// The server is gone, which undoes as well.
    pub async fn rollback(self) -> Result<(), PgError> {
        self.tx.rollback().await
    }
}

impl Deref for TenantTx {
    type Target = Session;
    fn deref(&self) -> &Session {
        &self.tx
    }
}
