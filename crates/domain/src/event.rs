//! The facts that the world may know: typed events of the outbox.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! events {
    ($(#[doc = $doc:literal] $name:ident = $text:literal;)*) => {
        /// The type of an event. Its payload's shape is versioned apart.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Type { $(#[doc = $doc] #[serde(rename = $text)] $name),* }

        impl Type {
            /// All types.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The type's name, `noun.participle`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// What happened, in a sentence for documents.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self { $(Self::$name => $doc.trim_ascii()),* }
            }
        }
    };
}

events! {
    /// A record exists.
    TenantCreated = "tenant.created";
    /// Served for the first time.
    TenantActivated = "tenant.activated";
    /// Access taken away.
    TenantSuspended = "tenant.suspended";
    /// Served again after a suspension.
    TenantResumed = "tenant.resumed";
    /// Retired.
    TenantArchived = "tenant.archived";
    /// Served again after an archive.
    TenantRestored = "tenant.restored";
    /// Gone.
    TenantDeleted = "tenant.deleted";
    /// A new version of the desired state.
    TenantUpdated = "tenant.updated";
    /// A place was chosen.
    PlacementDecided = "placement.decided";
    /// Another plan was bound.
    PlanChanged = "plan.changed";
    /// The plan that was bound is in effect.
    PlanApplied = "plan.applied";
    /// A workflow began.
    OperationStarted = "operation.started";
    /// A step of a workflow is done.
    OperationProgressed = "operation.progressed";
    /// A workflow completed.
    OperationCompleted = "operation.completed";
    /// A workflow was unwound.
    OperationFailed = "operation.failed";
    /// A workflow needs a human.
    OperationStuck = "operation.stuck";
    /// The data plane deviates from the registry.
    DriftDetected = "drift.detected";
    /// The deviation was put right.
    DriftRepaired = "drift.repaired";
    /// A new version of an app is on its way to its targets.
    RolloutStarted = "rollout.started";
    /// Targets of it began or ended.
    RolloutProgressed = "rollout.progressed";
    /// All targets of one wave have ended.
    RolloutWaveCompleted = "rollout.wave_completed";
    /// It stands still: a target failed, or somebody stopped it.
    RolloutHalted = "rollout.halted";
    /// It goes on.
    RolloutContinued = "rollout.continued";
    /// All targets have ended, or it was given up.
    RolloutCompleted = "rollout.completed";
    /// The guard found a way from one tenant to another: at least one new critical or high finding at a place.
    IsolationFindingOpened = "isolation.finding.opened";
    /// Critical or high findings of a place are not found any more.
    IsolationFindingClosed = "isolation.finding.closed";
    /// A tenant's own domain is proven and names it.
    DomainVerified = "domain.verified";
    /// The proof of a tenant's own domain is gone; it names nobody.
    DomainLost = "domain.lost";
    /// A login of the gateway was made.
    GatewayLoginCreated = "gateway.login.created";
    /// A login of the gateway has a new password; the old one ends.
    GatewayLoginRotated = "gateway.login.rotated";
    /// A login of the gateway was taken back.
    GatewayLoginRevoked = "gateway.login.revoked";
    /// Somebody of the operator asks for emergency access to the tenant's data.
    AccessRequested = "access.requested";
    /// Somebody else agreed; it holds from now on.
    AccessGranted = "access.granted";
    /// Somebody said no.
    AccessRefused = "access.refused";
    /// Whoever asked got a login.
    AccessOpened = "access.opened";
    /// It was ended early.
    AccessEnded = "access.ended";
    /// Somebody else looked at what was done.
    AccessReviewed = "access.reviewed";
    /// A feature flag has another value for somebody.
    FlagUpdated = "flag.updated";
    /// A feature is off for everybody, by its emergency switch, or on again.
    FlagSwitched = "flag.switched";
    /// A tenant's use of a quota has reached the warning mark.
    QuotaWarning = "quota.warning";
    /// A tenant's use of a quota is above the limit, or something was refused at it.
    QuotaExceeded = "quota.exceeded";
    /// An hour of a meter of a tenant has closed, or what it came to has changed since it was told.
    UsageReported = "usage.reported";
    /// Somebody was invited to a tenant.
    MemberInvited = "member.invited";
    /// Somebody is a member of a tenant.
    MemberJoined = "member.joined";
    /// Somebody is a member of a tenant no more.
    MemberRemoved = "member.removed";
    /// A member has another role.
    MemberRoleChanged = "member.role_changed";
    /// The tenant has a pool of its own at the identity provider.
    IdentityPoolCreated = "identity.pool.created";
    /// Nobody signs in to the tenant's pool any more; its accounts are kept.
    IdentityPoolDisabled = "identity.pool.disabled";
    /// People sign in to the tenant's pool again.
    IdentityPoolEnabled = "identity.pool.enabled";
    /// The tenant's pool is gone, with all its accounts.
    IdentityPoolDeleted = "identity.pool.deleted";
    /// An endpoint of webhooks was made.
    WebhookEndpointCreated = "webhook.endpoint.created";
    /// An endpoint of webhooks is somewhere else, or wants something else.
    WebhookEndpointUpdated = "webhook.endpoint.updated";
    /// An endpoint of webhooks has a new secret; the old one ends.
    WebhookEndpointRotated = "webhook.endpoint.rotated";
    /// An endpoint of webhooks gets events again.
    WebhookEndpointEnabled = "webhook.endpoint.enabled";
    /// An endpoint of webhooks gets nothing any more: somebody wanted that, it is gone, or it failed for days.
    WebhookEndpointDisabled = "webhook.endpoint.disabled";
    /// An endpoint of webhooks was removed.
    WebhookEndpointDeleted = "webhook.endpoint.deleted";
    /// Something is wrong with the service, and whom it concerns is told.
    IncidentOpened = "incident.opened";
    /// There is news of an incident.
    IncidentUpdated = "incident.updated";
    /// An incident is over.
    IncidentResolved = "incident.resolved";
    /// A plan, region, cell or app changed.
    CatalogUpdated = "catalog.updated";
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An event before it gets its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What happened.
    pub kind: Type,
    /// The payload, without ids that the envelope carries.
    pub data: serde_json::Value,
}

impl Draft {
    /// An event with a payload.
    #[must_use]
    pub const fn new(kind: Type, data: serde_json::Value) -> Self {
        Self { kind, data }
    }
}
