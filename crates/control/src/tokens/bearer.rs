//! Who a caller is, and what it may do where.
//!
//! INVARIANT: what somebody may do in one environment is not taken for another. [`Bearer::within`] is asked before anything
//! is done in an environment, and answers with rights that hold there or with none.

use tenantry_domain::Timestamp;
use tenantry_domain::access::Reach;
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::policy::{Actor, Rights};

/// Who a token's bearer is and where it reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// As whom it acts.
    pub actor: Actor,
    /// What it may do.
    pub rights: Rights,
    /// The only environment that it reaches; absent for all, and for several.
    pub environment: Option<EnvironmentName>,
    /// The person behind it; absent for machines.
    pub person: Option<String>,
    /// What it is called; for showing.
    pub display: Option<String>,
    /// When its token ends; absent for never.
    pub expires: Option<Timestamp>,
    /// Where somebody who signed in has which roles; absent for tokens of ours, whose rights are the same wherever they
    /// reach.
    pub reach: Option<Reach>,
}

impl Bearer {
    /// Whether it reaches an environment.
    #[must_use]
    pub fn reaches(&self, environment: &EnvironmentName) -> bool {
        match &self.reach {
            Some(reach) => !reach.within(environment).is_empty(),
            None => self.environment.as_ref().is_none_or(|only| only == environment),
        }
    }

    /// Somebody who signed in and has no role anywhere.
    #[must_use]
    pub fn is_roleless(&self) -> bool {
        self.reach.as_ref().is_some_and(Reach::is_empty)
    }

    /// With the rights that hold in an environment; none where it is not reached.
    #[must_use]
    pub fn within(mut self, environment: &EnvironmentName) -> Self {
        let Some(reach) = &self.reach else { return self };
        let roles = reach.within(environment);
        // Whoever reaches others alone must not find out whether there is this one.
        self.environment = match reach.everywhere().is_empty() {
            false => None,
            true if roles.is_empty() => reach.only().keys().next().cloned(),
            true => Some(environment.clone()),
        };
        self.rights = Rights::of(roles);
        self
    }

    /// With the rights that hold without an environment: those of all of them. With `is_judged_again`, all of its rights:
    /// for what is looked for in the environments that it reaches, and judged where it is found.
    #[must_use]
    pub fn outside(mut self, is_judged_again: bool) -> Self {
        let Some(reach) = &self.reach else { return self };
        let only: Vec<_> = reach.only().keys().take(2).collect();
        self.environment = match only.as_slice() {
            [one] if reach.everywhere().is_empty() => Some((*one).clone()),
            _ => None,
        };
        self.rights = Rights::of(if is_judged_again { reach.anywhere() } else { reach.everywhere().clone() });
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tenantry_domain::access::people::RoleSpec;
    use tenantry_domain::policy::{ActorKind, Role};

    use super::*;

    fn named(name: &str) -> EnvironmentName {
        EnvironmentName::parse(name).unwrap()
    }

    /// Roles, and the environments that they hold in.
    fn bearer(given: &[(Role, &[&str])]) -> Bearer {
        let specs: BTreeMap<usize, RoleSpec> = given
            .iter()
            .enumerate()
            .map(|(place, (role, environments))| {
                let environments =
                    (!environments.is_empty()).then(|| environments.iter().map(|name| named(name)).collect());
                (place, RoleSpec { roles: [*role].into(), environments })
            })
            .collect();
        let reach = Reach::of(specs.values());
        Bearer {
            actor: Actor { kind: ActorKind::Operator, id: "per_x".into() },
            rights: Rights::of(reach.anywhere()),
            environment: None,
            person: Some("i#s".into()),
            display: None,
            expires: None,
            reach: Some(reach),
        }
    }

    #[test]
    fn rights_of_one_environment_are_none_of_another() {
        let olga = bearer(&[(Role::Admin, &["staging"]), (Role::Auditor, &["prod"])]);
        assert_eq!(olga.clone().within(&named("staging")).rights, Rights::of([Role::Admin]));
        assert_eq!(olga.clone().within(&named("prod")).rights, Rights::of([Role::Auditor]));
        let elsewhere = olga.clone().within(&named("test"));
        assert_eq!((elsewhere.rights, elsewhere.environment), (Rights::default(), Some(named("prod"))), "hidden");
        assert!(olga.reaches(&named("prod")) && !olga.reaches(&named("test")));
        assert_eq!(olga.clone().outside(false).rights, Rights::default());
        assert_eq!(olga.clone().outside(true).rights, Rights::of([Role::Admin, Role::Auditor]));
        assert_eq!(olga.outside(true).environment, None);
        let one = bearer(&[(Role::Admin, &["staging"])]);
        assert_eq!(one.outside(true).environment, Some(named("staging")));
    }

    #[test]
    fn rights_of_all_environments_hold_in_each() {
        let petra = bearer(&[(Role::Auditor, &[]), (Role::Admin, &["staging"])]);
        let (staging, prod) = (petra.clone().within(&named("staging")), petra.clone().within(&named("prod")));
        assert_eq!(staging.rights, Rights::of([Role::Admin, Role::Auditor]));
        assert_eq!((prod.rights, prod.environment), (Rights::of([Role::Auditor]), None));
        assert_eq!(petra.clone().outside(false).rights, Rights::of([Role::Auditor]));
        assert!(!petra.is_roleless() && bearer(&[]).is_roleless());
    }
}
