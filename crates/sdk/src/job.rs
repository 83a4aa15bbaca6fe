//! Jobs of tenants, for any queue: the tenant travels in the envelope and is looked at again when the job starts.
//!
//! INVARIANT: a job runs only inside of a transaction that its tenant was let into, so the database has the last word
//! also about what changed after the look. The generation is a hint: a job outlives a move.

use std::future::Future;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tenantry_domain::id::TenantId;
use tracing::Instrument as _;

use crate::context;
use crate::error::{Error, Mismatch};
use crate::known::Look;
use crate::sources::Sources;
use crate::span;
use crate::tenant::{State, Tenant};
use crate::tenantry::Tenantry;
use crate::tx::TenantTx;

/// After how many seconds a job that is held should be tried again.
pub const HOLD_SECONDS: u32 = 30;

/// A job as it is queued: its own payload, and whose it is. It cannot be made, or read, without a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job<T> {
    tenant: TenantId,
    generation: i64,
    /// What the job is about.
    pub payload: T,
    enqueued_at: Timestamp,
    /// The `traceparent` of the request that enqueued it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

impl<T> Job<T> {
    /// Whose it is.
    #[must_use]
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The placement's generation when it was enqueued.
    #[must_use]
    pub const fn generation(&self) -> i64 {
        self.generation
    }

    /// When it was enqueued.
    #[must_use]
    pub const fn enqueued_at(&self) -> Timestamp {
        self.enqueued_at
    }

    /// The same job, linked to a trace.
    #[must_use]
    pub fn with_trace(mut self, trace: Option<String>) -> Self {
        self.trace = trace;
        self
    }
}

/// What happens to jobs of tenants that are suspended or being prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnSuspended {
    /// They are taken, and wait until the tenant is open again.
    #[default]
    Hold,
    /// They are refused, at both ends.
    Refuse,
}

/// How jobs are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JobPolicy {
    /// Jobs of tenants that are not open at present.
    pub suspended: OnSuspended,
    /// The one tenant whose jobs this worker runs; absent means everybody's.
    pub only: Option<TenantId>,
}

/// Why a job does not run, at either end.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Never: its tenant is archived, deleted, of another worker, or not open and the policy says so.
    #[error("the job is refused: {0}")]
    Refused(Error),
    /// Not now, and not because of the tenant: try again.
    #[error("the job cannot be judged now: {0}")]
    Unavailable(Error),
}

/// What became of a job.
#[derive(Debug)]
pub enum Outcome<V, E> {
    /// It ran to its end.
    Done(V),
    /// Its tenant is not open at present. Put it back, and try again after `retry_after` seconds.
    Held {
        /// Why.
        cause: Error,
        /// After how many seconds.
        retry_after: u32,
    },
    /// It can never run. Drop it, or keep it for inspection.
    Refused(Error),
    /// It did not begin, and not because of the tenant: try again.
    Retry(Error),
    /// It began, and gave up by itself. Its transaction was undone unless it had committed.
    Failed(E),
}

/// The two ends of a queue of jobs.
#[derive(Debug, Clone)]
pub struct Jobs {
    tenantry: Tenantry,
    policy: JobPolicy,
}

impl Tenantry {
    /// Jobs of this environment's tenants.
    #[must_use]
    pub fn jobs(&self, policy: JobPolicy) -> Jobs {
        Jobs { tenantry: self.clone(), policy }
    }
}

impl Jobs {
    /// Makes a job of a tenant, to be put into whatever queue there is.
    ///
    /// # Errors
    /// [`JobError::Refused`] if it would never run: the tenant is archived or deleted, or suspended and the policy refuses
    /// that.
    pub async fn enqueue<T>(&self, tenant: &Tenant, payload: T) -> Result<Job<T>, JobError> {
        let known = match self.tenantry.resolve(&Sources::id(tenant.id()), Look::Fresh).await {
            Ok(known) => known,
            Err(error) if error.is_final() => return Err(JobError::Refused(error)),
            Err(error) => return Err(JobError::Unavailable(error)),
        };
        if let Some(verdict) = self.shut(&known) {
            match verdict {
                Shut::Held(_) => {}
                Shut::Refused(error) => return Err(JobError::Refused(error)),
            }
        }
        let (tenant, generation) = (known.id(), known.generation());
        Ok(Job { tenant, generation, payload, enqueued_at: Timestamp::now(), trace: None })
    }

    /// Runs a job: looks at its tenant anew, begins a transaction of it and hands that to `work`, which commits it.
    pub async fn run<T, V, E, F>(&self, job: Job<T>, work: impl FnOnce(TenantTx, T) -> F) -> Outcome<V, E>
    where
        F: Future<Output = Result<V, E>>,
    {
        let Job { tenant: id, payload, trace, .. } = job;
        if self.policy.only.is_some_and(|only| only != id) {
            return Outcome::Refused(Error::TenantMismatch(Mismatch::Job));
        }
        let tenant = match self.tenantry.resolve(&Sources::id(id), Look::Fresh).await {
            Ok(tenant) => tenant,
            Err(error) => return self.verdict(error),
        };
        match self.shut(&tenant) {
            None => {}
            Some(Shut::Held(cause)) => return Outcome::Held { cause, retry_after: HOLD_SECONDS },
            Some(Shut::Refused(cause)) => return Outcome::Refused(cause),
        }
        let span = span::job(&tenant, trace.as_deref());
        let run = async {
            match self.tenantry.begin(&tenant).await {
                Ok(tx) => match work(tx, payload).await {
                    Ok(value) => Outcome::Done(value),
                    Err(error) => Outcome::Failed(error),
                },
                Err(error) => self.verdict(error),
            }
        };
        context::scope(Some(tenant.clone()), run).instrument(span).await
    }

    /// What follows from a tenant's state; nothing for an open one.
    fn shut(&self, tenant: &Tenant) -> Option<Shut> {
        let error = tenant.clone().admitted().err()?;
        let waits = tenant.state() != State::Archived && self.policy.suspended == OnSuspended::Hold;
        Some(if waits { Shut::Held(error) } else { Shut::Refused(error) })
    }

    fn verdict<V, E>(&self, error: Error) -> Outcome<V, E> {
        if error.is_final() {
            return Outcome::Refused(error);
        }
        match (error.is_shut(), self.policy.suspended) {
            (true, OnSuspended::Hold) => Outcome::Held { cause: error, retry_after: HOLD_SECONDS },
            (true, OnSuspended::Refuse) => Outcome::Refused(error),
            (false, _) => Outcome::Retry(error),
        }
    }
}

enum Shut {
    Held(Error),
    Refused(Error),
}
