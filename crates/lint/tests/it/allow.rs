//! Allowances: in a list and in comments, and what is said of those that are of no use.

use tenantry_lint::{AllowList, Check, Options, Report, Source};

use crate::world;

fn with_list(name: &str, sql: &str, list: &str, today: &str) -> (Report, Vec<bool>) {
    let mut check = Check::new(world::schema(), Options { today: Some(today.parse().unwrap()), ..Options::default() });
    check.source(Source::sql(name, sql)).allow("lint.toml", AllowList::parse(list).unwrap());
    check.run()
}

const LIST: &str = "[[allow]]\nrule = \"TL101\"\nfile = \"reports/**\"\nreason = \"for the invoice\"\nexpires = \
                    \"2026-12-31\"\n";

#[test]
fn an_entry_moves_the_finding_aside() {
    let (report, used) = with_list("./reports/a/b.sql", "SELECT * FROM orders", LIST, "2026-12-31");
    assert_eq!((report.findings.len(), report.allowed.len()), (0, 1));
    assert_eq!(report.allowed[0].reason, "for the invoice");
    assert_eq!(used, [true]);
}

#[test]
fn expired_and_unmatched_entries_are_findings() {
    let (report, used) = with_list("reports/a.sql", "SELECT * FROM orders", LIST, "2027-01-01");
    assert_eq!(world::found(&report), [("TL101", Some("orders")), ("TL004", None)]);
    assert!(report.findings[1].message.contains("has expired on 2026-12-31"), "{}", report.findings[1].message);
    assert_eq!((report.findings[1].location.input.as_str(), report.findings[1].location.line), ("lint.toml", 1));
    assert_eq!(used, [false]);
    let (report, _) = with_list("other/a.sql", "SELECT * FROM orders", LIST, "2026-01-01");
    assert_eq!(world::found(&report), [("TL101", Some("orders")), ("TL004", None)]);
}

/// A fingerprint is that of the statement with any constants.
#[test]
fn a_fingerprint_holds_for_other_constants() {
    let report = world::check("SELECT * FROM orders WHERE id = 1", Options::default());
    let list =
        format!("[[allow]]\nrule = 'TL101'\nfingerprint = '{}'\nreason = 'known'\n", report.findings[0].fingerprint);
    let (report, _) = with_list("a.sql", "SELECT * FROM orders WHERE id = 42", &list, "2026-01-01");
    assert!(report.findings.is_empty());
    let (report, _) = with_list("a.sql", "SELECT * FROM orders WHERE number = 42", &list, "2026-01-01");
    assert_eq!(world::found(&report), [("TL101", Some("orders")), ("TL004", None)]);
}

#[test]
fn a_comment_allows_one_statement() {
    let sql = "-- tenantry:allow TL101 the invoice\nSELECT * FROM orders;\nSELECT * FROM orders;";
    let report = world::check(sql, Options::default());
    assert_eq!((report.findings.len(), report.findings[0].location.line, report.allowed.len()), (1, 3, 1));
    let inside = "SELECT * -- tenantry:allow TL101: the invoice\nFROM orders";
    assert!(world::check(inside, Options::default()).findings.is_empty());
    let behind = "SELECT * FROM orders; -- tenantry:allow TL101 the invoice\nSELECT 1";
    assert!(world::check(behind, Options::default()).findings.is_empty());
    let block = "/* tenantry:allow TL101 the invoice */ SELECT * FROM orders";
    assert!(world::check(block, Options::default()).findings.is_empty());
}

#[test]
fn comments_without_rule_reason_or_use_are_findings() {
    for (sql, message) in [
        ("-- tenantry:allow TL101\nSELECT 1", "gives no reason"),
        ("-- tenantry:allow TL999 why\nSELECT 1", "is no rule"),
        ("-- tenantry:allow TL101 why\nSELECT 1", "not found here"),
        ("SELECT 1;\n-- tenantry:allow TL101 why", "not found here"),
    ] {
        let report = world::check(sql, Options::default());
        assert_eq!(world::found(&report), [("TL005", None)], "{sql}");
        assert!(report.findings[0].message.contains(message), "{}", report.findings[0].message);
    }
}
