//! Findings with the line they are about, and a sum at the end.

use std::fmt::Write as _;

use crate::finding::{Finding, Report};
use crate::rule::Severity;

/// Whether to paint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Escape sequences of terminals.
    Always,
    /// Plain text.
    Never,
}

impl Colour {
    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Always => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Self::Never => text.to_owned(),
        }
    }

    fn severity(self, severity: Severity) -> String {
        let code = match severity {
            Severity::Error => "1;31",
            Severity::Warning => "1;33",
            Severity::Note => "1;36",
        };
        self.paint(code, severity.word())
    }
}

/// How many characters of a line are shown around the place.
const WIDTH: usize = 110;

/// The report for people.
pub fn human(report: &Report, colour: Colour) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        one(&mut text, finding, colour);
    }
    let _ = writeln!(text, "{}", sum(report));
    text
}

fn one(text: &mut String, finding: &Finding, colour: Colour) {
    let severity = colour.severity(finding.severity);
    let id = finding.rule.id;
    let _ = writeln!(text, "{severity}[{id}]: {}", clean(&finding.message));
    let at = &finding.location;
    let arrow = colour.paint("34", "-->");
    let place = format!("{}:{}:{}", clean(&at.input), at.line, at.column);
    let width = at.line.to_string().len();
    let pad = " ".repeat(width);
    let _ = writeln!(text, "{pad}{arrow} {place}");
    let bar = colour.paint("34", "|");
    let (line, before) = cut(&finding.snippet.text, finding.snippet.before);
    let length = finding.snippet.length.clamp(1, line.chars().count().saturating_sub(before).max(1));
    let number = colour.paint("34", &at.line.to_string());
    let caret = colour.paint("1;31", &"^".repeat(length));
    let _ = writeln!(text, "{pad} {bar}\n{number} {bar} {}\n{pad} {bar} {}{caret}", clean(&line), " ".repeat(before));
    let equals = colour.paint("34", "=");
    for note in &finding.notes {
        let _ = writeln!(text, "{pad} {equals} line {}: {}", note.location.line, clean(&note.message));
    }
    if let Some(origin) = &finding.origin {
        let who = origin.caller.as_deref().map(|caller| format!(" by {}", clean(caller))).unwrap_or_default();
        let runs = if origin.calls == 1 { "once".to_owned() } else { format!("{} times", origin.calls) };
        let _ = writeln!(text, "{pad} {equals} ran {runs}{who}; fingerprint {}", finding.fingerprint);
    }
    let _ = writeln!(text);
}

/// A long line is cut to the part around the place; answers how far the place moved to the left.
fn cut(line: &str, before: usize) -> (String, usize) {
    let length = line.chars().count();
    if length <= WIDTH {
        return (line.to_owned(), before);
    }
    let from = before.saturating_sub(WIDTH / 3).min(length - WIDTH.min(length));
    let shown: String = line.chars().skip(from).take(WIDTH).collect();
    let (head, shift) = if from > 0 { ("… ", 2) } else { ("", 0) };
    let tail = if from + WIDTH < length { " …" } else { "" };
    ([head, &shown, tail].concat(), before - from + shift)
}

fn sum(report: &Report) -> String {
    let count = |number: usize, word: &str| format!("{number} {word}{}", if number == 1 { "" } else { "s" });
    let mut parts = Vec::new();
    for severity in [Severity::Error, Severity::Warning, Severity::Note] {
        let number = report.count(severity);
        if number > 0 {
            parts.push(count(number, severity.word()));
        }
    }
    let found = if parts.is_empty() { "nothing found".to_owned() } else { parts.join(", ") };
    let allowed = match report.allowed.len() {
        0 => String::new(),
        number => format!(", {number} allowed"),
    };
    let (statements, inputs) = (count(report.statements, "statement"), count(report.inputs, "input"));
    format!("{found}{allowed} in {statements} of {inputs}")
}

fn clean(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c == '\t' {
                ' '
            } else if c.is_control() {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_keep_the_place() {
        let line = format!("{}X{}", "a".repeat(300), "b".repeat(300));
        let (shown, before) = cut(&line, 300);
        assert_eq!(shown.chars().nth(before), Some('X'), "{shown} {before}");
        assert!(shown.chars().count() <= WIDTH + 4);
        assert_eq!(cut("short", 2), ("short".to_owned(), 2));
    }

    #[test]
    fn terminals_are_safe() {
        assert_eq!(clean("a\u{1b}[2J\tb"), "a\u{fffd}[2J b");
    }
}
