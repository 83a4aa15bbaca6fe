//! The requirement ledger, `docs/ledger.toml`: what is asked for, and what shows that it is met.
//!
//! The file is read here and printed by `cargo xtask ledger`; whether its claims hold is checked by
//! `tidy::ledger`. The number of rows per group is part of the code, so that a row cannot vanish unnoticed.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Deserialize;

/// Where the ledger lives.
pub const PATH: &str = "docs/ledger.toml";

/// Groups of requirements and how many rows each has, ids counting from 01.
pub const GROUPS: &[(&str, usize)] = &[
    ("SCOPE", 12),
    ("REG", 17),
    ("MAN", 13),
    ("LIFE", 13),
    ("ISO", 23),
    ("CTX", 18),
    ("ROUTE", 7),
    ("GUARD", 14),
    ("PROV", 14),
    ("MIG", 7),
    ("MOVE", 13),
    ("CELL", 15),
    ("PLAN", 12),
    ("QUOTA", 11),
    ("COST", 13),
    ("POL", 9),
    ("AUD", 9),
    ("IAM", 25),
    ("KEY", 8),
    ("EVT", 10),
    ("API", 8),
    ("CLI", 4),
    ("UI", 12),
    ("JOB", 7),
    ("REL", 10),
    ("BAK", 14),
    ("K8S", 16),
    ("ENT", 14),
    ("STORE", 13),
    ("NET", 11),
    ("OBS", 22),
    ("DOC", 14),
    ("FUT", 7),
    ("NUM", 52),
];

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Rows in the file's order.
    #[serde(rename = "row", default)]
    pub rows: Vec<Row>,
}

/// One requirement.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Group and number, such as `REG-01`.
    pub id: String,
    /// The requirement in a few words.
    pub title: String,
    /// How much of it is met.
    pub status: Status,
    /// What proves it; see [`Evidence`].
    #[serde(default)]
    pub shown_by: Vec<String>,
    /// What a reader should know besides; absent when there is nothing.
    pub note: Option<String>,
}

impl Row {
    /// The row as it is printed.
    fn lines(&self) -> String {
        let mut text = format!("  {:<9} {}\n", self.id, self.title);
        for entry in &self.shown_by {
            text.push_str(&format!("            by {entry}\n"));
        }
        if let Some(note) = &self.note {
            text.push_str(&format!("            note: {note}\n"));
        }
        text
    }
}

/// How much of a requirement is met.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// All of it, with proof.
    Shown,
    /// A part of it, with proof of that part.
    Partial,
    /// Nothing is claimed.
    Open,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Status::Shown => "shown",
            Status::Partial => "partial",
            Status::Open => "open",
        })
    }
}

/// One proof, as written in `shown_by`.
#[derive(Debug, PartialEq, Eq)]
pub enum Evidence<'a> {
    /// `test:<crate>::<path>::<fn name>`: a test function of a crate.
    Test {
        /// The crate's folder or package name.
        krate: &'a str,
        /// Files and modules on the way, outermost first.
        path: Vec<&'a str>,
        /// The function.
        name: &'a str,
    },
    /// `command:<shell command>`: a script of ours or a `cargo xtask` command.
    Command(&'a str),
    /// `doc:<path>`: a page.
    Doc(&'a str),
}

impl<'a> Evidence<'a> {
    /// Reads one entry of `shown_by`; `None` when it has none of the three forms.
    pub fn parse(entry: &'a str) -> Option<Evidence<'a>> {
        let (kind, target) = entry.split_once(':')?;
        match kind {
            "test" => {
                let mut path: Vec<_> = target.split("::").collect();
                let name = path.pop()?;
                (!path.is_empty()).then(|| Evidence::Test { krate: path.remove(0), path, name })
            }
            "command" => Some(Evidence::Command(target.trim())),
            "doc" => Some(Evidence::Doc(target.split('#').next().unwrap_or(target))),
            _ => None,
        }
    }
}

/// What `cargo xtask ledger` can be asked.
#[derive(clap::Args)]
pub struct Args {
    /// Only rows of this status.
    #[arg(long, value_enum)]
    status: Option<Status>,
    /// Only rows of this group, such as `REG`.
    #[arg(long)]
    group: Option<String>,
}

/// Prints counts per group, then the rows by status.
pub fn run(args: Args) -> Result<ExitCode> {
    let text = std::fs::read_to_string(crate::root()?.join(PATH)).context(PATH)?;
    let ledger: Ledger = toml::from_str(&text).context(PATH)?;
    let wanted = |row: &&Row| {
        args.status.is_none_or(|status| row.status == status)
            && args.group.as_deref().is_none_or(|group| group_of(&row.id).eq_ignore_ascii_case(group))
    };
    let rows: Vec<_> = ledger.rows.iter().filter(wanted).collect();
    let mut text = counts(&rows);
    for status in Status::value_variants() {
        let of_status: Vec<_> = rows.iter().filter(|row| row.status == *status).collect();
        if !of_status.is_empty() {
            text.push_str(&format!("\n{status}\n"));
        }
        of_status.iter().for_each(|row| text.push_str(&row.lines()));
    }
    match std::io::stdout().write_all(text.as_bytes()) {
        // A reader such as `head` that has seen enough is no failure.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("printing"),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// The group of an id: what stands before its number.
pub fn group_of(id: &str) -> &str {
    id.rsplit_once('-').map_or(id, |(group, _)| group)
}

/// A small table: rows per group and status, and the total.
fn counts(rows: &[&Row]) -> String {
    let mut groups: BTreeMap<usize, [usize; 3]> = BTreeMap::new();
    let mut total = [0; 3];
    for row in rows {
        let place = GROUPS.iter().position(|(group, _)| *group == group_of(&row.id));
        groups.entry(place.unwrap_or(GROUPS.len())).or_default()[row.status as usize] += 1;
        total[row.status as usize] += 1;
    }
    let line = |name: &str, [shown, partial, open]: [usize; 3]| {
        format!("{name:<9} {shown:>6} {partial:>8} {open:>6} {:>6}\n", shown + partial + open)
    };
    let mut table = format!("{:<9} {:>6} {:>8} {:>6} {:>6}\n", "group", "shown", "partial", "open", "all");
    for (place, numbers) in groups {
        let name = GROUPS.get(place).map_or("?", |(group, _)| group);
        table.push_str(&line(name, numbers));
    }
    table.push_str(&line("total", total));
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_has_three_forms() {
        assert_eq!(
            Evidence::parse("test:store::tenants::tests::slug_is_unique"),
            Some(Evidence::Test { krate: "store", path: vec!["tenants", "tests"], name: "slug_is_unique" })
        );
        assert_eq!(Evidence::parse("command:cargo xtask bench"), Some(Evidence::Command("cargo xtask bench")));
        assert_eq!(Evidence::parse("doc:docs/a.md#b"), Some(Evidence::Doc("docs/a.md")));
        assert_eq!(Evidence::parse("test:alone"), None);
        assert_eq!(Evidence::parse("promise"), None);
    }

    #[test]
    fn counts_add_up() {
        let row = |id: &str, status| Row {
            id: id.to_owned(),
            title: String::new(),
            status,
            shown_by: Vec::new(),
            note: None,
        };
        let rows = [row("REG-01", Status::Shown), row("REG-02", Status::Open), row("UI-01", Status::Open)];
        let table = counts(&rows.iter().collect::<Vec<_>>());
        let last: Vec<_> = table.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(last, ["total", "1", "0", "2", "3"]);
    }
}
