//! How a tenant's sealed transaction is begun, told by whoever knows the data plane.
//!
//! The probe must act exactly as the application does, so the caller gives it the application's own door.

use std::error::Error;
use std::future::Future;
use std::ops::Deref;

use tenantry_pg::{PgError, Session};

/// Why a canary tenant could not be entered.
#[derive(Debug, thiserror::Error)]
#[error("the canary tenant cannot be entered: {0}")]
pub struct EntryError(#[source] pub Box<dyn Error + Send + Sync>);

/// A way into one tenant's transactions.
pub trait Entry: Send + Sync {
    /// The open transaction.
    type Tx: Entered;

    /// Begins a transaction of the tenant.
    ///
    /// # Errors
    /// The tenant is not open, or the server is gone.
    fn enter(&self) -> impl Future<Output = Result<Self::Tx, EntryError>> + Send;
}

/// An open transaction of one tenant. Dropping it must undo it.
pub trait Entered: Deref<Target = Session> + Send + Sync {
    /// Makes its changes last.
    ///
    /// # Errors
    /// The server refused or is gone.
    fn keep(self) -> impl Future<Output = Result<(), PgError>> + Send;

    /// Undoes its changes and gives the session back.
    ///
    /// # Errors
    /// The server is gone, which undoes as well.
    fn undo(self) -> impl Future<Output = Result<(), PgError>> + Send;
}
