//! One tenant's transaction, and the place it holds.

use std::fmt;
use std::ops::Deref;

use tenantry_pg::Session;

use crate::admission::Place;
use crate::error::Error;
use crate::tenant::Tenant;

/// An open transaction of one tenant: whatever SQL is run on it reads and writes that tenant's rows and no others.
///
/// It dereferences to the session, which has the queries. It ends by [`TenantTx::commit`] or [`TenantTx::rollback`];
/// dropping it closes the connection, which undoes everything. Nothing of a session may be relied on beyond it.
#[must_use = "a transaction that is dropped is undone, and its connection is closed"]
pub struct TenantTx {
    tx: tenantry_dataplane::TenantTx,
    tenant: Tenant,
    /// After the transaction: the place is free once the connection is.
    _place: Place,
}

impl TenantTx {
    pub(crate) const fn new(tx: tenantry_dataplane::TenantTx, tenant: Tenant, place: Place) -> Self {
        Self { tx, tenant, _place: place }
    }

    /// Whose transaction this is.
    #[must_use]
    pub const fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Makes everything of this transaction last.
    ///
    /// # Errors
    /// [`Error::Commit`]: it was rolled back, because a statement had failed before or the server refused; or the answer
    /// was lost and nobody knows.
    pub async fn commit(self) -> Result<(), Error> {
        self.tx.commit().await.map_err(Error::Commit)
    }

    /// Undoes everything of this transaction, and keeps its connection for the next one.
    ///
    /// # Errors
    /// The server is gone, which undoes as well.
    pub async fn rollback(self) -> Result<(), Error> {
        self.tx.rollback().await.map_err(Error::Statement)
    }
}

impl Deref for TenantTx {
    type Target = Session;
    fn deref(&self) -> &Session {
        &self.tx
    }
}

impl fmt::Debug for TenantTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantTx({})", self.tenant.slug())
    }
}
