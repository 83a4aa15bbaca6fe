//! What real frameworks emit: all of it parses, and the linter says of it what is true.
//!
//! `tests/fixtures/regenerate.sh` writes the fixtures anew with the frameworks themselves.

use tenantry_lint::{Options, Report, Schema, Source, Unknown};

const FIXTURES: &[(&str, &str)] = &[
    ("django.sql", include_str!("../fixtures/django.sql")),
    ("structure.sql", include_str!("../fixtures/structure.sql")),
    ("alembic.sql", include_str!("../fixtures/alembic.sql")),
    ("drizzle.sql", include_str!("../fixtures/drizzle.sql")),
];

fn check(name: &str) -> Report {
    let (name, text) = FIXTURES.iter().find(|(known, _)| *known == name).unwrap();
    let schema = Schema::new("tenant_id").unknown_tables(Unknown::Ignore);
    let mut check = tenantry_lint::Check::new(schema, Options::default());
    check.source(Source::sql(*name, *text));
    check.run().0
}

fn says(report: &Report, rule: &str, part: &str) -> bool {
    report.findings.iter().any(|finding| finding.rule.id == rule && finding.message.contains(part))
}

#[test]
fn everything_parses() {
    for (name, least) in [("django.sql", 60), ("structure.sql", 80), ("alembic.sql", 15), ("drizzle.sql", 8)] {
        let report = check(name);
        let refused: Vec<_> = report
            .findings
            .iter()
            .filter(|finding| finding.rule.id < "TL004")
            .map(|finding| &finding.message)
            .collect();
        assert!(refused.is_empty(), "{name}: {refused:?}");
        assert!(report.statements >= least, "{name} has {} statements", report.statements);
        println!("{name}: {} statements, {} findings", report.statements, report.findings.len());
    }
}

/// Tables of Django's own apps have no tenant; the model with a composite key has, and its foreign key is told apart.
#[test]
fn django_is_judged() {
    let report = check("django.sql");
    assert!(says(&report, "TL201", "auth_user"));
    assert!(!says(&report, "TL201", "shop_"));
    assert!(says(&report, "TL204", "shop_order"), "the primary key of a plain model is `id` alone");
    assert!(says(&report, "TL205", "shop_order"), "the reference to the parent order has no tenant");
    assert!(!says(&report, "TL204", "shop_customer"));
}

/// The same tables, finished by ALTER TABLE behind a search path that is empty.
#[test]
fn a_dump_is_judged_alike() {
    let report = check("structure.sql");
    assert!(says(&report, "TL201", "auth_user"));
    assert!(says(&report, "TL204", "shop_order"));
    assert!(
        !report.findings.iter().any(|finding| finding.rule.id.starts_with("TL3")),
        "the head of a dump is no session"
    );
    assert!(!says(&report, "TL206", "shop_customer"), "its key begins with the tenant, and comes by ALTER TABLE");
}

#[test]
fn alembic_is_judged() {
    let report = check("alembic.sql");
    assert!(says(&report, "TL201", "alembic_version"));
    assert!(!says(&report, "TL205", "entries") && !says(&report, "TL204", "entries"));
    assert!(says(&report, "TL102", "entries"), "the UPDATE of the second migration");
    assert!(!says(&report, "TL403", "entries"), "the index is made CONCURRENTLY");
}

#[test]
fn drizzle_is_judged() {
    let report = check("drizzle.sql");
    assert!(!report.findings.iter().any(|finding| finding.severity == tenantry_lint::Severity::Error), "{report:#?}");
}
