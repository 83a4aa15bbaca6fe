//! Governance before action: every mutation is judged first, and the judgement is a value.
//!
//! A [`Permit`] can be made only by [`judge`], so a function that takes one cannot be reached without a verdict.
//! The shipped rule set permits what the lifecycle permits and records every decision; bundles of the operator's
//! own rules plug in at [`judge`] and nowhere else.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::TenantId;
use crate::name::EnvironmentName;

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Actor {
    /// What sort of principal.
    pub kind: ActorKind,
    /// Its id inside the sort: a token's public part, a controller's name.
    pub id: String,
}

/// Sorts of principals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ActorKind {
    /// A person of the operator, by a token of theirs.
    Operator,
    /// A machine of the operator.
    Service,
    /// A controller or workflow of ours.
    Controller,
    /// A caller that could not be identified.
    Anonymous,
}

impl Actor {
    /// A controller of ours.
    #[must_use]
    pub fn controller(name: &str) -> Self {
        Self { kind: ActorKind::Controller, id: name.to_owned() }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ActorKind::Operator => "operator",
            ActorKind::Service => "service",
            ActorKind::Controller => "controller",
            ActorKind::Anonymous => "anonymous",
        };
        write!(f, "{kind}:{}", self.id)
    }
}

/// What a permit reaches.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scope {
    /// The partition.
    pub environment: EnvironmentName,
    /// One tenant of it, or all of the partition when absent.
    pub tenant: Option<TenantId>,
}

impl Scope {
    /// The whole of an environment.
    #[must_use]
    pub const fn environment(environment: EnvironmentName) -> Self {
        Self { environment, tenant: None }
    }

    /// One tenant.
    #[must_use]
    pub const fn tenant(environment: EnvironmentName, tenant: TenantId) -> Self {
        Self { environment, tenant: Some(tenant) }
    }
}

/// The proof that an action was judged and allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    actor: Actor,
    action: &'static str,
    scope: Scope,
    fingerprint: &'static str,
}

impl Permit {
    /// Who may act.
    #[must_use]
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// What may be done.
    #[must_use]
    pub const fn action(&self) -> &'static str {
        self.action
    }

    /// Where.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Which rules allowed it; audit entries carry it.
    #[must_use]
    pub const fn fingerprint(&self) -> &'static str {
        self.fingerprint
    }
}

/// A refusal by rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rule `{rule}` refuses `{action}`")]
pub struct Denial {
    /// The rule's name.
    pub rule: &'static str,
    /// What was asked for.
    pub action: &'static str,
    /// What the caller can do about it.
    pub remedy: &'static str,
}

/// Name and version of the shipped rules.
pub const FINGERPRINT: &str = "builtin/v1";

/// Judges an action.
///
/// # Errors
/// The rule that refuses.
pub fn judge(actor: &Actor, action: &'static str, scope: Scope) -> Result<Permit, Denial> {
    if actor.kind == ActorKind::Anonymous {
        return Err(Denial { rule: "identified-callers-only", action, remedy: "Send a valid token." });
    }
    Ok(Permit { actor: actor.clone(), action, scope, fingerprint: FINGERPRINT })
}

/// The permit under which controllers carry out what was permitted when a manifest was accepted. Policy is not
/// asked again between the steps of a run; a rule that changes meanwhile is honoured by the next request.
#[must_use]
pub fn controller(action: &'static str, scope: Scope) -> Permit {
    Permit { actor: Actor::controller("executor"), action, scope, fingerprint: FINGERPRINT }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unidentified_caller_gets_no_permit() {
        let scope = Scope::environment(EnvironmentName::parse("prod").unwrap());
        let anonymous = Actor { kind: ActorKind::Anonymous, id: String::new() };
        assert!(judge(&anonymous, "tenant.create", scope.clone()).is_err());
        let permit = judge(&Actor::controller("activation"), "tenant.create", scope).unwrap();
        assert_eq!(permit.fingerprint(), FINGERPRINT);
    }
}
