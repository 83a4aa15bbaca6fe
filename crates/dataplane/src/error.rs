//! Why a verb of the data plane did not do its work.
//!
//! The enum is closed, and each variant is something that a caller treats in its own way: wait, give up, ask the
//! author of the app, or look for another worker of the same tenant. Texts of the server appear only where their
//! reader wrote the statement ([`DataError::Migration`]).

use std::fmt;

use tenantry_domain::app;
use tenantry_pg::{CommitError, IdentError, PgError, PgKind, TargetError};

/// What went wrong. Every verb may simply be called again.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The cell's server does not answer, or the answer to a commit was lost.
    #[error("the cell's database server cannot be reached: {0}")]
    Unreachable(PgError),
    /// The cell's URL cannot be read.
    #[error("the cell's database URL: {0}")]
    Target(#[from] TargetError),
    /// The server, or our login there, cannot do what is needed.
    #[error("the cell's database server is not usable: {what}")]
    Unsupported {
        /// What is missing.
        what: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// Somebody with a newer claim works on this tenant, or did.
    #[error("the claim {held} on this tenant is outdated, {seen} was seen")]
    Fenced {
        /// The caller's fence.
        held: i64,
        /// The newest one known here.
        seen: i64,
    },
    /// An object of the name that we need is there and is not ours.
    #[error("`{object}` exists and was not made for this")]
    Foreign {
        /// Kind and name.
        object: String,
    },
    /// Something that an earlier step must have made is not there.
    #[error("`{object}` does not exist")]
    Missing {
        /// Kind and name.
        object: String,
    },
    /// The tenant was opened to its users and holds rows, so it is not undone.
    #[error("`{table}` holds rows of the tenant")]
    Occupied {
        /// The first table found with rows.
        table: String,
    },
    /// The app cannot serve tenants of this level.
    #[error(transparent)]
    Unfit(#[from] app::Unfit),
    /// A file of the app's migrations failed. It was rolled back as a whole.
    #[error("migration `{}` failed: {}", .0.file, .0.message)]
    Migration(Box<MigrationFailure>),
    /// A table cannot be guarded as it is. The file that left it so was rolled back.
    #[error("`{}` {}{}", .0.first.object, .0.first.reason, and_more(.0.others.len()))]
    Unguarded(Box<Unguarded>),
    /// The app's own migration command failed.
    #[error("the migration command ended {}", ended(*.code))]
    Exec {
        /// The exit status; absent when it was killed.
        code: Option<i32>,
        /// The end of its output.
        tail: String,
    },
    /// Sessions of the tenant did not end in time.
    #[error("{sessions} sessions of the tenant did not end in time")]
    Uncut {
        /// How many were still there.
        sessions: u32,
    },
    /// Somebody else holds what is needed for longer than we wait.
    #[error("{what} is busy")]
    Busy {
        /// What.
        what: &'static str,
    },
    /// A file could not get a lock, however often it was tried. It was rolled back each time.
    #[error("migration `{file}` did not get its locks in {tries} tries{}", held_by(.by.as_deref()))]
    Blocked {
        /// The file's name.
        file: String,
        /// How often it was tried.
        tries: u32,
        /// The sessions that were seen in its way.
        by: Option<String>,
    },
    /// The server has no room: connections, locks or disk.
    #[error("the server has no room left: {0}")]
    Capacity(PgError),
    /// A name that the server cannot store.
    #[error("a name cannot be used: {0}")]
    Name(#[from] IdentError),
    /// Any other answer of the server; a mistake of ours, or of someone who changed our objects.
    #[error("the cell's database: {0}")]
    Pg(PgError),
}

/// Where and why a file failed. The texts are the server's, for the file's author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationFailure {
    /// The file's name.
    pub file: String,
    /// Where in the file, when the server or our reader could say.
    pub position: Option<Position>,
    /// The server's code; absent when the file was refused before it ran.
    pub sqlstate: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What may help.
    pub hint: Option<String>,
}

/// A place in a file, counted from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The character in the line.
    pub column: u32,
}

fn held_by(by: Option<&str>) -> String {
    by.map(|by| format!("; in its way: {by}")).unwrap_or_default()
}

impl Position {
    /// The place of the `offset`-th character, counted from zero.
    pub(crate) fn at(text: &str, offset: usize) -> Self {
        let before: Vec<&str> =
            text.char_indices().nth(offset).map_or(text, |(end, _)| &text[..end]).split('\n').collect();
        let column = before.last().map_or(0, |line| line.chars().count());
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { line: small(before.len()), column: small(column).saturating_add(1) }
    }
}

/// Everything that keeps an app's tables from being guarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unguarded {
    /// The first one, in the order of names.
    pub first: Refusal,
    /// The others.
    pub others: Vec<Refusal>,
}

impl Unguarded {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Refusal> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

/// Why one table, view or function is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its name.
    pub object: String,
    /// The rule that it breaks.
    pub reason: Reason,
}

/// The rules that an app's structure must keep, each as it is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Neither a tenant table nor listed as a reference table.
    NoTenantKey {
        /// The app's tenant column.
        key: String,
    },
    /// Listed as a reference table although it has the tenant column.
    ReferenceWithTenantKey {
        /// The app's tenant column.
        key: String,
    },
    /// The tenant column is not a `uuid`.
    KeyType {
        /// The app's tenant column.
        key: String,
        /// Its type.
        found: String,
    },
    /// The tenant column may be null.
    KeyNullable {
        /// The app's tenant column.
        key: String,
    },
    /// The tenant column is computed, so it cannot default to the tenant of the transaction.
    KeyGenerated {
        /// The app's tenant column.
        key: String,
    },
    /// A unique index without the tenant column: it tells one tenant what others hold.
    UniqueWithoutKey {
        /// Its name.
        index: String,
        /// Its columns.
        columns: String,
        /// The app's tenant column.
        key: String,
    },
    /// A foreign key that does not compare tenants: it reaches into other tenants' rows.
    ForeignKeyWithoutKey {
        /// Its name.
        constraint: String,
        /// The table it refers to.
        target: String,
        /// The app's tenant column.
        key: String,
    },
    /// A reference table that refers to a tenant table.
    ReferenceToTenantTable {
        /// Its name.
        constraint: String,
        /// The table it refers to.
        target: String,
    },
    /// Rows that a crash loses, and that no move can carry.
    Unlogged,
    /// A view that reads with its owner's rights.
    ViewOfOwner,
    /// A stored copy of rows, which no policy guards.
    Materialized,
    /// A table elsewhere, which no policy guards.
    ForeignTable,
    /// A rule, which rewrites statements past the guard's rules.
    Rule {
        /// Its name.
        name: String,
    },
    /// A function that runs with its owner's rights.
    Definer,
    /// A function that runs before the policies do.
    Leakproof,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTenantKey { key } => {
                write!(f, "has no column `{key}` and is not listed as a reference table")
            }
            Self::ReferenceWithTenantKey { key } => {
                write!(f, "is listed as a reference table and has the tenant column `{key}`")
            }
            Self::KeyType { key, found } => write!(f, "has a tenant column `{key}` of type `{found}`, it must be uuid"),
            Self::KeyNullable { key } => write!(f, "has a tenant column `{key}` that may be null"),
            Self::KeyGenerated { key } => write!(f, "computes its tenant column `{key}`"),
            Self::UniqueWithoutKey { index, columns, key } => {
                write!(f, "has the unique index `{index}` on ({columns}), which lacks `{key}`")
            }
            Self::ForeignKeyWithoutKey { constraint, target, key } => {
                write!(f, "has the foreign key `{constraint}` to `{target}`, which does not pair `{key}` with `{key}`")
            }
            Self::ReferenceToTenantTable { constraint, target } => {
                write!(
                    f,
                    "is a reference table, and its foreign key `{constraint}` refers to the tenant table `{target}`"
                )
            }
            Self::Unlogged => f.write_str("is unlogged, so a crash loses its rows"),
            Self::ViewOfOwner => {
                f.write_str("is a view without `security_invoker = true`, so it reads all tenants' rows")
            }
            Self::Materialized => f.write_str("is a materialized view, which no policy can guard"),
            Self::ForeignTable => f.write_str("is a foreign table, which no policy can guard"),
            Self::Rule { name } => write!(f, "has the rule `{name}`"),
            Self::Definer => f.write_str("is a function with SECURITY DEFINER"),
            Self::Leakproof => f.write_str("is a LEAKPROOF function"),
        }
    }
}

impl DataError {
    /// Whether the same call may succeed later without anybody doing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_)
            | Self::Busy { .. }
            | Self::Blocked { .. }
            | Self::Uncut { .. }
            | Self::Capacity(_) => true,
            Self::Pg(error) => {
                // Two writers of one catalog row: the server has no code of its own for it.
                let collided = error.sqlstate() == Some("XX000")
                    && error.db().is_some_and(|db| db.message().contains("concurrently"));
                let kinds = [PgKind::Serialization, PgKind::LockNotAvailable, PgKind::QueryCanceled, PgKind::Timeout];
                collided || kinds.contains(&error.kind())
            }
            // A lock that clients of the tenant hold is theirs to give back; the file itself is not at fault.
            Self::Migration(failure) => matches!(failure.sqlstate.as_deref(), Some("55P03" | "40P01" | "40001")),
            _ => false,
        }
    }
}

impl DataError {
    /// Whether somebody else's lock was in the way.
    pub(crate) fn is_blocked(&self) -> bool {
        matches!(self, Self::Pg(error) if matches!(error.kind(), PgKind::LockNotAvailable | PgKind::Serialization))
    }
}

impl From<PgError> for DataError {
    fn from(error: PgError) -> Self {
        match error.kind() {
            PgKind::Unavailable | PgKind::Timeout => Self::Unreachable(error),
            PgKind::TooManyConnections | PgKind::DiskFull => Self::Capacity(error),
            _ if error.sqlstate() == Some("53200") => Self::Capacity(error),
            _ => Self::Pg(error),
        }
    }
}

impl From<CommitError> for DataError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Refused(error) => error.into(),
            // Every verb looks before it acts, so the caller repeats it and learns what took place.
            CommitError::Unknown(error) => Self::Unreachable(error),
        }
    }
}

impl From<tenantry_pg::migrate::MigrateError> for DataError {
    fn from(error: tenantry_pg::migrate::MigrateError) -> Self {
        use tenantry_pg::migrate::MigrateError;
        match error {
            MigrateError::Failed { error, .. } | MigrateError::Blocked { error, .. } | MigrateError::Ledger(error) => {
                error.into()
            }
            MigrateError::Commit(error) => error.into(),
            MigrateError::Order { .. } | MigrateError::Changed { .. } | MigrateError::Late { .. } => {
                Self::Unsupported {
                    what: error.to_string(),
                    hint: "An older binary made these tables; run a released one.",
                }
            }
        }
    }
}

fn ended(code: Option<i32>) -> String {
    code.map_or_else(|| "by force".to_owned(), |code| format!("with status {code}"))
}

fn and_more(count: usize) -> String {
    if count == 0 { String::new() } else { format!(", and {count} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_and_lines() {
        let text = "ab\ncdé f";
        let at = |offset| {
            let place = Position::at(text, offset);
            (place.line, place.column)
        };
        assert_eq!(at(0), (1, 1));
        assert_eq!(at(3), (2, 1));
        assert_eq!(at(7), (2, 5));
        assert_eq!(at(99), (2, 6));
    }
}
