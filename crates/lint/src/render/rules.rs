//! The rules for people: one at length, and all in a table of Markdown.

use std::fmt::Write as _;

use crate::options::Tier;
use crate::rule::{self, Rule};

/// One rule with its examples, for `--explain`.
pub fn explanation(rule: &Rule) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}: {} ({}, tiers: {})\n", rule.id, rule.title, rule.severity.word(), tiers(rule));
    for line in wrapped(rule.explanation, 100) {
        let _ = writeln!(text, "{line}");
    }
    for (word, example) in [("Found", rule.bad), ("Not found", rule.good)] {
        let _ = writeln!(text, "\n{word}:");
        for line in example.lines().flat_map(|line| wrapped(line, 96)) {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}

/// All rules as a table of Markdown.
pub fn table() -> String {
    let mut text = String::from("| rule | severity | tiers | what is wrong |\n|---|---|---|---|\n");
    for rule in rule::all() {
        let title = rule.title.replace('|', "\\|");
        let _ = writeln!(text, "| `{}` | {} | {} | {title} |", rule.id, rule.severity.word(), tiers(rule));
    }
    text
}

fn tiers(rule: &Rule) -> String {
    if rule.tiers.len() == Tier::ALL.len() {
        return "all".to_owned();
    }
    rule.tiers.iter().map(|tier| tier.word()).collect::<Vec<_>>().join(", ")
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let full = lines.last().is_some_and(|line| !line.is_empty() && line.len() + 1 + word.len() > width);
        if full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
