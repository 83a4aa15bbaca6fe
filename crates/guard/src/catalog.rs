//! The checks as data: `checks/*.toml`, built into the program.
//!
//! INVARIANT: every check has exactly one of a query, a policy flaw and a rule, and ids are unique. A catalog that breaks
//! this does not load, and a test loads it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::minors::Minors;
use crate::policy::Flaw;
use crate::probe::Vector;
use crate::seal::Shipped;

const FILES: [(&str, &str); 8] = [
    ("guard.toml", include_str!("../checks/guard.toml")),
    ("roles.toml", include_str!("../checks/roles.toml")),
    ("tables.toml", include_str!("../checks/tables.toml")),
    ("policies.toml", include_str!("../checks/policies.toml")),
    ("functions.toml", include_str!("../checks/functions.toml")),
    ("schemas.toml", include_str!("../checks/schemas.toml")),
    ("server.toml", include_str!("../checks/server.toml")),
    ("sessions.toml", include_str!("../checks/sessions.toml")),
];

/// How much harm a finding can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// One tenant reads or writes another one's rows.
    Critical,
    /// It does so with a little help, or learns about others.
    High,
    /// A protection is missing that another one stands in for.
    Medium,
    /// Worth knowing.
    Low,
}

impl Severity {
    /// All of them, the worst first.
    pub const ALL: [Self; 4] = [Self::Critical, Self::High, Self::Medium, Self::Low];

    /// The word used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a check looks at, and so which run it is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// The server, in any of its databases.
    Server,
    /// One database.
    Database,
    /// The schemas of single tenants in a database.
    Place,
    /// Sessions as a pool hands them on.
    Session,
}

impl Scope {
    /// The word used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Database => "database",
            Self::Place => "place",
            Self::Session => "session",
        }
    }
}

/// What is not asked in SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The server's minor release.
    Minors,
    /// What a session leaves behind.
    Residue,
    /// The application's roles are there.
    Roles,
    /// Tenant tables are there.
    Tables,
    /// Every accepted finding is still found.
    Accepted,
}

/// One check.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Its stable id, such as `T4a`: the letter and number of the leak, and a letter for the case.
    pub id: String,
    /// How much harm a finding can do.
    pub severity: Severity,
    /// What it looks at.
    pub scope: Scope,
    /// One line.
    pub title: String,
    /// Why it leaks.
    pub why: String,
    /// What to do about it.
    pub fix: String,
    /// Isolation levels at which it makes sense; absent means all.
    #[serde(default)]
    pub levels: Option<Vec<String>>,
    /// Relations of the server that the query reads and that are not open to everybody.
    #[serde(default)]
    pub needs: Vec<String>,
    /// The first server version (`server_version_num`) that has what the query reads.
    #[serde(default)]
    pub since: Option<i32>,
    /// Where to read more.
    #[serde(default)]
    pub references: Vec<String>,
    /// The query: `object`, `detail`, `fix_sql`.
    #[serde(default)]
    pub sql: Option<String>,
    /// The flaw of a policy that it reports.
    #[serde(default)]
    pub policy: Option<Flaw>,
    /// What it does in place of a query.
    #[serde(default)]
    pub rule: Option<Rule>,
}

/// A common table expression of the queries.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    pub name: String,
    pub sql: String,
}

/// All checks and what they need.
#[derive(Debug)]
pub struct Catalog {
    checks: Vec<Check>,
    pub(crate) parts: Vec<Part>,
    pub(crate) minors: Minors,
    pub(crate) shipped: Shipped,
    pub(crate) vectors: Vec<Vector>,
}

/// Why the built-in catalog cannot be used; a defect of this program.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CatalogError {
    /// A file is not what the program reads.
    #[error("`{file}` of the guard's catalog cannot be read: {problem}")]
    File {
        /// Its name.
        file: &'static str,
        /// The reader's words.
        problem: String,
    },
    /// A check contradicts itself or another one.
    #[error("check `{id}` of the guard's catalog {problem}")]
    Check {
        /// Its id.
        id: String,
        /// What is wrong.
        problem: &'static str,
    },
}

impl Catalog {
    /// The catalog that is built in.
    ///
    /// # Errors
    /// It is broken, which a test rules out.
    pub fn get() -> Result<&'static Self, CatalogError> {
        static CATALOG: OnceLock<Result<Catalog, CatalogError>> = OnceLock::new();
        CATALOG.get_or_init(Self::load).as_ref().map_err(Clone::clone)
    }

    /// All checks, in the order of the documentation.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// One check.
    #[must_use]
    pub fn check(&self, id: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.id == id)
    }

    fn load() -> Result<Self, CatalogError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Checks {
            check: Vec<Check>,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Parts {
            part: Vec<Part>,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Vectors {
            vector: Vec<Vector>,
        }
        let mut checks: Vec<Check> = Vec::new();
        for (file, text) in FILES {
            checks.extend(read::<Checks>(file, text)?.check);
        }
        let mut ids = BTreeSet::new();
        for check in &checks {
            let broken = |problem| Err(CatalogError::Check { id: check.id.clone(), problem });
            if !ids.insert(&check.id) {
                return broken("is there twice");
            }
            let ways = [check.sql.is_some(), check.policy.is_some(), check.rule.is_some()];
            if ways.into_iter().filter(|way| *way).count() != 1 {
                return broken("must have one of `sql`, `policy` and `rule`");
            }
        }
        Ok(Self {
            parts: read::<Parts>("prelude.toml", include_str!("../checks/prelude.toml"))?.part,
            minors: read("minors.toml", include_str!("../checks/minors.toml"))?,
            shipped: read("seal.toml", include_str!("../checks/seal.toml"))?,
            vectors: read::<Vectors>("residue.toml", include_str!("../checks/residue.toml"))?.vector,
            checks,
        })
    }
}

fn read<T: serde::de::DeserializeOwned>(file: &'static str, text: &str) -> Result<T, CatalogError> {
    toml::from_str(text).map_err(|error| CatalogError::File { file, problem: error.message().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalog_loads_and_says_enough() {
        let catalog = Catalog::get().unwrap();
        assert!(catalog.checks().len() >= 45, "{} checks", catalog.checks().len());
        for check in catalog.checks() {
            assert!(check.why.len() > 60 && check.fix.len() > 15, "{} says too little", check.id);
            assert!(check.title.ends_with(|c: char| c != '.'), "{}: a title has no full stop", check.id);
            assert!(check.why.ends_with('.') && check.fix.ends_with('.'), "{}: sentences end in a full stop", check.id);
            for level in check.levels.iter().flatten() {
                assert!(["shared", "schema", "database"].contains(&level.as_str()), "{}: no level {level}", check.id);
            }
            assert_eq!(check.rule == Some(Rule::Residue), check.scope == Scope::Session, "{}", check.id);
        }
    }
}
