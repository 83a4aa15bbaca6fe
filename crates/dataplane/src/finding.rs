//! Deviations of what is from what should be.

use std::fmt;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What sort of deviation.
    pub kind: FindingKind,
    /// The object, such as `table messages` or `role t_…`.
    pub object: String,
    /// Whether [`crate::Cell::repair`] sets it right; otherwise somebody has to decide.
    pub repairable: bool,
    /// What was found, for people.
    pub detail: String,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The sorts of deviations.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FindingKind {
            $($(#[$doc])* $name,)*
        }

        impl FindingKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word used in events, metrics and the API.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

kinds! {
    /// The tenant's row in the registry is gone.
    RecordMissing = "record-missing",
    /// The registry has a row for a tenant that should not be here.
    RecordUnexpected = "record-unexpected",
    /// The gate stands otherwise.
    GateDiffers = "gate-differs",
    /// The row carries another placement generation.
    EpochDiffers = "epoch-differs",
    /// The row leads to another schema.
    PathDiffers = "path-differs",
    /// The tenant's schema is gone.
    SchemaMissing = "schema-missing",
    /// The tenant's database is gone.
    DatabaseMissing = "database-missing",
    /// A role is gone.
    RoleMissing = "role-missing",
    /// An object has our name and not our mark.
    Foreign = "foreign",
    /// A role may log in that must not, or the reverse, or it has another bound on its connections or another password.
    LoginDiffers = "login-differs",
    /// A role has a right over the whole server.
    RoleAttribute = "role-attribute",
    /// A role is a member of another one, or lacks a membership.
    RoleMembership = "role-membership",
    /// A role carries settings of its own.
    RoleSetting = "role-setting",
    /// The schema, a table or a function has another owner.
    OwnerChanged = "owner-changed",
    /// A tenant table without row-level security.
    RlsOff = "rls-off",
    /// Row-level security that does not bind the owner.
    ForceOff = "force-off",
    /// The policy is gone.
    PolicyMissing = "policy-missing",
    /// The policy says something else.
    PolicyChanged = "policy-changed",
    /// Another policy lets rows through.
    PolicyExtra = "policy-extra",
    /// The tenant column does not default to the tenant of the transaction.
    DefaultChanged = "default-changed",
    /// The tenant column does not refer to the registry.
    ReferenceMissing = "reference-missing",
    /// No index leads with the tenant column.
    IndexMissing = "index-missing",
    /// The tenant's login lacks a right.
    GrantMissing = "grant-missing",
    /// Somebody has a right too many.
    GrantExtra = "grant-extra",
    /// A table, view or sequence of the app is gone.
    TableMissing = "table-missing",
    /// A table, view or sequence that no migration made.
    TableExtra = "table-extra",
    /// A column is gone.
    ColumnMissing = "column-missing",
    /// A column that no migration made.
    ColumnExtra = "column-extra",
    /// Anything else differs from what the migrations made: a type, constraint, index, trigger or function.
    StructureChanged = "structure-changed",
    /// The structure breaks a rule that a migration would be refused for.
    Unguarded = "unguarded",
    /// The migrations never ran to their end.
    Unmigrated = "unmigrated",
    /// The seal's own objects are not as they were installed.
    SealBroken = "seal-broken",
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Finding {
    pub(crate) fn repairable(kind: FindingKind, object: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind, object: object.into(), repairable: true, detail: detail.into() }
    }

    pub(crate) fn reported(kind: FindingKind, object: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind, object: object.into(), repairable: false, detail: detail.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.kind, self.object, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique() {
        let mut words: Vec<_> = FindingKind::ALL.iter().map(|kind| kind.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), FindingKind::ALL.len());
    }
}
