//! Every rule finds its bad example and leaves its good one alone.

use tenantry_lint::{AllowList, Check, Example, Options, Report, Rule, Severity, Source, rules};

use crate::world;

fn report(rule: &Rule, sql: &str) -> Report {
    let mut options = Options { tier: rule.tiers[0], ..Options::default() };
    let mut list = None;
    match rule.example {
        Example::Plain => {}
        Example::RequireGuard => options.require_guard = true,
        Example::NoDefault => options.allow_default = false,
        Example::Shallow => {
            options.nesting_max = 30;
            options.query_depth_max = 3;
        }
        Example::Allow(text) => list = Some(AllowList::parse(text).unwrap()),
    }
    let mut check = Check::new(world::schema(), options);
    check.source(Source::sql("schema.sql", world::SCHEMA).only_structure());
    check.source(Source::sql("example.sql", sql));
    if let Some(list) = list {
        check.allow("allow.toml", list);
    }
    check.run().0
}

#[test]
fn bad_examples_are_found_by_their_rule() {
    for rule in rules() {
        let report = report(rule, rule.bad);
        let ids: Vec<_> = report.findings.iter().map(|finding| finding.rule.id).collect();
        assert!(ids.contains(&rule.id), "{} found {ids:?} in its own bad example", rule.id);
    }
}

/// A good example is one to copy: nothing of severity error is wrong with it at all.
#[test]
fn good_examples_are_good() {
    for rule in rules() {
        let report = report(rule, rule.good);
        let ids: Vec<_> = report.findings.iter().map(|finding| (finding.rule.id, &finding.message)).collect();
        assert!(!ids.iter().any(|(id, _)| *id == rule.id), "{}: {ids:?}", rule.id);
        assert!(!report.denies(Severity::Error), "{}: {ids:?}", rule.id);
    }
}

/// A bad example shows one mistake.
#[test]
fn bad_examples_show_one_mistake() {
    for rule in rules().filter(|rule| !matches!(rule.id, "TL003" | "TL005" | "TL004")) {
        let errors: Vec<_> = report(rule, rule.bad)
            .findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error && finding.rule.id != rule.id)
            .map(|finding| finding.rule.id)
            .collect();
        assert!(errors.is_empty(), "{} also shows {errors:?}", rule.id);
    }
}

/// Rules about comments, drivers and texts of their own, which no body has.
const OUTSIDE: &[&str] = &["TL001", "TL002", "TL004", "TL005"];

/// What stands in a block or in a routine is judged as if it stood outside.
#[test]
fn bad_examples_are_found_inside_of_bodies() {
    let mut wrong = Vec::new();
    for rule in rules().filter(|rule| !OUTSIDE.contains(&rule.id)) {
        let bad = rule.bad.trim_end_matches(';');
        // PL/pgSQL has another DECLARE, and does not take this one.
        let procedural = rule.id != "TL310";
        for (kind, sql) in [
            ("block", format!("DO $x$ BEGIN\n{bad};\nEND $x$")),
            ("routine", format!("CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $x$ BEGIN\n{bad};\nEND $x$")),
            ("function in SQL", format!("CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $x$\n{bad};\n$x$")),
            ("constant text", format!("DO $x$ BEGIN EXECUTE $y$\n{bad}\n$y$; END $x$")),
        ] {
            if !procedural && matches!(kind, "block" | "routine") {
                continue;
            }
            let report = report(rule, &sql);
            let found = report.findings.iter().find(|finding| finding.rule.id == rule.id);
            match found {
                // One that has a place stands on the line of the inner statement.
                Some(finding) if finding.rule.id == "TL308" || finding.location.line <= 2 => {}
                other => wrong.push(format!("{} in a {kind}: {:?}", rule.id, other.map(|it| &it.location))),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
