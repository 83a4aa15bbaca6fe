//! Where a person has which roles.
//!
//! INVARIANT: roles of one environment say nothing of another. What is asked without an environment gets those alone that
//! hold in all.

use std::collections::{BTreeMap, BTreeSet};

use super::RoleSpec;
use crate::name::EnvironmentName;
use crate::policy::Role;

/// Roles by where they hold. By default there are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    everywhere: BTreeSet<Role>,
    only: BTreeMap<EnvironmentName, BTreeSet<Role>>,
}

impl Reach {
    /// What several groups give together.
    #[must_use]
    pub fn of<'s>(given: impl Iterator<Item = &'s RoleSpec>) -> Self {
        let mut reach = Self::default();
        for one in given {
            match &one.environments {
                None => reach.everywhere.extend(&one.roles),
                Some(environments) => {
                    for environment in environments {
                        reach.only.entry(environment.clone()).or_default().extend(&one.roles);
                    }
                }
            }
        }
        reach
    }

    /// Whether there is nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.everywhere.is_empty() && self.only.is_empty()
    }

    /// The roles that hold in all environments.
    #[must_use]
    pub const fn everywhere(&self) -> &BTreeSet<Role> {
        &self.everywhere
    }

    /// The roles that hold in an environment; none where it is not reached.
    #[must_use]
    pub fn within(&self, environment: &EnvironmentName) -> BTreeSet<Role> {
        let own = self.only.get(environment).into_iter().flatten();
        self.everywhere.iter().chain(own).copied().collect()
    }

    /// All roles, wherever they hold.
    #[must_use]
    pub fn anywhere(&self) -> BTreeSet<Role> {
        self.everywhere.iter().chain(self.only.values().flatten()).copied().collect()
    }

    /// The environments with roles of their own.
    #[must_use]
    pub const fn only(&self) -> &BTreeMap<EnvironmentName, BTreeSet<Role>> {
        &self.only
    }
}
