//! `cargo xtask tidy`: the rules of the house that no compiler knows, one file per rule.
//!
//! A rule is a function from the [`Tree`] to findings. It reports what it sees and changes nothing. A finding says
//! where, what, and what to do next, on one line that editors and people can follow.

mod codes;
mod layers;
mod ledger;
mod links;
mod module_docs;
mod rooms;
mod sizes;
mod sql_doors;
mod tags;

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::tree::Tree;

/// Tidy has no options: every rule runs, always.
#[derive(clap::Args)]
pub struct Args {}

/// One place that breaks one rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    path: String,
    line: usize,
    rule: &'static str,
    message: String,
    hint: String,
}

impl Finding {
    fn new(
        rule: &'static str,
        path: &str,
        line: usize,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Finding {
        Finding { path: path.to_owned(), line, rule, message: message.into(), hint: hint.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { path, line, rule, message, hint } = self;
        write!(f, "{path}:{line}: {rule}: {message} ({hint})")
    }
}

/// Runs every rule over the repository and prints the findings.
pub fn run(_: Args) -> Result<ExitCode> {
    Ok(if check(&crate::root()?)? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs every rule, prints the findings, and tells whether there were none.
pub fn check(root: &Path) -> Result<bool> {
    let tree = Tree::load(root)?;
    let mut findings = layers::check(&layers::metadata(root)?)?;
    findings.extend(rooms::check(&tree));
    findings.extend(sql_doors::check(&tree));
    findings.extend(sizes::check(&tree));
    findings.extend(module_docs::check(&tree));
    findings.extend(tags::check(&tree));
    findings.extend(codes::check(&tree));
    findings.extend(ledger::check(&tree, &crate::command_names()));
    findings.extend(links::check(&tree));
    findings.sort();
    findings.dedup();
    for finding in &findings {
        println!("{finding}");
    }
    println!("tidy: {} files, {} findings", tree.len(), findings.len());
    Ok(findings.is_empty())
}

/// The paths in a list of exceptions, with their line numbers; `#` begins a comment.
fn listed(text: &str) -> Vec<(usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.split('#').next().unwrap_or_default().trim()))
        .filter(|(_, path)| !path.is_empty())
        .collect()
}
