//! SQL that comes from outside our sources enters through listed files only.
//!
//! `Sql::script` takes any text: it exists for migration files of the user. Every file of the product that calls it
//! stands in `xtask/sql-doors.txt` with its reason, so that a new caller is a decision that a reviewer sees. An
//! entry that calls it no more is a finding too.

use super::{Finding, listed};
use crate::source::{Source, mentions};
use crate::tree::Tree;

const RULE: &str = "sql-doors";
const DOOR: &str = "Sql::script";
const LIST: &str = "xtask/sql-doors.txt";

/// Compares the callers with the list.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let listed = listed(tree.text(LIST).unwrap_or_default());
    let mut findings = Vec::new();
    for source in tree.sources_below("crates/") {
        if listed.iter().any(|(_, path)| *path == source.path) {
            continue;
        }
        for line in calls(source) {
            let message = format!("`{DOOR}` outside the listed files");
            let hint = format!("build the statement with `Sql`, or list the file in {LIST}");
            findings.push(Finding::new(RULE, &source.path, line, message, hint));
        }
    }
    for (line, path) in listed {
        let used = |source: &Source| source.path == path && !calls(source).is_empty();
        if !tree.sources().any(used) {
            let message = format!("`{path}` does not call `{DOOR}` any more");
            findings.push(Finding::new(RULE, LIST, line, message, "remove the entry"));
        }
    }
    findings
}

fn calls(source: &Source) -> Vec<usize> {
    source.lines().filter(|(line, code)| mentions(code, DOOR) && !source.is_test(*line)).map(|(line, _)| line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: (&str, &str) = ("crates/a/src/a.rs", "fn f() { Sql::script(text) }\n");

    #[test]
    fn listed_callers_and_tests_pass() {
        let test = ("crates/a/tests/it/a.rs", CALL.1);
        let tree = Tree::of(&[CALL, test, (LIST, "# why\ncrates/a/src/a.rs # migrations\n")]);
        assert_eq!(check(&tree), []);
    }

    #[test]
    fn other_callers_and_stale_entries_are_found() {
        assert_eq!(check(&Tree::of(&[CALL])).len(), 1);
        assert_eq!(check(&Tree::of(&[(LIST, "crates/a/src/gone.rs\n")])).len(), 1);
    }
}
