//! What a run is told: which database this is meant to be, and which findings were accepted.

use serde::{Deserialize, Serialize};
use tenantry_domain::isolation::Isolation;

/// The most rows that one check reports; the report says where there were more.
pub const FINDINGS_MAX: i64 = 500;

/// How a database is used. Everything but the level can be left out and is guessed or taken as none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Input {
    /// What separates tenants in this database. Schemas of single tenants that Tenantry made are told by their marks, so
    /// a home database is `shared`.
    pub level: Isolation,
    /// The column that says whose a row is; absent where no table has one.
    #[serde(default)]
    pub tenant_column: Option<String>,
    /// The application's roles. Absent: every login but superusers and the guard's own that has rights here.
    #[serde(default)]
    pub roles: Option<Vec<String>>,
    /// Tables that all tenants share on purpose, as `table` or `schema.table`.
    #[serde(default)]
    pub references: Vec<String>,
    /// Schemas that belong to one tenant each. Absent at level `schema`: all with tables but `public` and the common ones.
    #[serde(default)]
    pub tenant_schemas: Option<Vec<String>>,
    /// Schemas that no tenant owns, for level `schema`.
    #[serde(default)]
    pub common_schemas: Vec<String>,
    /// Logins that take backups.
    #[serde(default)]
    pub backup_roles: Vec<String>,
    /// The databases that a run on the server looks at. Absent: all but the maintenance ones.
    #[serde(default)]
    pub databases: Option<Vec<String>>,
    /// Functions, as `schema.name`, whose answer no session can choose: the operator vouches for them.
    #[serde(default)]
    pub trusted_contexts: Vec<String>,
    /// Findings that somebody accepted.
    #[serde(default)]
    pub accepted: Vec<Accepted>,
}

/// A finding that is known, with the reason why it stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Accepted {
    /// The check's id.
    pub check: String,
    /// The finding's object; a `*` at the end stands for any rest.
    pub object: String,
    /// Why it is accepted. It is printed in the report.
    pub reason: String,
}

impl Input {
    /// A database at this level, of which nothing more is known.
    #[must_use]
    pub fn new(level: Isolation) -> Self {
        Self {
            level,
            tenant_column: None,
            roles: None,
            references: Vec::new(),
            tenant_schemas: None,
            common_schemas: Vec::new(),
            backup_roles: Vec::new(),
            databases: None,
            trusted_contexts: Vec::new(),
            accepted: Vec::new(),
        }
    }

    /// The level's word in the checks. A cluster is a server of one tenant, which is at least a database of one.
    pub(crate) const fn level_word(&self) -> &'static str {
        match self.level {
            Isolation::Shared => "shared",
            Isolation::Schema => "schema",
            Isolation::Database | Isolation::Cluster => "database",
        }
    }
}

impl Accepted {
    pub(crate) fn covers(&self, check: &str, object: &str) -> bool {
        self.check == check
            && match self.object.strip_suffix('*') {
                Some(start) => object.starts_with(start),
                None => self.object == object,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_entries_cover_what_they_name() {
        let entry = |object: &str| Accepted { check: "T1a".into(), object: object.into(), reason: "why".into() };
        assert!(entry("table app.notes").covers("T1a", "table app.notes"));
        assert!(entry("table app.*").covers("T1a", "table app.notes"));
        assert!(!entry("table app.note").covers("T1a", "table app.notes"));
        assert!(!entry("*").covers("T1b", "table app.notes"));
    }

    #[test]
    fn the_json_form_is_forgiving_about_what_is_left_out_only() {
        let input: Input = serde_json::from_str(r#"{"level":"shared"}"#).unwrap();
        assert_eq!(input, Input::new(Isolation::Shared));
        assert!(serde_json::from_str::<Input>(r#"{"level":"shared","tenantColum":"x"}"#).is_err());
    }
}
