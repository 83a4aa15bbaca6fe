//! Files stay small enough to be read at one sitting.
//!
//! Tests do not count: many cases are a virtue. A file over the hard limit may be listed in `xtask/naughty.txt`
//! while it waits to be split; the list only shrinks, since an entry that is no longer needed is a finding too.

use super::{Finding, listed};
use crate::source::Source;
use crate::tree::Tree;

const RULE: &str = "sizes";

/// From here on a file must say why it is long.
const LONG: usize = 400;

/// From here on it is refused.
const TOO_LONG: usize = 600;

/// The words with which a module's doc gives its reason.
const REASON: &str = "Long because";

const NAUGHTY: &str = "xtask/naughty.txt";

/// Compares every source with the limits and the list of exceptions.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let listed = listed(tree.text(NAUGHTY).unwrap_or_default());
    let mut findings = Vec::new();
    for source in tree.sources() {
        let lines = source.product_lines();
        let text = tree.text(&source.path).unwrap_or_default();
        let excused = listed.iter().any(|(_, path)| *path == source.path);
        if lines > TOO_LONG && !excused {
            let message = format!("{lines} lines, the limit is {TOO_LONG}");
            findings.push(Finding::new(RULE, &source.path, 1, message, "split it by concept"));
        } else if lines > LONG && !gives_reason(text) {
            let message = format!("{lines} lines without a reason");
            let hint = format!("split it, or say `{REASON} …` in the module's doc");
            findings.push(Finding::new(RULE, &source.path, 1, message, hint));
        }
    }
    for (line, path) in listed {
        let over = |source: &Source| source.path == path && source.product_lines() > TOO_LONG;
        if !tree.sources().any(over) {
            let message = format!("`{path}` is not over {TOO_LONG} lines any more");
            findings.push(Finding::new(RULE, NAUGHTY, line, message, "remove the entry"));
        }
    }
    findings
}

fn gives_reason(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("//!") && line.contains(REASON))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(doc: &str, lines: usize) -> String {
        format!("//! {doc}\n{}", "fn a() {}\n".repeat(lines - 1))
    }

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn short_files_and_long_tests_pass() {
        let short = file("Short.", 400);
        let tests = file("Tests.", 900);
        let inside = format!("//! A.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "fn a() {}\n".repeat(900));
        let files =
            [("crates/a/src/a.rs", short.as_str()), ("crates/a/tests/it/b.rs", &tests), ("crates/a/src/c.rs", &inside)];
        assert!(findings(&files).is_empty());
    }

    #[test]
    fn long_files_need_a_reason() {
        let with = file("Long because the protocol is.", 500);
        let without = file("A table.", 500);
        assert!(findings(&[("a.rs", &with)]).is_empty());
        assert_eq!(findings(&[("a.rs", &without)]), ["500 lines without a reason"]);
    }

    #[test]
    fn too_long_files_need_the_list() {
        let long = file("Long because of reasons.", 601);
        assert_eq!(findings(&[("a.rs", &long)]), ["601 lines, the limit is 600"]);
        assert!(findings(&[("a.rs", &long), (NAUGHTY, "# why\na.rs # waits\n")]).is_empty());
    }

    #[test]
    fn the_list_only_shrinks() {
        let short = file("Short.", 10);
        let found = findings(&[("a.rs", &short), (NAUGHTY, "a.rs\ngone.rs\n")]);
        assert_eq!(found.len(), 2);
    }
}
