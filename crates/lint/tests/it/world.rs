//! The app that the examples and the corpus speak of.

use tenantry_lint::{Check, Options, Report, Schema, Source};

/// Its structure.
pub const SCHEMA: &str = include_str!("../corpus/schema.sql");

pub fn schema() -> Schema {
    Schema::new("tenant_id").reference_tables(["countries", "currencies"])
}

/// Checks a text next to the app's structure.
pub fn check(sql: &str, options: Options) -> Report {
    check_as("input.sql", sql, options)
}

pub fn check_as(name: &str, sql: &str, options: Options) -> Report {
    let mut check = Check::new(schema(), options);
    check.source(Source::sql("schema.sql", SCHEMA).only_structure());
    check.source(Source::sql(name, sql));
    check.run().0
}

/// The rules and tables of the findings.
pub fn found(report: &Report) -> Vec<(&'static str, Option<&str>)> {
    report.findings.iter().map(|finding| (finding.rule.id, finding.table.as_deref())).collect()
}

/// The ids of the rules alone.
pub fn ids(sql: &str) -> Vec<&'static str> {
    check(sql, Options::default()).findings.iter().map(|finding| finding.rule.id).collect()
}
