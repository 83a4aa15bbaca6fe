//! The tenant of a request as a typed parameter of handlers.

use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use futures_util::Stream;

use crate::error::Error;
use crate::job::{Job, JobError, JobPolicy};
use crate::signed;
use crate::tenant::Tenant;
use crate::tenantry::Tenantry;
use crate::tx::TenantTx;
use crate::watch::{Scoped, Watch};

/// The tenant of this request. A handler that takes it cannot be called without one.
#[derive(Debug, Clone)]
pub struct CurrentTenant(Arc<Current>);

#[derive(Debug)]
struct Current {
    tenantry: Tenantry,
    tenant: Tenant,
    mount: String,
    context: Option<String>,
    trace: Option<String>,
}

impl CurrentTenant {
    pub(super) fn new(
        tenantry: Tenantry,
        tenant: Tenant,
        mount: String,
        context: Option<String>,
        trace: Option<String>,
    ) -> Self {
        Self(Arc::new(Current { tenantry, tenant, mount, context, trace }))
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.0.tenant
    }

    /// Begins a transaction of the tenant.
    ///
    /// # Errors
    /// As for [`Tenantry::begin`].
    pub async fn begin(&self) -> Result<TenantTx, Error> {
        self.0.tenantry.begin(&self.0.tenant).await
    }

    /// Begins a transaction that cannot write.
    ///
    /// # Errors
    /// As for [`Tenantry::begin`].
    pub async fn begin_read(&self) -> Result<TenantTx, Error> {
        self.0.tenantry.begin_read(&self.0.tenant).await
    }

    /// What the path lost before the application saw it (`/t/acme`), for links; empty when the path named nobody.
    #[must_use]
    pub fn mount(&self) -> &str {
        &self.0.mount
    }

    /// A stream that ends when the tenant's access does: for server-sent events.
    pub fn scope<S: Stream>(&self, stream: S) -> Scoped<S> {
        self.0.tenantry.scope(&self.0.tenant, stream)
    }

    /// Tells when the tenant's access ends.
    #[must_use]
    pub fn watch(&self) -> Watch {
        self.0.tenantry.watch(&self.0.tenant)
    }

    /// Makes a job of this tenant, linked to this request's trace.
    ///
    /// # Errors
    /// As for [`crate::Jobs::enqueue`].
    pub async fn enqueue<T>(&self, payload: T) -> Result<Job<T>, JobError> {
        let job = self.0.tenantry.jobs(JobPolicy::default()).enqueue(&self.0.tenant, payload).await?;
        Ok(job.with_trace(self.0.trace.clone()))
    }

    /// Name and value of the header by which another service is called for this tenant: the one that came with the
    /// request, or a new one.
    ///
    /// # Errors
    /// As for [`Tenantry::sign`].
    pub async fn downstream(&self) -> Result<(&'static str, String), Error> {
        match &self.0.context {
            Some(token) if self.0.tenantry.verify(token).await.is_ok() => Ok((signed::HEADER, token.clone())),
            _ => Ok((signed::HEADER, self.0.tenantry.sign(&self.0.tenant).await?)),
        }
    }
}

impl Deref for CurrentTenant {
    type Target = Tenant;
    fn deref(&self) -> &Tenant {
        &self.0.tenant
    }
}

impl<S: Sync> FromRequestParts<S> for CurrentTenant {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parts.extensions.get().cloned().ok_or(Error::TenantScopeMissing)
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for CurrentTenant {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get().cloned())
    }
}
