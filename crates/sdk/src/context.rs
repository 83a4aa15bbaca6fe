//! The tenant that the present task works for.
//!
//! INVARIANT: it belongs to one future and is gone when that ends, by success, error or cancellation. A task that was
//! spawned meanwhile does not inherit it: what outlives a request has to be told its tenant.

use std::future::Future;

use crate::error::Error;
use crate::tenant::Tenant;

tokio::task_local! {
    static CURRENT: Option<Tenant>;
}

/// The tenant of this request, job or block.
///
/// # Errors
/// [`Error::TenantScopeMissing`] outside of any.
pub fn current() -> Result<Tenant, Error> {
    CURRENT.try_with(Clone::clone).ok().flatten().ok_or(Error::TenantScopeMissing)
}

/// Runs a future for a tenant: for scripts and tests; requests and jobs have their context set for them.
///
/// # Errors
/// The tenant is not open.
pub async fn within<F: Future>(tenant: &Tenant, work: F) -> Result<F::Output, Error> {
    let tenant = tenant.clone().admitted()?;
    Ok(CURRENT.scope(Some(tenant), work).await)
}

pub(crate) async fn scope<F: Future>(tenant: Option<Tenant>, work: F) -> F::Output {
    CURRENT.scope(tenant, work).await
}

/// Polls something for a tenant.
pub(crate) fn poll<R>(tenant: &Tenant, work: impl FnOnce() -> R) -> R {
    CURRENT.sync_scope(Some(tenant.clone()), work)
}
