//! Permissions: what a member may do, by name.
//!
//! Those that begin with `tenant:` are ours and known; all others are the application's own (`projects:write`,
//! `feature:exports`) and mean what it says they mean.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is no permission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PermissionError {
    /// Not of the form `noun:verb`.
    #[error("must be of the form `area:action`, parts of a-z, 0-9, `.`, `_` and `-`, at most 64 characters")]
    Form,
    /// Begins with `tenant:` and is none of ours.
    #[error("`{0}` is not known; those that begin with `tenant:` are {known}", known = known())]
    Unknown(String),
}

fn known() -> String {
    Permission::KNOWN.map(|(name, _)| name).join(", ")
}

/// A permission.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Permission(String);

macro_rules! ours {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $meaning:literal;)*) => {
        impl Permission {
            /// Ours, each with what it lets a member do, in the order of the matrix.
            pub const KNOWN: [(&'static str, &'static str); [$($text),*].len()] = [$(($text, $meaning)),*];

            $(
                $(#[$doc])*
                pub const $name: &'static str = $text;
            )*
        }
    };
}

ours! {
    /// Deletes the tenant.
    TENANT_DELETE = "tenant:delete", "delete the tenant";
    /// Manages how the tenant pays.
    BILLING = "tenant:billing:manage", "manage billing";
    /// Hands the ownership on.
    OWNERSHIP = "tenant:ownership:transfer", "offer the ownership to another member";
    /// Makes and unmakes those who manage users.
    ADMINS = "tenant:admins:manage", "give, change and take roles that manage users";
    /// Defines roles.
    ROLES = "tenant:roles:manage", "define roles of the tenant";
    /// Invites.
    INVITE = "tenant:users:invite", "invite, and withdraw invitations";
    /// Changes roles.
    UPDATE = "tenant:users:update", "change a member's role";
    /// Removes members.
    REMOVE = "tenant:users:remove", "remove a member";
    /// Sees members.
    USERS = "tenant:users:read", "see members and invitations";
    /// Changes settings.
    SETTINGS = "tenant:settings:update", "change settings";
    /// Reaches what belongs to other members.
    ALL_DATA = "tenant:data:all", "reach every member's own data";
    /// Writes.
    WRITE = "tenant:data:write", "write own and shared data";
    /// Reads.
    READ = "tenant:data:read", "read own and shared data";
}

impl Permission {
    /// Most characters.
    pub const MOST: usize = 64;

    /// Reads a permission.
    ///
    /// # Errors
    /// It is not of the form, or claims to be ours and is not.
    pub fn parse(text: &str) -> Result<Self, PermissionError> {
        let is_part = |part: &str| {
            part.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
        };
        if text.len() > Self::MOST || !(2..=4).contains(&text.split(':').count()) || !text.split(':').all(is_part) {
            return Err(PermissionError::Form);
        }
        if text.starts_with("tenant:") && !Self::KNOWN.iter().any(|(known, _)| *known == text) {
            return Err(PermissionError::Unknown(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is ours, not the application's.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.0.starts_with("tenant:")
    }

    /// Whether it only reads; by its last part, for permissions of the application.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.0.ends_with(":read")
    }
}

impl FromStr for Permission {
    type Err = PermissionError;
    fn from_str(text: &str) -> Result<Self, PermissionError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Permission {
    type Error = PermissionError;
    fn try_from(text: String) -> Result<Self, PermissionError> {
        Self::parse(&text)
    }
}

impl From<Permission> for String {
    fn from(permission: Permission) -> Self {
        permission.0
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_are_known_and_others_are_the_applications() {
        for (name, _) in Permission::KNOWN {
            assert!(Permission::parse(name).unwrap().is_ours(), "{name}");
        }
        for own in ["projects:write", "feature:exports", "billing.v2:invoices:read"] {
            assert!(!Permission::parse(own).unwrap().is_ours(), "{own}");
        }
        assert!(Permission::parse("projects:read").unwrap().is_read());
        assert!(matches!(Permission::parse("tenant:everything"), Err(PermissionError::Unknown(_))));
        for wrong in [
            "",
            "tenant",
            "tenant:",
            ":x",
            "Tenant:x",
            "a:b:c:d:e",
            "a b:c",
            "a:*",
            "9:x",
            &format!("a:{}", "b".repeat(63)),
        ] {
            assert_eq!(Permission::parse(wrong), Err(PermissionError::Form), "{wrong:?}");
        }
    }
}
