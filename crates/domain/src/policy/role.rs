//! Platform roles: what people and machines of the operator may do. Roles inside a tenant are another matter, see
//! [`crate::member`]; nobody has a platform role by being somebody's customer.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::action::{Action, Effect};

/// A bundle of allowed actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Everything, tokens and rules included.
    Admin,
    /// Runs tenants: everything but tokens of others, rules, answers to emergency access, and what lets somebody into a
    /// tenant's data. It adds a tenant's first owner, and nobody to a tenant that has members
    /// ([`super::Rights::adds_anybody`]). Operators approve for each other what a rule holds up.
    Operator,
    /// Helps customers: reads, takes tenants in and out of service, asks for emergency access.
    Support,
    /// Reads everything, changes nothing.
    Auditor,
    /// Reads tenants, plans and what they use.
    Finance,
    /// A pipeline: applies manifests and rolls versions out.
    Deployer,
    /// The backend of the operator's own product.
    Application,
    /// A proxy that asks whose request it has.
    Proxy,
    /// A collector of figures.
    Monitor,
    /// A customer's own machine. Good for one tenant alone.
    Tenant,
}

impl Role {
    /// Every role, the most powerful first.
    pub const ALL: [Self; 10] = [
        Self::Admin,
        Self::Operator,
        Self::Support,
        Self::Auditor,
        Self::Finance,
        Self::Deployer,
        Self::Application,
        Self::Proxy,
        Self::Monitor,
        Self::Tenant,
    ];

    /// Its name in manifests, requests and rules.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Support => "support",
            Self::Auditor => "auditor",
            Self::Finance => "finance",
            Self::Deployer => "deployer",
            Self::Application => "application",
            Self::Proxy => "proxy",
            Self::Monitor => "monitor",
            Self::Tenant => "tenant",
        }
    }

    /// The role of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }

    /// Whether it allows an action.
    #[must_use]
    pub fn allows(self, action: &Action) -> bool {
        // What is known of a caller is no secret from itself.
        if action.name == "caller.read" {
            return true;
        }
        let is_read = action.effect == Effect::Read;
        match self {
            Self::Admin => true,
            Self::Operator => {
                is_read
                    || !matches!(action.noun(), "token" | "policy" | "access") && !opens_data(action)
                    || matches!(action.name, "access.request" | "access.open" | "access.end")
            }
            Self::Support => {
                is_read && action.name != "token.read"
                    || matches!(
                        action.name,
                        "access.request"
                            | "access.open"
                            | "access.end"
                            | "domain.verify"
                            | "invitation.resend"
                            | "isolation.run"
                            | "operation.retry"
                            | "tenant.resume"
                            | "tenant.suspend"
                    )
            }
            Self::Auditor => is_read,
            Self::Finance => {
                matches!(
                    action.name,
                    "catalog.read" | "event.read" | "flag.read" | "quota.read" | "tenant.read" | "usage.read"
                )
            }
            Self::Deployer => {
                matches!(action.noun(), "manifests" | "rollout")
                    || is_read && matches!(action.noun(), "catalog" | "operation" | "tenant" | "isolation" | "event")
                    || action.noun() == "tenant" && action.effect == Effect::Write
                    || matches!(action.name, "catalog.write" | "operation.cancel" | "operation.retry")
            }
            Self::Application => {
                matches!(
                    action.noun(),
                    "directory"
                        | "limit"
                        | "quota"
                        | "member"
                        | "invitation"
                        | "role"
                        | "flag"
                        | "placement"
                        | "usage"
                        | "webhook"
                ) && !matches!(action.name, "flag.set" | "flag.delete" | "quota.set")
                    || matches!(action.name, "credential.issue" | "tenant.create")
                    || is_read
                        && matches!(
                            action.noun(),
                            "catalog" | "domain" | "event" | "identity" | "incident" | "operation" | "tenant"
                        )
            }
            Self::Proxy => action.name == "tenant.resolve",
            Self::Monitor => action.name == "metrics.read",
            Self::Tenant => {
                matches!(action.noun(), "directory" | "member" | "invitation" | "role" | "scim" | "webhook")
                    && action.name != "member.act"
                    || matches!(action.name, "flag.evaluate" | "gateway.login.rotate" | "quota.read" | "usage.read")
                    || is_read
                        && matches!(action.noun(), "domain" | "event" | "identity" | "incident" | "tenant" | "access")
                    || action.name == "audit.read"
            }
        }
    }
}

/// Whether whoever does it holds a secret afterwards that leads to a tenant's rows, or says who signs in there and as what:
/// whoever says that can say it of itself. Webhooks are none of it: what they carry is in the events, which operators read.
fn opens_data(action: &Action) -> bool {
    matches!(
        action.name,
        "credential.issue"
            | "directory.claim"
            | "directory.set"
            | "gateway.login.create"
            | "gateway.login.rotate"
            | "identity.connect"
            | "invitation.create"
            | "member.import"
            | "member.update"
            | "scim.write"
    )
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::action::ACTIONS;

    #[test]
    fn nobody_below_admin_rules_over_rights() {
        for role in Role::ALL.into_iter().filter(|role| *role != Role::Admin) {
            for action in ACTIONS.iter().filter(|action| action.effect != Effect::Read) {
                let is_rule = matches!(action.noun(), "token" | "policy") || action.name == "access.approve";
                assert!(!(is_rule && role.allows(action)), "{role} {}", action.name);
            }
        }
    }

    /// Written out, so that a role cannot be widened together with what it is measured by.
    #[test]
    fn who_runs_tenants_is_not_let_into_their_data_by_that() {
        let leading = [
            "access.approve",
            "credential.issue",
            "directory.claim",
            "directory.set",
            "gateway.login.create",
            "gateway.login.rotate",
            "identity.connect",
            "invitation.create",
            "member.import",
            "member.update",
            "scim.write",
            "token.adopt",
            "token.issue",
            "token.rotate",
        ];
        for name in leading {
            let action = Action::find(name).unwrap_or_else(|| panic!("{name} is no action"));
            assert!(Role::Admin.allows(action), "{name}");
            for role in [Role::Operator, Role::Support, Role::Auditor, Role::Finance, Role::Deployer, Role::Monitor] {
                assert!(!role.allows(action), "{role} {name}");
            }
        }
    }

    #[test]
    fn who_reads_changes_nothing() {
        for role in [Role::Auditor, Role::Finance, Role::Proxy, Role::Monitor] {
            for action in ACTIONS.iter().filter(|action| action.effect != Effect::Read) {
                assert!(!role.allows(action), "{role} {}", action.name);
            }
        }
    }

    #[test]
    fn names_round_trip() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
        assert_eq!(Role::parse("root"), None);
    }
}
