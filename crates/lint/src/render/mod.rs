//! The report for people, for programs (JSON) and for code scanning (SARIF), and the rules as text.
//!
//! INVARIANT: text of an input reaches a terminal without control characters.

mod human;
mod rules;
mod sarif;

pub use human::{Colour, human};
pub use rules::{explanation, table};
pub use sarif::sarif;

use crate::finding::Report;

/// The report as one JSON document.
///
/// # Errors
/// Never for a report of this crate; a program has to handle it all the same.
pub fn json(report: &Report) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(report)
}
