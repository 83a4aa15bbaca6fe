//! Every public error code has a page that says what happened and what to do, and no page outlives its code.
//!
//! The codes are a table in the domain's `code.rs`, one per line; the number is read from there, so that this rule
//! and the product cannot disagree.

use std::collections::BTreeMap;

use super::Finding;
use crate::tree::Tree;

const RULE: &str = "codes";
const TABLE: &str = "crates/domain/src/code.rs";
const PAGES: &str = "docs/errors/";

/// Compares the table of codes with the folder of pages.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut codes = BTreeMap::new();
    for (index, line) in tree.text(TABLE).unwrap_or_default().lines().enumerate() {
        let Some(number) = number(line) else { continue };
        let code = format!("TEN-{number:04}");
        if let Some(first) = codes.insert(code.clone(), index + 1) {
            let message = format!("{code} is given twice, first in line {first}");
            findings.push(Finding::new(RULE, TABLE, index + 1, message, "take the next free number"));
        }
    }
    for (code, line) in &codes {
        let page = format!("{PAGES}{code}.md");
        let heading = tree.text(&page).map(|text| text.lines().next().unwrap_or_default());
        match heading {
            None => {
                let hint = format!("write {page}: what happened, why, what to do");
                findings.push(Finding::new(RULE, TABLE, *line, format!("{code} has no page"), hint));
            }
            Some(heading) if !heading.contains(code.as_str()) => {
                let hint = format!("begin it with `# {code}: <title>`");
                findings.push(Finding::new(RULE, &page, 1, "the heading lacks the code", hint));
            }
            Some(_) => {}
        }
    }
    for (path, _) in tree.files_below(PAGES) {
        let name = &path[PAGES.len()..];
        let code = name.strip_suffix(".md").unwrap_or(name);
        if code.starts_with("TEN-") && !codes.contains_key(code) {
            let hint = "remove the page, or put the code back";
            findings.push(Finding::new(RULE, path, 1, format!("no code {code}"), hint));
        }
    }
    findings
}

/// The number of a table line such as `InvalidManifest = 1, Invalid, "title", "hint";`.
fn number(line: &str) -> Option<u32> {
    let (name, rest) = line.split_once('=')?;
    let name = name.trim();
    let named = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.len() > 1
        && name.chars().all(|c| c.is_ascii_alphanumeric());
    let (number, _) = rest.split_once(',')?;
    named.then(|| number.trim().parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODES: &str = "//! Codes.\ncodes! {\n    InvalidManifest = 1, Invalid, \"a\", \"b\";\n    UnknownTenant = 20, NotFound, \"a\", \"b\";\n}\n";

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_page_per_code_passes() {
        let files = [
            (TABLE, CODES),
            ("docs/errors/README.md", "# Errors\n"),
            ("docs/errors/TEN-0001.md", "# TEN-0001: The manifest is invalid\n"),
            ("docs/errors/TEN-0020.md", "# TEN-0020: No such tenant\n"),
        ];
        assert!(findings(&files).is_empty());
    }

    #[test]
    fn missing_and_stale_pages_are_found() {
        let files = [
            (TABLE, CODES),
            ("docs/errors/TEN-0001.md", "# The manifest is invalid\n"),
            ("docs/errors/TEN-0002.md", "# TEN-0002: Gone\n"),
        ];
        assert_eq!(findings(&files), ["the heading lacks the code", "TEN-0020 has no page", "no code TEN-0002"]);
    }

    #[test]
    fn a_number_is_given_once() {
        let twice = "    One = 1, Invalid, \"\", \"\";\n    Two = 1, Invalid, \"\", \"\";\n";
        let files = [(TABLE, twice), ("docs/errors/TEN-0001.md", "# TEN-0001\n")];
        assert_eq!(findings(&files), ["TEN-0001 is given twice, first in line 1"]);
    }
}
