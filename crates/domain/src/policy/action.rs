//! The catalog of actions: everything that somebody can be allowed or refused, by name.
//!
//! A name is `noun.verb` and never changes once released: it stands in audit entries, in scopes of tokens and in rules.

use serde::{Deserialize, Serialize};

/// What an action does to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// Nothing changes.
    Read,
    /// Something changes, and can be changed back.
    Write,
    /// Something is lost, or gets out of reach.
    Destructive,
}

/// What an action is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reach {
    /// The environment, or all of its tenants.
    Environment,
    /// One tenant. Rights that are bound to a tenant hold for these alone, and only there.
    Tenant,
}

/// One action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action {
    /// `tenant.suspend`.
    pub name: &'static str,
    /// What it does.
    pub effect: Effect,
    /// What it is about.
    pub reach: Reach,
}

impl Action {
    /// The action of a name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        ACTIONS.binary_search_by(|action| action.name.cmp(name)).ok().and_then(|place| ACTIONS.get(place))
    }

    /// The part before the dot.
    #[must_use]
    pub fn noun(&self) -> &'static str {
        self.name.split('.').next().unwrap_or(self.name)
    }
}

macro_rules! actions {
    ($($name:literal $effect:ident $reach:ident;)*) => {
        /// All actions, by name.
        pub const ACTIONS: &[Action] =
            &[$(Action { name: $name, effect: Effect::$effect, reach: Reach::$reach }),*];
    };
}

actions! {
    "access.approve" Write Tenant;
    "access.end" Write Tenant;
    "access.open" Write Tenant;
    "access.read" Read Tenant;
    "access.request" Write Tenant;
    "access.review" Write Tenant;
    "approval.give" Write Tenant;
    "approval.read" Read Tenant;
    "approval.withdraw" Write Tenant;
    "audit.read" Read Tenant;
    "audit.verify" Read Environment;
    "caller.read" Read Tenant;
    "catalog.delete" Destructive Environment;
    "catalog.read" Read Environment;
    "catalog.write" Write Environment;
    "credential.issue" Write Tenant;
    "directory.claim" Write Tenant;
    "directory.read" Read Tenant;
    "directory.set" Write Tenant;
    "domain.read" Read Tenant;
    "domain.verify" Write Tenant;
    "event.read" Read Tenant;
    "flag.delete" Destructive Environment;
    "flag.evaluate" Read Tenant;
    "flag.read" Read Environment;
    "flag.set" Write Environment;
    "flag.use" Write Tenant;
    "gateway.login.create" Write Tenant;
    "gateway.login.read" Read Tenant;
    "gateway.login.revoke" Destructive Tenant;
    "gateway.login.rotate" Write Tenant;
    "identity.connect" Write Tenant;
    "identity.disconnect" Write Tenant;
    "identity.read" Read Tenant;
    "incident.open" Write Environment;
    "incident.read" Read Tenant;
    "incident.update" Write Environment;
    "invitation.accept" Write Tenant;
    "invitation.create" Write Tenant;
    "invitation.decline" Write Tenant;
    "invitation.read" Read Tenant;
    "invitation.resend" Write Tenant;
    "invitation.withdraw" Write Tenant;
    "isolation.read" Read Environment;
    "isolation.run" Write Environment;
    "limit.take" Write Tenant;
    "manifests.apply" Write Environment;
    "manifests.plan" Read Environment;
    "member.accept" Write Tenant;
    "member.act" Write Tenant;
    "member.add" Write Tenant;
    "member.import" Write Tenant;
    "member.offer" Write Tenant;
    "member.read" Read Tenant;
    "member.remove" Destructive Tenant;
    "member.update" Write Tenant;
    "metrics.read" Read Environment;
    "notification.read" Read Environment;
    "operation.cancel" Write Environment;
    "operation.read" Read Environment;
    "operation.retry" Write Environment;
    "placement.explain" Read Environment;
    "plan.upgrade" Write Environment;
    "policy.read" Read Environment;
    "quota.commit" Write Tenant;
    "quota.read" Read Tenant;
    "quota.release" Write Tenant;
    "quota.reserve" Write Tenant;
    "quota.set" Write Tenant;
    "quota.take" Write Tenant;
    "role.delete" Destructive Tenant;
    "role.read" Read Tenant;
    "role.set" Write Tenant;
    "rollout.cancel" Write Environment;
    "rollout.continue" Write Environment;
    "rollout.pause" Write Environment;
    "rollout.read" Read Environment;
    "rollout.run" Write Environment;
    "scim.read" Read Tenant;
    "scim.write" Write Tenant;
    "stream.forget" Destructive Environment;
    "stream.read" Read Environment;
    "tenant.activate" Write Tenant;
    "tenant.archive" Destructive Tenant;
    "tenant.create" Write Environment;
    "tenant.delete" Destructive Tenant;
    "tenant.enter" Read Tenant;
    "tenant.read" Read Tenant;
    "tenant.resolve" Read Environment;
    "tenant.restore" Write Tenant;
    "tenant.resume" Write Tenant;
    "tenant.rollback" Write Tenant;
    "tenant.route" Read Tenant;
    "tenant.suspend" Write Tenant;
    "tenant.undelete" Write Tenant;
    "tenant.update" Write Tenant;
    "token.adopt" Write Environment;
    "token.issue" Write Tenant;
    "token.read" Read Tenant;
    "token.revoke" Destructive Tenant;
    "token.rotate" Write Tenant;
    "usage.read" Read Tenant;
    "usage.write" Write Tenant;
    "webhook.create" Write Tenant;
    "webhook.delete" Destructive Tenant;
    "webhook.disable" Write Tenant;
    "webhook.enable" Write Tenant;
    "webhook.read" Read Tenant;
    "webhook.redrive" Write Tenant;
    "webhook.replay" Write Tenant;
    "webhook.rotate" Write Tenant;
    "webhook.test" Write Tenant;
    "webhook.update" Write Tenant;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_of_one_form() {
        for pair in ACTIONS.windows(2) {
            assert!(pair[0].name < pair[1].name, "{}", pair[1].name);
        }
        for action in ACTIONS {
            assert_eq!(Action::find(action.name), Some(action));
            assert!(action.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'.'), "{}", action.name);
            assert!(action.name.contains('.') && action.noun() != action.name);
        }
        assert_eq!(Action::find("tenant"), None);
    }
}
