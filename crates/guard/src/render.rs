//! A report for people: findings by severity with what to do, then what was accepted, and what was not looked at.

use std::fmt::Write as _;

use crate::catalog::{Scope, Severity};
use crate::report::{Finding, Report};

/// The columns of text that fit most terminals.
const WIDTH: usize = 100;

/// The report as plain text. Control characters of names do not get through: a name may not paint on a terminal.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    let what = match report.scope {
        Scope::Server => format!("server, seen from database {}", report.database),
        _ => format!("database {} at level {}", report.database, report.level),
    };
    line(&mut out, &format!("Guard: {what}"));
    line(
        &mut out,
        &format!(
            "PostgreSQL {}, {}, {} checks run, {} skipped, {} ms",
            report.server.version,
            report.taken_at,
            report.section.run.len(),
            report.section.skipped.len(),
            report.duration_ms
        ),
    );
    line(&mut out, &format!("Roles of the application: {}", joined(&report.roles)));
    for severity in Severity::ALL {
        let of: Vec<&Finding> = report.section.findings.iter().filter(|finding| finding.severity == severity).collect();
        if !of.is_empty() {
            line(&mut out, "");
            line(&mut out, &format!("{} ({})", severity.as_str().to_uppercase(), of.len()));
            findings(&mut out, &of);
        }
    }
    if !report.accepted.is_empty() {
        line(&mut out, "");
        line(&mut out, &format!("ACCEPTED ({})", report.accepted.len()));
        for accepted in &report.accepted {
            let finding = &accepted.finding;
            wrapped(&mut out, "  ", &format!("{} {}: {}", finding.check, finding.object, accepted.reason));
        }
    }
    for truncated in &report.section.truncated {
        line(&mut out, &format!("{} found more than the {} that are shown", truncated.check, truncated.shown));
    }
    if !report.section.skipped.is_empty() {
        line(&mut out, "");
        line(&mut out, "NOT LOOKED AT");
        for skipped in &report.section.skipped {
            wrapped(&mut out, "  ", &format!("{}: {}", skipped.check, skipped.reason));
        }
    }
    line(&mut out, "");
    let counts: Vec<String> = report.counts.iter().map(|(severity, count)| format!("{count} {severity}")).collect();
    let verdict = if report.is_clean() { "No findings".to_owned() } else { counts.join(", ") };
    line(&mut out, &verdict);
    out
}

/// Findings of one check stand together, so that cause and advice are told once.
fn findings(out: &mut String, findings: &[&Finding]) {
    let mut check = "";
    for (index, finding) in findings.iter().enumerate() {
        if finding.check != check {
            check = &finding.check;
            wrapped(out, "  ", &format!("{:<5} {}", finding.check, finding.title));
            wrapped(out, "        ", &finding.why);
        }
        wrapped(out, "      - ", &format!("{}: {}", finding.object, finding.detail));
        if let Some(sql) = &finding.fix_sql {
            wrapped(out, "        ", &format!("{sql};"));
        }
        if findings.get(index + 1).is_none_or(|next| next.check != finding.check) {
            wrapped(out, "        ", &format!("Fix: {}", finding.fix));
        }
    }
}

fn joined(names: &[String]) -> String {
    const SHOWN: usize = 8;
    match names.len() {
        0 => "none".to_owned(),
        n if n <= SHOWN => names.join(", "),
        n => format!("{} and {} more", names.get(..SHOWN).unwrap_or_default().join(", "), n - SHOWN),
    }
}

/// Breaks at spaces; the first line has the indent as it is, further ones its width in spaces.
fn wrapped(out: &mut String, indent: &str, text: &str) {
    let further = " ".repeat(indent.chars().count());
    let mut current = indent.to_owned();
    let mut empty = true;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if !empty && current.chars().count() + 1 + word.chars().count() > WIDTH {
            line(out, &current);
            current.clone_from(&further);
            empty = true;
        }
        if !empty {
            current.push(' ');
        }
        current.push_str(word);
        empty = false;
    }
    line(out, &current);
}

fn line(out: &mut String, text: &str) {
    let clean: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    let _ = writeln!(out, "{}", clean.trim_end());
}
