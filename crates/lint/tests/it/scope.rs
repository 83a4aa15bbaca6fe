//! Remarks on conditions that look as if they bound a table, and choices of the caller.

use tenantry_lint::{Options, Schema, Unknown, check};

use crate::world;

fn notes(sql: &str) -> Vec<String> {
    let report = world::check(sql, Options::default());
    report.findings.iter().flat_map(|finding| finding.notes.iter().map(|note| note.message.clone())).collect()
}

#[test]
fn near_misses_are_explained() {
    for (condition, part) in [
        ("tenant_id <> $1", "only equality"),
        ("NOT (tenant_id = $1)", "negated"),
        ("tenant_id IN ($1, $2)", "several tenants"),
        ("tenant_id = ANY($1)", "`= ANY`"),
        ("tenant_id = $1 OR status = 'x'", "some branches"),
        ("tenant_id = tenant_id", "equals itself"),
        ("tenant_id = random_tenant()", "no parameter"),
        ("tenant_id BETWEEN $1 AND $2", "range"),
        ("tenant_id IS NULL", "names no tenant"),
        ("coalesce(tenant_id = $1, true)", "hidden in a function"),
        ("CASE WHEN true THEN tenant_id = $1 END", "inside of CASE"),
    ] {
        let notes = notes(&format!("SELECT * FROM orders WHERE {condition}"));
        assert!(notes.iter().any(|note| note.contains(part)), "{condition}: {notes:?}");
    }
    let outer = "SELECT * FROM customers c LEFT JOIN orders o ON o.tenant_id = c.tenant_id AND c.tenant_id = $1";
    assert!(notes(outer).iter().any(|note| note.contains("outer join")), "{:?}", notes(outer));
}

#[test]
fn context_functions_are_a_choice() {
    let sql = "SELECT * FROM orders WHERE tenant_id = app.current_org()";
    assert_eq!(world::ids(sql), ["TL101"]);
    let mut options = Options::default();
    options.context_functions.push("app.current_org".to_owned());
    assert!(world::check(sql, options).findings.is_empty());
}

#[test]
fn another_tenant_column_is_a_choice() {
    let schema = Schema::new("org_id").unknown_tables(Unknown::Tenant);
    let ids = |sql: &str| -> Vec<_> {
        check(sql, &schema, &Options::default()).findings.iter().map(|finding| finding.rule.id).collect()
    };
    assert_eq!(ids("SELECT * FROM anything WHERE org_id = $1"), [""; 0]);
    assert_eq!(ids("SELECT * FROM anything WHERE tenant_id = $1"), ["TL101"]);
    let none = Schema::without_tenant_column();
    assert!(check("SELECT * FROM anything", &none, &Options::default()).findings.is_empty());
}

#[test]
fn one_broken_statement_hides_no_other() {
    let sql = "SELEC 1;\nSELECT * FROM orders;\nSELECT 'open";
    let report = world::check(sql, Options::default());
    let found: Vec<_> = report.findings.iter().map(|finding| (finding.rule.id, finding.location.line)).collect();
    assert_eq!(found, [("TL001", 1), ("TL101", 2), ("TL001", 3)]);
}

/// Bodies of triggers speak of rows of one tenant.
#[test]
fn triggers_know_their_rows() {
    let body = |text: &str| {
        world::ids(&format!(
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {text} RETURN NEW; END $$"
        ))
    };
    assert_eq!(
        body("UPDATE orders SET note = 'x' WHERE tenant_id = NEW.tenant_id AND id = OLD.id; NEW.note := 'x';"),
        [""; 0]
    );
    assert_eq!(body("UPDATE orders SET note = 'x' WHERE id = NEW.id;"), ["TL102"]);
    assert_eq!(body("EXECUTE 'DELETE FROM ' || TG_TABLE_NAME;"), ["TL003"]);
    assert_eq!(body("EXECUTE 'DELETE FROM jobs';"), ["TL103"]);
}

/// Under forced policies a statement needs no condition of its own; what policies do not bind is still found.
#[test]
fn policies_may_be_relied_on() {
    let ids = |sql: &str| -> Vec<_> {
        let report = world::check(sql, Options { trust_policies: true, ..Options::default() });
        report.findings.iter().map(|finding| finding.rule.id).collect()
    };
    assert_eq!(ids("SELECT * FROM orders; UPDATE orders SET note = 'x'; DELETE FROM jobs"), [""; 0]);
    assert_eq!(ids("TRUNCATE orders; UPDATE orders SET tenant_id = $1; SET ROLE x"), ["TL111", "TL105", "TL301"]);
}
