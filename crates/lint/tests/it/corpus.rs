//! A corpus of statements as applications send them: what could cross tenants is found, what is bound is not.

use tenantry_lint::{Finding, Options, Severity};

use crate::world;

const UNGUARDED: &str = include_str!("../corpus/unguarded.sql");
const GUARDED: &[(&str, &str)] = &[
    ("guarded.sql", include_str!("../corpus/guarded.sql")),
    ("guarded_orm.sql", include_str!("../corpus/guarded_orm.sql")),
];

/// A statement of the corpus with what is expected of it, `RULE table`.
struct Case {
    line: usize,
    expected: Vec<(String, String)>,
    sql: String,
}

/// Statements end with a semicolon at the end of a line; `\copy` is a line.
fn cases(text: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut case = Case { line: 0, expected: Vec::new(), sql: String::new() };
    for (index, line) in text.lines().enumerate() {
        if let Some(expected) = line.strip_prefix("-- expect: ") {
            let (rule, table) = expected.split_once(' ').unwrap();
            case.expected.push((rule.to_owned(), table.to_owned()));
        } else if case.sql.is_empty() && (line.starts_with("--") || line.is_empty() || line == "\\.") {
            continue;
        } else {
            if case.sql.is_empty() {
                case.line = index + 1;
            }
            case.sql.push_str(line);
            case.sql.push('\n');
            if line.ends_with(';') || line.starts_with('\\') {
                cases.push(std::mem::replace(&mut case, Case { line: 0, expected: Vec::new(), sql: String::new() }));
            }
        }
    }
    assert!(case.sql.is_empty(), "the last statement has no end");
    cases
}

fn errors(sql: &str) -> Vec<Finding> {
    let findings = world::check(sql, Options::default()).findings;
    findings.into_iter().filter(|finding| finding.severity == Severity::Error).collect()
}

/// Every case is found, by the rule and on the table that it names, and by no other.
#[test]
fn what_could_cross_is_found() {
    let cases = cases(UNGUARDED);
    let mut wrong = Vec::new();
    for case in &cases {
        let mut expected = case.expected.clone();
        expected.sort();
        let mut found: Vec<_> = errors(&case.sql)
            .iter()
            .map(|finding| (finding.rule.id.to_owned(), finding.table.clone().unwrap_or_else(|| "-".to_owned())))
            .collect();
        found.sort();
        if found != expected || expected.is_empty() {
            wrong.push(format!("line {}: expected {expected:?}, found {found:?}\n{}", case.line, case.sql));
        }
    }
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(cases.len() >= 60, "the corpus has {} statements", cases.len());
    println!("{} unguarded statements, all found", cases.len());
}

/// No statement of the guarded part is found, not even with a warning.
#[test]
fn what_is_bound_is_not_found() {
    let mut wrong = Vec::new();
    let mut number = 0;
    let everything = GUARDED.iter().map(|(_, text)| *text).collect::<Vec<_>>().concat().repeat(5);
    let begun = std::time::Instant::now();
    let statements = world::check(&everything, Options::default()).statements;
    let rate = statements as f64 / begun.elapsed().as_secs_f64();
    for (file, text) in GUARDED {
        for case in cases(text) {
            number += 1;
            let findings = world::check(&case.sql, Options::default()).findings;
            if !findings.is_empty() {
                let said: Vec<_> =
                    findings.iter().map(|finding| format!("{}: {}", finding.rule.id, finding.message)).collect();
                wrong.push(format!("{file}:{}: {said:?}\n{}", case.line, case.sql));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {number} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(number >= 200, "the corpus has {number} statements");
    // A figure to look at, not a condition.
    println!("{number} guarded statements, none found; {rate:.0} statements per second");
}
