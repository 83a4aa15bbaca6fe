//! Who asks, for which environment, under which ids, at what time: the one value that every use case gets.

use tenantry_domain::id::{RequestId, TenantId};
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::policy::{self, Actor, Denial, Permit, Rights, Scope};
use tenantry_domain::{Timestamp, audit};

/// The circumstances of one call.
#[derive(Debug, Clone)]
pub struct Ctx {
    /// Who asks.
    pub actor: Actor,
    /// The person behind it; absent for machines, and where nobody says who it is.
    pub person: Option<String>,
    /// What it may do.
    pub rights: Rights,
    /// Where.
    pub environment: EnvironmentName,
    /// The call's own id.
    pub request_id: RequestId,
    /// The chain of calls that it belongs to.
    pub correlation_id: String,
    /// The moment that all decisions of the call are made at.
    pub now: Timestamp,
    /// The caller's promise that a repetition is the same request; absent when it made none.
    pub idempotency: Option<IdempotencyKey>,
}

/// A caller's idempotency key with what it was used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Method and path pattern.
    pub route: String,
    /// The key as sent.
    pub key: String,
    /// SHA-256 of path and canonical body.
    pub fingerprint: [u8; 32],
}

impl Ctx {
    /// Asks policy for an action on one tenant.
    ///
    /// # Errors
    /// The rule that refuses.
    pub fn permit(&self, action: &'static str, tenant: TenantId) -> Result<Permit, Denial> {
        policy::judge(&self.actor, &self.rights, action, Scope::tenant(self.environment.clone(), tenant))
    }

    /// Asks policy for an action on the environment.
    ///
    /// # Errors
    /// The rule that refuses.
    pub fn permit_environment(&self, action: &'static str) -> Result<Permit, Denial> {
        policy::judge(&self.actor, &self.rights, action, Scope::environment(self.environment.clone()))
    }

    /// Whether the caller has the right to an action, wherever. For what has to be found before it can be judged; what is
    /// found goes through [`Self::permit`] or [`Self::sees`].
    ///
    /// # Errors
    /// It has not.
    pub fn may(&self, action: &'static str) -> Result<(), Denial> {
        policy::may(&self.actor, &self.rights, action)
    }

    /// Whether the caller's own rights are asked for: always, but in the preview of somebody who may not apply, which is for
    /// whoever may.
    pub(crate) fn answers_for(&self, permit: &Permit) -> bool {
        permit.action() != "manifests.plan" || self.permit_environment("manifests.apply").is_ok()
    }

    /// Whether the caller may know of a tenant.
    #[must_use]
    pub fn sees(&self, tenant: TenantId) -> bool {
        self.rights.sees(tenant)
    }

    /// An audit entry of this call, to be filled in further.
    #[must_use]
    pub fn audit(&self, permit: &Permit, category: audit::Category, target: String) -> audit::Draft {
        audit::Draft {
            action: permit.action().to_owned(),
            category,
            outcome: audit::Outcome::Success,
            actor: self.actor.clone(),
            target,
            version: None,
            reason: None,
            request_id: self.request_id.to_string(),
            correlation_id: self.correlation_id.clone(),
            policy: permit.fingerprint().to_owned(),
            changes: serde_json::Value::Null,
        }
    }
}
