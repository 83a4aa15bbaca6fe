//! Broken input: whatever the bytes are, there is a report and no panic.
//!
//! `TENANTRY_LINT_FUZZ=100000 cargo test -p tenantry-lint --test it mutated` is the long form.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tenantry_lint::Options;

use crate::world;

const CORPUS: &[&str] = &[
    include_str!("../corpus/unguarded.sql"),
    include_str!("../corpus/guarded.sql"),
    include_str!("../corpus/guarded_orm.sql"),
    include_str!("../corpus/schema.sql"),
];

/// What is put in: pieces of grammar that change how the rest is read.
const PIECES: &[&str] = &[
    "'",
    "\"",
    "$$",
    "$a$",
    "--",
    "/*",
    "*/",
    ";",
    "(",
    ")",
    "[",
    "]",
    ",",
    "::",
    "\\",
    "\\copy ",
    "\n",
    "\0",
    "ö",
    "?",
    ":x",
    "%s",
    " SELECT ",
    " WITH RECURSIVE x AS (",
    " UNION ALL ",
    " OR ",
    " NOT ",
    " tenant_id = $1 ",
    " JOIN ",
    " LATERAL ",
    " AS $$ BEGIN ",
    " END $$ ",
    " LANGUAGE plpgsql ",
    "-- tenantry:allow ",
    " COPY x FROM stdin;\n",
    ".",
];

fn statements() -> Vec<String> {
    CORPUS.iter().flat_map(|text| text.split_inclusive(";\n")).map(str::to_owned).collect()
}

/// One mutation: where, how much is taken away, and what is put in.
type Mutation = (prop::sample::Index, u8, prop::sample::Index);

fn mutate(statement: &str, mutations: &[Mutation]) -> String {
    let mut text = statement.to_owned();
    for (place, length, piece) in mutations {
        let boundaries: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let from = place.index(boundaries.len());
        let to = (from + usize::from(*length % 6)).min(boundaries.len() - 1);
        text.replace_range(boundaries[from]..boundaries[to], piece.get::<&str>(PIECES));
    }
    text
}

fn run(cases: u32) {
    let statements = statements();
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    // The same seed each time: a failure is found again.
    let seed = TestRng::from_seed(RngAlgorithm::ChaCha, b"tenantry lint: one seed for all.");
    let mutation = (any::<prop::sample::Index>(), any::<u8>(), any::<prop::sample::Index>());
    let strategy = (any::<prop::sample::Index>(), prop::collection::vec(mutation, 1..6));
    let mut runner = TestRunner::new_with_rng(config, seed);
    let checked = runner.run(&strategy, |(which, mutations)| {
        let text = mutate(which.get::<String>(&statements), &mutations);
        let report = world::check(&text, Options::default());
        for finding in &report.findings {
            prop_assert!(finding.location.line >= 1 && finding.location.column >= 1);
            prop_assert!(finding.snippet.length >= 1);
        }
        tenantry_lint::render::human(&report, tenantry_lint::render::Colour::Never);
        Ok(())
    });
    checked.unwrap();
}

/// The long form is the same test with TENANTRY_LINT_FUZZ set to a number of cases.
#[test]
fn mutated_statements_never_panic() {
    run(std::env::var("TENANTRY_LINT_FUZZ").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1_500));
}

/// Nesting of every kind, far beyond the bounds: a finding, not the end of the process.
#[test]
fn depth_is_bounded() {
    let n = 200_000;
    for text in [
        format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n)),
        format!("SELECT {}1", "1+".repeat(n)),
        format!("SELECT {} true", "NOT ".repeat(n)),
        format!("SELECT {}", "- ".repeat(n)),
        format!("SELECT 1 {}", "UNION SELECT 1 ".repeat(n)),
        format!("SELECT {}1{}", "(SELECT ".repeat(n), ")".repeat(n)),
        format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(n), " END".repeat(n)),
        format!("SELECT a{} FROM t", "::text".repeat(n)),
        format!("SELECT * FROM a {}", "JOIN a ON true ".repeat(n)),
    ] {
        let report = world::check(&text, Options::default());
        assert!(report.findings.iter().any(|finding| matches!(finding.rule.id, "TL001" | "TL002")), "{:.40}", text);
    }
}

/// What is wide and not deep passes: long lists are everyday.
#[test]
fn width_is_free() {
    let list = (0..20_000).map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
    let sql = format!("SELECT * FROM orders WHERE tenant_id = $1 AND number IN ({list})");
    assert!(world::check(&sql, Options::default()).findings.is_empty());
    let rows = (0..5_000).map(|n| format!("($1, {n}, 'x')")).collect::<Vec<_>>().join(", ");
    let sql = format!("INSERT INTO tasks (tenant_id, id, title) VALUES {rows}");
    assert!(world::check(&sql, Options::default()).findings.is_empty());
    let ors = (0..400).map(|n| format!("(tenant_id = $1 AND number = {n})")).collect::<Vec<_>>().join(" OR ");
    let sql = format!("SELECT * FROM orders WHERE {ors}");
    assert!(world::check(&sql, Options::default()).findings.is_empty());
}
