//! What a principal may do: its roles, narrowed by scopes, in one tenant or in all.
//!
//! INVARIANT: nothing widens. Whoever makes rights for somebody else gives at most its own ([`Rights::covers`]).

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::action::{ACTIONS, Action, Reach};
use super::role::Role;
use crate::id::TenantId;

/// The most scopes that one token has.
pub const SCOPES_MOST: usize = 64;

/// A pattern of actions: `tenant.read`, `tenant.*`, `*.read`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

/// A text is no pattern of actions, or matches none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` matches no action; write `tenant.read`, `tenant.*` or `*.read`")]
pub struct PatternError(String);

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It matches no action.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let pattern = Self(text.to_owned());
        match ACTIONS.iter().any(|action| pattern.matches(action.name)) {
            true => Ok(pattern),
            false => Err(PatternError(text.chars().take(60).collect())),
        }
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it matches an action's name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match (self.0.strip_suffix(".*"), self.0.strip_prefix("*.")) {
            (Some(noun), _) => name.strip_prefix(noun).is_some_and(|rest| rest.starts_with('.')),
            (None, Some(verb)) => name.strip_suffix(verb).is_some_and(|rest| rest.ends_with('.')),
            (None, None) => self.0 == name,
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        Self::parse(&text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rights {
    /// What it is.
    pub roles: BTreeSet<Role>,
    /// Only these actions of its roles; absent for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<BTreeSet<Pattern>>,
    /// Only this tenant, of whose environment nothing else is seen; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
}

impl Rights {
    /// Those of some roles, everywhere.
    #[must_use]
    pub fn of(roles: impl IntoIterator<Item = Role>) -> Self {
        Self { roles: roles.into_iter().collect(), scopes: None, tenant: None }
    }

    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Self::of([Role::Admin])
    }

    /// Whether an action is allowed at all, on whatever it is about.
    #[must_use]
    pub fn allows(&self, name: &str) -> bool {
        let Some(action) = Action::find(name) else { return false };
        let is_scoped = self.scopes.as_ref().is_none_or(|scopes| scopes.iter().any(|scope| scope.matches(name)));
        let is_reachable = self.tenant.is_none() || action.reach == Reach::Tenant;
        is_scoped && is_reachable && self.roles.iter().any(|role| role.allows(action))
    }

    /// Whether it may let people into a tenant that has some. `operator` alone adds the first owner and nobody beside: whoever
    /// runs a tenant is not let into its data by that, and would be as its member.
    #[must_use]
    pub fn adds_anybody(&self) -> bool {
        let roles = self.roles.iter().copied().filter(|role| *role != Role::Operator).collect();
        Self { roles, ..self.clone() }.allows("member.add")
    }

    /// Whether a tenant is to be seen at all.
    #[must_use]
    pub fn sees(&self, tenant: TenantId) -> bool {
        self.tenant.is_none_or(|only| only == tenant)
    }

    /// Whether these rights include others: every action that those allow, wherever they allow it.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let is_near = match (self.tenant, other.tenant) {
            (None, _) => true,
            (Some(own), Some(theirs)) => own == theirs,
            (Some(_), None) => false,
        };
        is_near && ACTIONS.iter().all(|action| !other.allows(action.name) || self.allows(action.name))
    }

    /// The roles that would allow an action, for whoever is refused.
    #[must_use]
    pub fn remedy(name: &str) -> String {
        let Some(action) = Action::find(name) else { return "Nobody has this right.".to_owned() };
        let roles = Role::ALL.into_iter().filter(|role| *role != Role::Tenant && role.allows(action));
        let roles: Vec<_> = roles.map(|role| format!("`{role}`")).collect();
        format!("Use a token that has the right `{name}`: roles {} have it.", roles.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn tenant(number: u128) -> TenantId {
        TenantId::from_uuid(Uuid::from_u128(number))
    }

    fn patterns(texts: &[&str]) -> BTreeSet<Pattern> {
        texts.iter().map(|text| Pattern::parse(text).unwrap()).collect()
    }

    #[test]
    fn scopes_narrow_and_never_widen() {
        let mut rights = Rights::of([Role::Operator]);
        assert!(rights.allows("tenant.suspend") && !rights.allows("token.issue") && !rights.allows("no.such"));
        rights.scopes = Some(patterns(&["*.read", "tenant.suspend"]));
        assert!(rights.allows("tenant.read") && rights.allows("audit.read") && rights.allows("tenant.suspend"));
        assert!(!rights.allows("tenant.delete"));
        rights.scopes = Some(patterns(&["token.*"]));
        assert!(!rights.allows("token.issue"), "a scope is no role");
        rights.scopes = Some(BTreeSet::new());
        assert!(!rights.allows("tenant.read"));
    }

    #[test]
    fn an_operator_lets_nobody_into_a_tenant_that_has_members() {
        let of = |roles: &[Role]| Rights::of(roles.iter().copied());
        assert!(of(&[Role::Operator]).allows("member.add") && !of(&[Role::Operator, Role::Support]).adds_anybody());
        for role in [Role::Admin, Role::Application, Role::Tenant] {
            assert!(of(&[role]).adds_anybody() && of(&[role, Role::Operator]).adds_anybody(), "{role}");
        }
        let narrow = Rights { scopes: Some(patterns(&["*.read"])), ..Rights::all() };
        assert!(!narrow.adds_anybody());
    }

    #[test]
    fn who_is_bound_to_a_tenant_does_nothing_elsewhere() {
        let rights = Rights { tenant: Some(tenant(1)), ..Rights::all() };
        assert!(rights.sees(tenant(1)) && !rights.sees(tenant(2)));
        assert!(
            rights.allows("tenant.suspend") && !rights.allows("tenant.create") && !rights.allows("manifests.apply")
        );
    }

    #[test]
    fn patterns_match_whole_parts() {
        for bad in [
            "",
            "*",
            "*.*",
            "tenant",
            "tenant.",
            ".read",
            "tenant.rea",
            "ten.*",
            "*.ead",
            "tenant.read ",
            "Tenant.read",
        ] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
        let login = Pattern::parse("gateway.login.*").unwrap();
        assert!(login.matches("gateway.login.read") && !login.matches("gateway.read"));
    }

    proptest! {
        /// Nobody makes rights that are stronger than its own.
        #[test]
        fn what_is_covered_allows_nothing_more(
            own in prop::collection::btree_set(0usize..Role::ALL.len(), 0..4),
            theirs in prop::collection::btree_set(0usize..Role::ALL.len(), 0..4),
            own_scope in prop::option::of(prop::collection::btree_set(0usize..ACTIONS.len(), 0..20)),
            their_scope in prop::option::of(prop::collection::btree_set(0usize..ACTIONS.len(), 0..20)),
            own_tenant in prop::option::of(0u128..2),
            their_tenant in prop::option::of(0u128..2),
        ) {
            let scopes = |set: Option<BTreeSet<usize>>| {
                set.map(|set| set.into_iter().map(|place| Pattern::parse(ACTIONS[place].name).unwrap()).collect())
            };
            let own = Rights {
                roles: own.into_iter().map(|place| Role::ALL[place]).collect(),
                scopes: scopes(own_scope),
                tenant: own_tenant.map(tenant),
            };
            let theirs = Rights {
                roles: theirs.into_iter().map(|place| Role::ALL[place]).collect(),
                scopes: scopes(their_scope),
                tenant: their_tenant.map(tenant),
            };
            prop_assert!(own.covers(&own));
            if own.covers(&theirs) {
                for action in ACTIONS {
                    for at in [tenant(0), tenant(1)] {
                        let may = |rights: &Rights| rights.allows(action.name) && rights.sees(at);
                        prop_assert!(!may(&theirs) || may(&own), "{} {at}", action.name);
                    }
                }
            }
        }
    }
}
