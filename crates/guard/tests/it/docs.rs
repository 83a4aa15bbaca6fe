//! The table of checks in the documentation is that of the data.

use std::path::PathBuf;

use tenantry_guard::{Catalog, markdown};

const BEGIN: &str = "<!-- begin: rendered from crates/guard/checks, see crates/guard/tests/it/docs.rs -->\n";
const END: &str = "<!-- end -->\n";

#[test]
fn the_page_is_fresh() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/guard.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let wanted = format!("{before}{BEGIN}\n{}\n{END}{after}", markdown(Catalog::get().unwrap()));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, wanted).unwrap();
    } else {
        assert!(page == wanted, "docs/guard.md is stale: UPDATE_DOCS=1 cargo nextest run -p tenantry-guard docs");
    }
}

/// Every row of the design's catalogue of leaks is there.
#[test]
fn no_row_is_missing() {
    let ids: Vec<&str> = Catalog::get().unwrap().checks().iter().map(|check| check.id.as_str()).collect();
    let rows = (1..=5).map(|n| format!("R{n}"));
    let rows = rows.chain((1..=16).map(|n| format!("T{n}")));
    let rows = rows.chain((1..=6).map(|n| format!("F{n}")));
    for row in rows.chain((1..=14).map(|n| format!("S{n}"))) {
        let there = ids.iter().any(|id| id.trim_end_matches(|c: char| c.is_ascii_lowercase()) == row);
        assert!(there, "{row} has no check");
    }
}
