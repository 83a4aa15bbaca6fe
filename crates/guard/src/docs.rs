//! The table of all checks for the documentation, made from the data.

use std::fmt::Write as _;

use crate::catalog::{Catalog, Scope};

/// A Markdown table of all checks, and what each of them means.
#[must_use]
pub fn markdown(catalog: &Catalog) -> String {
    let mut out =
        String::from("| check | severity | looks at | finding | why | what to do |\n|---|---|---|---|---|---|\n");
    for check in catalog.checks() {
        let scope = match (&check.levels, check.scope) {
            (Some(levels), scope) => format!("{}, level {}", scope.as_str(), levels.join(" and ")),
            (None, Scope::Place) => "a tenant's schema".to_owned(),
            (None, scope) => scope.as_str().to_owned(),
        };
        let mut why = check.why.clone();
        for reference in &check.references {
            let _ = write!(why, " [Read more]({reference}).");
        }
        let cell = |text: &str| text.replace('|', "\\|");
        let _ = writeln!(
            out,
            "| `{}` | {} | {scope} | {} | {} | {} |",
            check.id,
            check.severity,
            cell(&check.title),
            cell(&why),
            cell(&check.fix)
        );
    }
    out
}
