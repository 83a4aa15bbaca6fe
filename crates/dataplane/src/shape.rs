//! Comparing a place's structure with the one that its migrations left.
//!
//! Both sides are the lines of [`crate::catalog`]. What the guard already judged is not told twice.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::{Finding, FindingKind};
use crate::protect::judge::word;

/// The differences between the recorded lines and the present ones, apart from those of objects in `judged`.
pub(crate) fn differences(recorded: &[String], present: &[String], judged: &[Finding]) -> Vec<Finding> {
    let (before, now) = (parse(recorded), parse(present));
    let tables = |side: &Side<'_>| -> BTreeMap<String, String> {
        let relations = side.iter().filter(|((kind, ..), _)| *kind == "R");
        relations.map(|((_, table, _), facts)| ((*table).to_owned(), label(table, facts))).collect()
    };
    let (old_tables, new_tables) = (tables(&before), tables(&now));
    let told: BTreeSet<&str> = judged.iter().map(|finding| finding.object.as_str()).collect();
    let mut found = Vec::new();
    for (table, object) in &old_tables {
        if !new_tables.contains_key(table) {
            found.push(Finding::reported(FindingKind::TableMissing, object, "is gone"));
        }
    }
    for (table, object) in &new_tables {
        if !old_tables.contains_key(table) {
            found.push(Finding::reported(FindingKind::TableExtra, object, "was made by no migration"));
        }
    }
    let common = |table: &str| table.is_empty() || (old_tables.contains_key(table) && new_tables.contains_key(table));
    let keys: BTreeSet<_> = before.keys().chain(now.keys()).filter(|(_, table, _)| common(table)).collect();
    for key in keys {
        let (kind, table, name) = *key;
        let (was, is) = (before.get(key), now.get(key));
        if was == is {
            continue;
        }
        let (sort, object) = match (kind, was, is) {
            ("C", Some(_), None) => (FindingKind::ColumnMissing, format!("column {table}.{name}")),
            ("C", None, Some(_)) => (FindingKind::ColumnExtra, format!("column {table}.{name}")),
            ("C", ..) => (FindingKind::StructureChanged, format!("column {table}.{name}")),
            ("R" | "P", ..) => (FindingKind::StructureChanged, old_tables.get(table).cloned().unwrap_or_default()),
            // An object that came, went or changed is told by its own line; and what is noted of one was not always recorded.
            ("N", Some(_), Some(_))
                if !name.is_empty() && before.get(&noted(table, name)) == now.get(&noted(table, name)) =>
            {
                (FindingKind::StructureChanged, format!("{} {}", part(noted(table, name).0), full(table, name)))
            }
            ("N", ..) => continue,
            _ => (FindingKind::StructureChanged, format!("{} {}", part(kind), full(table, name))),
        };
        let owner = old_tables.get(table).map_or("", String::as_str);
        // An index, constraint or policy that the guard wants is told as such on its table.
        let guarded = matches!(kind, "R" | "P" | "I" | "K" | "C")
            && told.contains(owner)
            && was.is_some() != is.is_some()
            && kind != "C";
        if told.contains(object.as_str()) || guarded {
            continue;
        }
        let detail = match (was, is) {
            (Some(_), None) => "is gone".to_owned(),
            (None, _) => "was made by no migration".to_owned(),
            (Some(was), Some(is)) => format!("was ({was}) and is ({is})"),
        };
        found.push(Finding::reported(sort, object, detail));
    }
    found
}

type Side<'a> = BTreeMap<(&'a str, &'a str, &'a str), &'a str>;

fn parse(lines: &[String]) -> Side<'_> {
    let mut side = Side::new();
    for line in lines {
        let mut parts = line.splitn(4, '|');
        let mut next = || parts.next().unwrap_or_default();
        let key = (next(), next(), next());
        side.insert(key, next());
    }
    side
}

fn label(table: &str, facts: &str) -> String {
    format!("{} {table}", word(facts.chars().next().unwrap_or('r')))
}

fn part(kind: &str) -> &'static str {
    match kind {
        "K" => "constraint",
        "I" => "index",
        "T" => "trigger",
        "U" => "rule",
        "F" => "function",
        _ => "type",
    }
}

/// The line of the object that a note is about: a trigger of a table, or a function.
fn noted<'a>(table: &'a str, name: &'a str) -> (&'a str, &'a str, &'a str) {
    (if table.is_empty() { "F" } else { "T" }, table, name)
}

fn full(table: &str, name: &str) -> String {
    if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[&str]) -> Vec<String> {
        text.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn differences_name_tables_and_columns() {
        let recorded = lines(&["R|a||r|p", "C|a|id|int", "C|a|old|int", "R|b||r|p", "C|b|id|int", "I|a|i|x"]);
        let present = lines(&["R|a||r|p", "C|a|id|text", "C|a|new|int", "R|c||v|p"]);
        let found: Vec<_> = differences(&recorded, &present, &[]).into_iter().map(|f| (f.kind, f.object)).collect();
        assert_eq!(
            found,
            [
                (FindingKind::TableMissing, "table b".to_owned()),
                (FindingKind::TableExtra, "view c".to_owned()),
                (FindingKind::StructureChanged, "column a.id".to_owned()),
                (FindingKind::ColumnExtra, "column a.new".to_owned()),
                (FindingKind::ColumnMissing, "column a.old".to_owned()),
                (FindingKind::StructureChanged, "index a.i".to_owned()),
            ]
        );
        assert!(differences(&recorded, &recorded, &[]).is_empty());
    }

    #[test]
    fn a_note_is_told_by_its_object_and_once() {
        let of = |recorded: &[&str], present: &[&str]| -> Vec<String> {
            let found = differences(&lines(recorded), &lines(present), &[]);
            found.into_iter().map(|finding| finding.object).collect()
        };
        let recorded = ["N|||@own|~", "R|a||r|p", "T|a|t|7", "N|a|t|WHEN (x)", "F||f()|f|m", "N||f()|sql|v|~"];
        let noted = ["N|||@own|~", "R|a||r|p", "T|a|t|7", "N|a|t|CREATE", "F||f()|f|m", "N||f()|sql|s|~"];
        assert_eq!(of(&recorded, &noted), ["function f()", "trigger a.t"]);
        // Bodies and notes that changed, and objects that are gone.
        let changed = ["R|a||r|p", "F||f()|f|n", "N||f()|sql|s|~"];
        assert_eq!(of(&recorded, &changed), ["function f()", "trigger a.t"]);
        // A record of an earlier release, and one that it reads.
        let earlier = ["N|||@own|~", "R|a||r|p", "T|a|t|7", "F||f()|f|m"];
        assert!(of(&earlier, &recorded).is_empty());
        assert_eq!(of(&earlier, &changed), ["function f()", "trigger a.t"]);
    }

    #[test]
    fn what_was_judged_is_not_told_twice() {
        let judged = [Finding::repairable(FindingKind::PolicyMissing, "table a", "")];
        let found = differences(&lines(&["R|a||r", "P|a|p|x"]), &lines(&["R|a||r"]), &judged);
        assert!(found.is_empty());
    }
}
