//! Helpers for the test suites of applications.

use crate::finding::Report;
use crate::options::Options;
use crate::render;
use crate::rule::Severity;
use crate::schema::Schema;

/// What is wrong with a text of SQL, as people read it; nothing when it is guarded. Notes and warnings do not count.
pub fn unguarded(sql: &str, schema: &Schema, options: &Options) -> Option<String> {
    let report = crate::check(sql, schema, options);
    let findings = report.findings.into_iter().filter(|finding| finding.severity == Severity::Error).collect();
    let errors = Report { findings, ..Report::default() };
    (!errors.findings.is_empty()).then(|| render::human(&errors, render::Colour::Never))
}

/// Fails the test when a text of SQL could cross tenants, and says why.
///
/// ```
/// use tenantry_lint::{Schema, assert_guarded};
///
/// let schema = Schema::new("tenant_id").reference_tables(["countries"]);
/// assert_guarded("SELECT name FROM orders JOIN countries USING (code) WHERE tenant_id = $1", &schema);
/// ```
///
/// # Panics
/// The SQL has a finding of severity error under the default options.
#[track_caller]
#[allow(clippy::panic, reason = "an assertion of a test fails by panicking")]
pub fn assert_guarded(sql: &str, schema: &Schema) {
    if let Some(text) = unguarded(sql, schema, &Options::default()) {
        panic!("the SQL is not guarded:\n{text}");
    }
}
