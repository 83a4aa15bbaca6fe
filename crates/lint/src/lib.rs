//! The static guard: a linter of SQL that finds statements and migrations which could cross tenants.
//!
//! It parses with PostgreSQL's own grammar, follows every reference of a tenant table through joins, sub-queries and
//! common table expressions, and asks what binds it to one tenant. Migrations are judged by the same rules that
//! Tenantry enforces when they run, and by whether they hold up a running version. The rules are data ([`rules`]).
//!
//! Pure: texts go in, a [`Report`] comes out; nothing here reads files, except [`input`], which says so. INVARIANT: what
//! is not understood is reported, never passed.
//!
//! For an application's own test suite, see [`assert_guarded`]; for one statement, [`check`].

mod allow;
mod catalog;
mod census;
mod check;
mod ddl;
mod finding;
mod inline;
pub mod input;
mod lex;
mod options;
mod parse;
mod progress;
pub mod render;
mod routine;
mod rule;
mod schema;
mod scope;
mod session;
mod source;
mod split;
mod statement;
mod testing;
mod touch;
mod tree;

pub use allow::{List as AllowList, ListError};
pub use check::Check;
pub use finding::{Allowed, Finding, Location, Note, Origin, Report, Snippet};
pub use options::{Options, Tier};
pub use rule::{Example, Rule, Severity, all as rules, find as rule};
pub use schema::{Class, Relation, Schema, Unknown};
pub use source::Source;
pub use testing::{assert_guarded, unguarded};
pub use touch::{Act, Object, Touch, touches};

/// Checks one text of SQL.
///
/// ```
/// use tenantry_lint::{Options, Schema, check};
///
/// let schema = Schema::new("tenant_id").reference_tables(["countries"]);
/// let report = check("SELECT * FROM orders WHERE id = $1", &schema, &Options::default());
/// assert_eq!(report.findings[0].rule.id, "TL101");
/// assert!(check("SELECT * FROM orders WHERE tenant_id = $1", &schema, &Options::default()).findings.is_empty());
/// ```
pub fn check(sql: &str, schema: &Schema, options: &Options) -> Report {
    let mut check = Check::new(schema.clone(), options.clone());
    check.source(Source::sql("input", sql));
    check.run().0
}
