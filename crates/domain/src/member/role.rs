//! Roles: four that every tenant has, and those that it defines for itself.
//!
//! INVARIANT: the four contain each other (owner, admin, member, readonly), and a role of a tenant's own is exactly the
//! permissions that it lists.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Permission;
use crate::name::{NameError, check_label};

/// The roles that every tenant has, mightiest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standard {
    /// Everything; deletes the tenant, pays, makes admins.
    Owner,
    /// Users, settings and all data.
    Admin,
    /// Own and shared data.
    Member,
    /// Looks.
    Readonly,
}

impl Standard {
    /// All of them, mightiest first.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Member, Self::Readonly];

    /// The word in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Readonly => "readonly",
        }
    }

    /// Whether it has a permission. Of the application's own, owner, admin and member have all, readonly those that only
    /// read.
    #[must_use]
    pub fn holds(self, permission: &Permission) -> bool {
        let name = permission.as_str();
        match self {
            Self::Owner => true,
            Self::Admin => !matches!(
                name,
                Permission::TENANT_DELETE | Permission::BILLING | Permission::OWNERSHIP | Permission::ADMINS
            ),
            Self::Member => {
                !permission.is_ours() || matches!(name, Permission::WRITE | Permission::READ | Permission::USERS)
            }
            Self::Readonly => {
                if permission.is_ours() {
                    name == Permission::READ
                } else {
                    permission.is_read()
                }
            }
        }
    }
}

/// The name of a role: 1 to 40 characters of `a-z`, `0-9` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoleName(String);

impl RoleName {
    /// Most characters.
    pub const MOST: usize = 40;

    /// Reads a name.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check_label(text, 1, Self::MOST).map(|()| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The role that every tenant has under this name, if it is one of those.
    #[must_use]
    pub fn standard(&self) -> Option<Standard> {
        Standard::ALL.into_iter().find(|role| role.as_str() == self.0)
    }
}

impl From<Standard> for RoleName {
    fn from(role: Standard) -> Self {
        Self(role.as_str().to_owned())
    }
}

impl FromStr for RoleName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for RoleName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl From<RoleName> for String {
    fn from(name: RoleName) -> Self {
        name.0
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a member holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// One that every tenant has.
    Standard(Standard),
    /// One of the tenant's own.
    Custom {
        /// Its name; never that of a standard role.
        name: RoleName,
        /// Exactly these.
        permissions: BTreeSet<Permission>,
    },
}

impl Role {
    /// Most permissions of a tenant's own role.
    pub const MOST_PERMISSIONS: usize = 100;
    /// Most roles of its own that a tenant has.
    pub const MOST_ROLES: i64 = 100;

    /// Its name.
    #[must_use]
    pub fn name(&self) -> RoleName {
        match self {
            Self::Standard(role) => (*role).into(),
            Self::Custom { name, .. } => name.clone(),
        }
    }

    /// Whether it has a permission.
    #[must_use]
    pub fn holds(&self, permission: &Permission) -> bool {
        match self {
            Self::Standard(role) => role.holds(permission),
            Self::Custom { permissions, .. } => permissions.contains(permission),
        }
    }

    /// Whether it has one of ours.
    #[must_use]
    pub fn has(&self, ours: &'static str) -> bool {
        Permission::parse(ours).is_ok_and(|permission| self.holds(&permission))
    }

    /// What it lets its holder do: ours, and for a tenant's own role all that it lists.
    #[must_use]
    pub fn permissions(&self) -> BTreeSet<Permission> {
        match self {
            Self::Standard(role) => ours().filter(|permission| role.holds(permission)).collect(),
            Self::Custom { permissions, .. } => permissions.clone(),
        }
    }

    /// Whether it owns the tenant.
    #[must_use]
    pub const fn is_owner(&self) -> bool {
        matches!(self, Self::Standard(Standard::Owner))
    }

    /// Whether its holders manage others. Such roles are given and taken by those who may manage admins.
    #[must_use]
    pub fn is_managing(&self) -> bool {
        [Permission::ADMINS, Permission::ROLES, Permission::INVITE, Permission::UPDATE, Permission::REMOVE]
            .into_iter()
            .any(|ours| self.has(ours))
    }

    /// What this role has and the other lacks; nothing when it has no more than the other.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Option<String> {
        match (self, other) {
            (Self::Standard(this), Self::Standard(that)) if this >= that => None,
            (Self::Standard(_), Self::Custom { .. }) => {
                let missing = self.permissions().into_iter().find(|permission| !other.holds(permission));
                // It has permissions of the application that nobody has listed.
                Some(
                    missing
                        .map_or_else(|| "all permissions of the application".to_owned(), |missing| missing.to_string()),
                )
            }
            _ => self
                .permissions()
                .into_iter()
                .find(|permission| !other.holds(permission))
                .map(|missing| missing.to_string()),
        }
    }
}

/// All of ours.
pub fn ours() -> impl Iterator<Item = Permission> {
    Permission::KNOWN.into_iter().filter_map(|(name, _)| Permission::parse(name).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn custom(permissions: &[&str]) -> Role {
        let permissions = permissions.iter().map(|text| Permission::parse(text).unwrap()).collect();
        Role::Custom { name: RoleName::parse("support").unwrap(), permissions }
    }

    #[test]
    fn the_four_contain_each_other() {
        for (place, upper) in Standard::ALL.into_iter().enumerate() {
            for (other, lower) in Standard::ALL.into_iter().enumerate() {
                let beyond = Role::Standard(lower).beyond(&Role::Standard(upper));
                assert_eq!(beyond.is_none(), other >= place, "{lower:?} within {upper:?}: {beyond:?}");
            }
        }
    }

    #[test]
    fn an_own_role_is_what_it_lists() {
        let support = custom(&["tenant:data:read", "feature:exports"]);
        assert!(support.has(Permission::READ) && !support.has(Permission::WRITE) && !support.is_managing());
        assert_eq!(support.beyond(&Role::Standard(Standard::Member)), None);
        assert_eq!(support.beyond(&Role::Standard(Standard::Readonly)).as_deref(), Some("feature:exports"));
        assert!(custom(&["tenant:users:invite"]).is_managing());
        // Whoever has only listed permissions cannot give a role that has those of the application, too.
        assert_eq!(
            Role::Standard(Standard::Readonly).beyond(&support).as_deref(),
            Some("all permissions of the application")
        );
        assert_eq!(Role::Standard(Standard::Member).beyond(&support).as_deref(), Some("tenant:data:write"));
        assert_eq!(RoleName::parse("owner").unwrap().standard(), Some(Standard::Owner));
        assert_eq!(RoleName::parse("owners").unwrap().standard(), None);
    }

    proptest! {
        /// Whoever has no more than another is refused wherever the other is.
        #[test]
        fn within_means_never_more(picked in proptest::collection::btree_set(0_usize..16, 0..8), rank in 0_usize..4) {
            let names: Vec<&str> = Permission::KNOWN.iter().map(|(name, _)| *name)
                .chain(["feature:a", "projects:read", "projects:write"]).collect();
            let picked: Vec<&str> = picked.into_iter().map(|place| names[place]).collect();
            let (own, upper) = (custom(&picked), Role::Standard(Standard::ALL[rank]));
            let holds_more = names.iter().any(|name| {
                let permission = Permission::parse(name).unwrap();
                own.holds(&permission) && !upper.holds(&permission)
            });
            prop_assert_eq!(own.beyond(&upper).is_some(), holds_more);
        }
    }
}
