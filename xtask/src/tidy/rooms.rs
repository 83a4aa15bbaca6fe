//! Each crate is a room with things that do not belong in it.
//!
//! The core has no clock, no randomness and no I/O; the brain writes no SQL and speaks no HTTP; the doors do not
//! reach past the brain; and no SQL is glued together outside the crate that quotes identifiers. Comments and tests
//! are exempt: they may name what the product must not do.

use std::collections::BTreeSet;

use super::Finding;
use crate::source::{Source, mentions};
use crate::tree::Tree;

const RULE: &str = "rooms";

struct Room {
    folder: &'static str,
    banned: &'static [&'static str],
    hint: &'static str,
}

const ROOMS: &[Room] = &[
    Room {
        folder: "crates/domain/src/",
        banned: &[
            "tokio",
            "std::fs",
            "std::env",
            "std::net",
            "Timestamp::now",
            "Zoned::now",
            "SystemTime::now",
            "Instant::now",
            "Uuid::new_v4",
            "Uuid::now_v7",
        ],
        hint: "the core is pure: take time, ids and input as values",
    },
    Room {
        folder: "crates/control/src/",
        banned: &["axum"],
        hint: "the brain knows no HTTP: return a value or an error",
    },
    Room {
        folder: "crates/server/src/",
        banned: &["tenantry_store", "tenantry_pg", "tenantry_dataplane"],
        hint: "doors go through a use case in tenantry-control",
    },
    Room {
        folder: "crates/tenantry/src/commands",
        banned: &["tenantry_store", "tenantry_control", "tenantry_dataplane", "tenantry_server"],
        hint: "commands speak only the public API: use the client in tenantry-api",
    },
];

/// Rooms that put statements together: the one that quotes identifiers, and the test kit, of which nothing ships.
const SQL_ROOMS: &[&str] = &["crates/pg/", "crates/testkit/"];

/// Words that open a statement.
const STATEMENTS: &[&str] = &["SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER"];

/// What gives SQL away inside a longer text. Bare `DELETE` is missing on purpose: it is an HTTP method too.
const SQL_PHRASES: &[&str] = &[
    "SELECT ",
    "INSERT INTO ",
    "UPDATE ",
    "DELETE FROM ",
    "CREATE ",
    "ALTER ",
    "DROP ",
    "GRANT ",
    "REVOKE ",
    "TRUNCATE ",
    "SET LOCAL ",
    "SET ROLE ",
    " WHERE ",
];

/// Macros that put text together.
const GLUE: &[&str] = &["format!(", "write!(", "writeln!("];

/// Looks for what does not belong.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.sources_below("crates/") {
        for room in ROOMS.iter().filter(|room| source.path.starts_with(room.folder)) {
            findings.extend(banned(source, room));
        }
        if source.path.starts_with("crates/control/src/") {
            findings.extend(statements(source));
        }
        let may_glue = SQL_ROOMS.iter().any(|room| source.path.starts_with(room));
        if source.path.contains("/src/") && !may_glue {
            findings.extend(glued_sql(source));
        }
    }
    findings
}

fn banned(source: &Source, room: &Room) -> Vec<Finding> {
    let mut found = BTreeSet::new();
    for needle in room.banned {
        found.extend(source.lines().filter(|(_, code)| mentions(code, needle)).map(|(line, _)| (line, *needle)));
        let below = format!("{needle}::");
        found.extend(
            source
                .uses()
                .into_iter()
                .filter(|(_, path)| path == needle || path.starts_with(&below))
                .map(|(line, _)| (line, *needle)),
        );
    }
    found
        .into_iter()
        .filter(|(line, _)| !source.is_test(*line))
        .map(|(line, needle)| {
            let message = format!("`{needle}` has no place in {}", room.folder);
            Finding::new(RULE, &source.path, line, message, room.hint)
        })
        .collect()
}

fn statements(source: &Source) -> Vec<Finding> {
    source
        .strings
        .iter()
        .filter(|literal| opens_statement(&literal.text))
        .map(|literal| source.line(literal.at))
        .filter(|line| !source.is_test(*line))
        .map(|line| {
            let hint = "statements live in tenantry-store and tenantry-dataplane";
            Finding::new(RULE, &source.path, line, "SQL text in the brain", hint)
        })
        .collect()
}

fn opens_statement(text: &str) -> bool {
    let text = text.trim_start();
    STATEMENTS.iter().any(|word| text.strip_prefix(word).is_some_and(|rest| rest.starts_with(char::is_whitespace)))
}

fn glued_sql(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for glue in GLUE {
        for (at, _) in source.code.match_indices(glue) {
            let joined = source.code[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
            let line = source.line(at);
            if joined || source.is_test(line) {
                continue;
            }
            let end = source.closing(at + glue.len() - 1);
            let holds_sql = source
                .strings
                .iter()
                .filter(|literal| (at..end).contains(&literal.at))
                .any(|literal| SQL_PHRASES.iter().any(|phrase| has_phrase(&literal.text, phrase)));
            if holds_sql {
                let message = format!("`{})` puts SQL together", glue);
                let hint = "bind values as parameters, and build identifiers with tenantry-pg";
                findings.push(Finding::new(RULE, &source.path, line, message, hint));
            }
        }
    }
    findings
}

/// Whether `text` holds the phrase, not as the end of a longer word.
fn has_phrase(text: &str, phrase: &str) -> bool {
    text.match_indices(phrase).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        phrase.starts_with(' ') || !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [usize; 0] = [];

    fn findings(path: &str, text: &str) -> Vec<usize> {
        check(&Tree::of(&[(path, text)])).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn the_core_is_pure() {
        let path = "crates/domain/src/a.rs";
        assert_eq!(findings(path, "//! Never tokio.\nfn f(now: Timestamp) {}\n"), NONE);
        assert_eq!(findings(path, "fn f() { Timestamp::now() }\n"), [1]);
        assert_eq!(findings(path, "use std::{\n    env,\n    fmt,\n};\n"), [1]);
        assert_eq!(findings(path, "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n"), NONE);
    }

    #[test]
    fn the_brain_writes_no_sql() {
        let path = "crates/control/src/a.rs";
        assert_eq!(findings(path, "const A: &str = \"Select a plan\";\n"), NONE);
        assert_eq!(findings(path, "const A: &str = \"\n  SELECT 1\";\n"), [1]);
        assert_eq!(findings("crates/store/src/a.rs", "const A: &str = \"SELECT 1\";\n"), NONE);
        assert_eq!(findings(path, "use axum::Json;\n"), [1]);
    }

    #[test]
    fn doors_go_through_the_brain() {
        assert_eq!(findings("crates/server/src/a.rs", "use tenantry_control::Ctx;\n"), NONE);
        assert_eq!(findings("crates/server/src/a.rs", "use tenantry_store::Store;\n"), [1]);
        assert_eq!(findings("crates/tenantry/src/roles/serve.rs", "use tenantry_store::Store;\n"), NONE);
        assert_eq!(findings("crates/tenantry/src/commands/get.rs", "use tenantry_store::Store;\n"), [1]);
    }

    #[test]
    fn sql_is_put_together_in_one_crate() {
        let glued = "fn f() {\n    format!(\n        \"DROP SCHEMA {x}\",\n    );\n}\n";
        assert_eq!(findings("crates/dataplane/src/a.rs", glued), [2]);
        assert_eq!(findings("crates/pg/src/a.rs", glued), NONE);
        assert_eq!(findings("crates/api/src/a.rs", "fn f() { format!(\"DELETE {url}\") }\n"), NONE);
        assert_eq!(findings("crates/dataplane/tests/it/a.rs", glued), NONE);
    }
}
