//! Governance before action: every mutation is judged first, and the judgement is a value.
//!
//! A [`Permit`] can be made only by [`judge`], so a function that takes one cannot be reached without a verdict.
//! Here it is judged whether somebody has the right ([`rights`]); whether the operator's rules let it happen now is
//! another question, and only ever takes away.

pub mod action;
pub mod grant;
pub mod rights;
pub mod role;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::TenantId;
use crate::name::EnvironmentName;

pub use action::{ACTIONS, Action, Effect, Reach};
pub use rights::{Pattern, Rights};
pub use role::Role;

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
    /// A person or machine of a tenant.
    User,
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

impl fmt::Display for ActorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operator => "operator",
            Self::Service => "service",
            Self::Controller => "controller",
            Self::User => "user",
            Self::Anonymous => "anonymous",
        })
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.id)
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
    is_ours: bool,
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

    /// Whether it is a controller's. What a caller's permit is for is put to the operator's rules as well before it lasts.
    #[must_use]
    pub const fn is_ours(&self) -> bool {
        self.is_ours
    }
}

/// A refusal by rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rule `{rule}` refuses `{action}`")]
pub struct Denial {
    /// The rule's name.
    pub rule: String,
    /// What was asked for.
    pub action: &'static str,
    /// What the caller can do about it.
    pub remedy: String,
    /// The tenant whose existence is not to be told; absent where nothing is hidden.
    pub hidden: Option<TenantId>,
}

/// Name and version of the shipped rules.
pub const FINGERPRINT: &str = "builtin/v1";

/// Judges whether an actor has the right to an action.
///
/// # Errors
/// The rule that refuses.
pub fn judge(actor: &Actor, rights: &Rights, action: &'static str, scope: Scope) -> Result<Permit, Denial> {
    let hidden = scope.tenant.filter(|tenant| !rights.sees(*tenant));
    may(actor, rights, action)?;
    if hidden.is_some() {
        let remedy = "Ask for the tenant that the token is for.".to_owned();
        return Err(Denial { rule: "own-tenant-only".to_owned(), action, remedy, hidden });
    }
    if rights.tenant.is_some() && scope.tenant.is_none() {
        let remedy = "Use a token that is not bound to one tenant.".to_owned();
        return Err(Denial { rule: "own-tenant-only".to_owned(), action, remedy, hidden: None });
    }
    Ok(Permit { actor: actor.clone(), action, scope, fingerprint: FINGERPRINT, is_ours: false })
}

/// Judges whether an actor has the right to an action on something, whatever that turns out to be. No permit: what is found
/// is to be judged as well.
///
/// # Errors
/// The rule that refuses.
pub fn may(actor: &Actor, rights: &Rights, action: &'static str) -> Result<(), Denial> {
    if actor.kind == ActorKind::Anonymous {
        let (rule, remedy) = ("identified-callers-only".to_owned(), "Send a valid token.".to_owned());
        return Err(Denial { rule, action, remedy, hidden: None });
    }
    if !rights.allows(action) {
        let remedy = Rights::remedy(action);
        return Err(Denial { rule: format!("right:{action}"), action, remedy, hidden: None });
    }
    Ok(())
}

/// The permit under which controllers carry out what was permitted when a manifest was accepted. Policy is not
/// asked again between the steps of a run; a rule that changes meanwhile is honoured by the next request.
#[must_use]
pub fn controller(action: &'static str, scope: Scope) -> Permit {
    carried(Actor::controller("executor"), action, scope)
}

/// The permit under which something is carried out, in somebody's name, that was judged and ruled on before.
#[must_use]
pub fn carried(actor: Actor, action: &'static str, scope: Scope) -> Permit {
    Permit { actor, action, scope, fingerprint: FINGERPRINT, is_ours: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(tenant: Option<u128>) -> Scope {
        let tenant = tenant.map(|number| TenantId::from_uuid(uuid::Uuid::from_u128(number)));
        Scope { environment: EnvironmentName::parse("prod").unwrap(), tenant }
    }

    fn olga() -> Actor {
        Actor { kind: ActorKind::Operator, id: "olga".into() }
    }

    #[test]
    fn an_unidentified_caller_gets_no_permit() {
        let anonymous = Actor { kind: ActorKind::Anonymous, id: String::new() };
        assert!(judge(&anonymous, &Rights::all(), "tenant.create", scope(None)).is_err());
        let permit = judge(&olga(), &Rights::all(), "tenant.create", scope(None)).unwrap();
        assert_eq!(permit.fingerprint(), FINGERPRINT);
    }

    #[test]
    fn whoever_lacks_a_right_is_told_which_and_who_has_it() {
        let denial = judge(&olga(), &Rights::of([Role::Auditor]), "tenant.suspend", scope(Some(1))).unwrap_err();
        assert_eq!(denial.rule, "right:tenant.suspend");
        assert!(denial.remedy.contains("`operator`") && denial.remedy.contains("`support`"), "{}", denial.remedy);
        assert!(judge(&olga(), &Rights::default(), "tenant.read", scope(Some(1))).is_err(), "deny by default");
        assert!(judge(&olga(), &Rights::all(), "tenant.no-such", scope(Some(1))).is_err());
    }

    #[test]
    fn another_tenant_is_hidden_and_the_environment_refused() {
        let own = TenantId::from_uuid(uuid::Uuid::from_u128(1));
        let rights = Rights { tenant: Some(own), ..Rights::of([Role::Tenant]) };
        assert!(judge(&olga(), &rights, "tenant.read", scope(Some(1))).is_ok());
        assert!(judge(&olga(), &rights, "tenant.read", scope(Some(2))).unwrap_err().hidden.is_some());
        assert_eq!(judge(&olga(), &rights, "tenant.read", scope(None)).unwrap_err().hidden, None);
    }
}
