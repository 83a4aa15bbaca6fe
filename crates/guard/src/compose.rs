//! Puts the checks' queries together, so that one round trip answers all of them.
//!
//! The largest cost is to look at the large catalogs; so each common table expression is there once, whichever checks
//! name it. A check that fails alone must not silence the others: then each is asked by itself.

use std::collections::BTreeSet;

use tenantry_pg::Sql;

use crate::catalog::{Catalog, Check, Part};
use crate::policy::{FUNCTIONS, POLICIES};

/// The names under which facts for our own judgement come back.
pub(crate) const POLICY_FACTS: &str = "~policy";
pub(crate) const FUNCTION_FACTS: &str = "~function";
pub(crate) const APP_FACTS: &str = "~app";
pub(crate) const SEAL_FACTS: &str = "~sealed";
pub(crate) const TABLE_FACTS: &str = "~tables";

const APPS: &str = "SELECT rolname::text AS object, NULL::text AS detail, NULL::text AS fix_sql FROM app";
const SEALED: &str = "SELECT yes::text AS object, NULL::text AS detail, NULL::text AS fix_sql FROM sealed";
const TABLES: &str =
    "SELECT count(*)::text AS object, NULL::text AS detail, NULL::text AS fix_sql FROM tenant_table WHERE common";

/// One query and the name of its rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    pub name: &'static str,
    pub sql: &'static str,
    /// Facts are read whole; findings are bounded.
    pub bounded: bool,
}

/// The pieces that some checks need: their queries, and the facts for those that are judged here.
pub(crate) fn pieces(checks: &[&'static Check]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = checks
        .iter()
        .filter_map(|check| Some(Piece { name: check.id.as_str(), sql: check.sql.as_deref()?, bounded: true }))
        .collect();
    let fact = |name, sql| Piece { name, sql, bounded: false };
    pieces.push(fact(APP_FACTS, APPS));
    if checks.iter().any(|check| check.policy.is_some()) {
        pieces.extend([fact(POLICY_FACTS, POLICIES), fact(FUNCTION_FACTS, FUNCTIONS), fact(SEAL_FACTS, SEALED)]);
        pieces.push(fact(TABLE_FACTS, TABLES));
    }
    pieces
}

/// One statement that answers them all. Rows are `name`, `object`, `detail`, `fix_sql`.
pub(crate) fn compose(catalog: &'static Catalog, pieces: &[Piece], limit: i64) -> Sql {
    let mut sql = Sql::new("WITH RECURSIVE ");
    for (index, part) in wanted(catalog, pieces).into_iter().enumerate() {
        sql = sql.push(if index == 0 { "" } else { ",\n" });
        // Read once even where it is named once: the planner knows too little about catalogs to merge them well.
        let kind = if is_recursive(part) { " AS (" } else { " AS MATERIALIZED (" };
        sql = sql.push(part.name.as_str()).push(kind).push(part.sql.as_str()).push(")");
    }
    for (index, piece) in pieces.iter().enumerate() {
        sql = sql.push(if index == 0 { "\n" } else { "\nUNION ALL\n" });
        sql = sql
            .push("(SELECT ")
            .literal(piece.name)
            .push("::text AS name, x.object::text, x.detail::text, x.fix_sql::text FROM (");
        sql = sql.push(piece.sql).push(") AS x");
        if piece.bounded {
            // One more than is shown, so that the report can say that there are more.
            sql = sql.push(" ORDER BY 2 LIMIT ").int(limit + 1);
        }
        sql = sql.push(")");
    }
    sql
}

fn is_recursive(part: &Part) -> bool {
    names(&part.sql).contains(part.name.as_str())
}

/// The parts that the pieces name, and those that these name, in the catalog's order.
fn wanted(catalog: &'static Catalog, pieces: &[Piece]) -> Vec<&'static Part> {
    let mut named: BTreeSet<&str> = pieces.iter().flat_map(|piece| names(piece.sql)).collect();
    // Gives every parameter its type, whoever uses it.
    named.insert("input");
    let mut parts: Vec<&'static Part> = Vec::new();
    for part in catalog.parts.iter().rev() {
        if named.contains(part.name.as_str()) {
            named.extend(names(&part.sql));
            parts.push(part);
        }
    }
    parts.reverse();
    parts
}

/// All words of a statement.
fn names(sql: &str) -> BTreeSet<&str> {
    sql.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_put_in() {
        let catalog = Catalog::get().unwrap();
        let piece = Piece {
            name: "X1",
            sql: "SELECT rolname AS object, NULL AS detail, NULL AS fix_sql FROM app",
            bounded: true,
        };
        let sql = compose(catalog, &[piece], 10);
        let text = sql.as_str();
        for part in ["input AS", "candidate AS", "closure AS (", "app AS"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("tenant_table") && !text.contains("view_source"), "{text}");
    }

    #[test]
    fn every_part_is_used() {
        let catalog = Catalog::get().unwrap();
        let checks: Vec<&Check> = catalog.checks().iter().collect();
        let used = wanted(catalog, &pieces(&checks));
        let idle: Vec<&str> = catalog
            .parts
            .iter()
            .map(|part| part.name.as_str())
            .filter(|name| !used.iter().any(|p| p.name == *name))
            .collect();
        assert_eq!(idle, Vec::<&str>::new());
    }
}
