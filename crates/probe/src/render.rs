//! A report for people: the hits first, then what was not probed, then what was.

use std::fmt::Write as _;

use crate::report::{Note, ProbeReport};

/// How many entries of a list without hits are shown.
const SHOWN: usize = 40;

/// The report as plain text. Control characters of names do not get through: a name may not paint on a terminal.
#[must_use]
pub fn render(report: &ProbeReport) -> String {
    let mut out = String::new();
    line(&mut out, &format!("Probe: database {} at level {}, {}", report.database, report.level, report.taken_at));
    let (objects, canaries) = (report.objects.len(), report.canaries);
    line(
        &mut out,
        &format!(
            "{} probes of {objects} objects for {canaries} canaries, {} carried out and {} refused, {} ms",
            report.probes,
            report.executed,
            report.probes - report.executed.min(report.probes),
            report.duration_ms
        ),
    );
    if !report.hits.is_empty() {
        line(&mut out, "");
        line(&mut out, &format!("CRITICAL ({})", report.hits.len()));
        for hit in &report.hits {
            let verb = serde_json::to_string(&hit.verb).unwrap_or_default();
            line(&mut out, &format!("  {} by {}: {}", hit.object, verb.trim_matches('"'), hit.evidence));
            if !hit.statement.is_empty() {
                line(&mut out, &format!("      {}", hit.statement));
            }
        }
    }
    let unplantable: Vec<Note> = report
        .unplantable
        .iter()
        .map(|one| Note { object: ["table ", &one.table].concat(), text: one.reason.clone() })
        .collect();
    section(&mut out, "WITHOUT A CANARY", &unplantable);
    section(&mut out, "NOT PROBED", &report.skipped);
    section(&mut out, "WORTH KNOWING", &report.notes);
    line(&mut out, "");
    let verdict = match (report.hits.len(), report.canaries) {
        (0, 0) => "There was no canary to find: this proves nothing".to_owned(),
        (0, _) => "Nothing of the other tenant came through".to_owned(),
        (count, _) => format!("{count} ways from one tenant to the other"),
    };
    line(&mut out, &verdict);
    out
}

fn section(out: &mut String, title: &str, notes: &[Note]) {
    if notes.is_empty() {
        return;
    }
    line(out, "");
    line(out, title);
    for note in notes.iter().take(SHOWN) {
        line(out, &format!("  {}: {}", note.object, note.text));
    }
    if notes.len() > SHOWN {
        line(out, &format!("  and {} more", notes.len() - SHOWN));
    }
}

fn line(out: &mut String, text: &str) {
    let clean: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    let _ = writeln!(out, "{}", clean.trim_end());
}
