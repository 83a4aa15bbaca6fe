//! The page of rules in the docs is what the program knows. `UPDATE_DOCS=1` writes its table anew.

use std::path::PathBuf;

use tenantry_lint::render;

const BEGIN: &str = "<!-- begin: rendered from the rules, see crates/lint/tests/it/page.rs -->\n";
const END: &str = "<!-- end -->\n";

#[test]
fn the_table_of_rules_is_fresh() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/lint.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once(BEGIN).expect("the page has no mark of the beginning");
    let (found, tail) = rest.split_once(END).expect("the page has no mark of the end");
    let table = format!("\n{}\n", render::table());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{table}{END}{tail}")).unwrap();
    } else {
        assert!(found == table, "docs/lint.md is stale: UPDATE_DOCS=1 cargo test -p tenantry-lint page");
    }
}

#[test]
fn every_rule_explains_itself() {
    for rule in tenantry_lint::rules() {
        let text = render::explanation(rule);
        assert!(text.contains(rule.id) && text.contains("Found:") && text.contains("Not found:"), "{text}");
    }
}
