//! Nothing lands that says of itself that it is not finished.
//!
//! `TODO(issue):` is the one allowed tag: it names where the work is tracked. The words below are split, so that
//! this file does not find itself.

use super::Finding;
use crate::source::mentions;
use crate::tree::Tree;

const RULE: &str = "tags";

/// Words refused anywhere in a file, comments and literals included.
const WORDS: &[&str] = &[concat!("FIX", "ME"), concat!("X", "XX")];

/// Code refused in Rust files.
const CODE: &[(&str, &str)] = &[
    ("todo!", "write it, or return an error that says what is missing"),
    ("unimplemented!", "write it, or return an error that says what is missing"),
    ("dbg!", "use tracing, or remove it"),
    ("#[ignore", "a test runs or is removed; long ones get a lane of their own"),
];

/// Files in which words are looked for; prose may talk about tags.
const ENDINGS: &[&str] = &[".rs", ".sql", ".sh", ".toml", ".py", ".js", ".html", ".yaml", ".yml"];

/// Looks for tags in sources, scripts and configuration.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files().filter(|(path, _)| is_checked(path)) {
        for (index, line) in text.lines().enumerate() {
            for word in WORDS.iter().filter(|word| mentions(line, word)) {
                let hint = "finish it, or write TODO(issue): with the issue's number";
                let message = format!("`{word}` cannot land");
                findings.push(Finding::new(RULE, path, index + 1, message, hint));
            }
        }
    }
    for source in tree.sources() {
        for (line, code) in source.lines() {
            for (needle, hint) in CODE.iter().filter(|(needle, _)| holds(code, needle)) {
                let message = format!("`{needle}` cannot land");
                findings.push(Finding::new(RULE, &source.path, line, message, *hint));
            }
        }
    }
    findings
}

fn is_checked(path: &str) -> bool {
    path.starts_with("scripts/") || ENDINGS.iter().any(|ending| path.ends_with(ending))
}

/// Whether code holds the needle at the beginning of a word.
fn holds(code: &str, needle: &str) -> bool {
    code.match_indices(needle).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn finished_work_passes() {
        let text = "// TODO(#12): faster. Never todo!().\nfn f() { \"XX000\"; let my_dbg = 1; }\n";
        assert_eq!(findings("crates/a/src/a.rs", text), 0);
        assert_eq!(findings("scripts/test", "mktemp -d /tmp/a.XXXXXX\n"), 0);
    }

    #[test]
    fn unfinished_work_is_found() {
        for text in ["fn f() { todo!() }", "fn f() { dbg!(1); }", "#[ignore = \"slow\"]\nfn f() {}"] {
            assert_eq!(findings("crates/a/src/a.rs", text), 1, "{text}");
        }
        for word in WORDS {
            assert_eq!(findings("crates/a/migrations/a.sql", &format!("-- {word}: later\n")), 1);
        }
    }
}
