//! Allowances written into the SQL: `-- tenantry:allow TL101 reason`.
//!
//! INVARIANT: an allowance holds for one statement, names a rule that exists, and gives a reason; otherwise it is a
//! finding itself.

use crate::rule;
use crate::source::Source;

/// How an allowance begins.
const MARK: &str = "tenantry:allow";

#[derive(Debug)]
struct Entry {
    unit: usize,
    rule: &'static str,
    reason: String,
    at: usize,
    used: bool,
}

/// The allowances of one input.
#[derive(Debug, Default)]
pub struct Inline {
    entries: Vec<Entry>,
    /// Those that are no allowances, with what is wrong.
    pub malformed: Vec<(usize, String)>,
}

impl Inline {
    /// Reads the comments of an input.
    pub fn read(source: &Source) -> Self {
        let mut inline = Self::default();
        for comment in &source.comments {
            let text = source.text.get(comment.start..comment.end).unwrap_or_default();
            let text = text.trim_start_matches(['-', '/', '*', ' ', '\t']).trim_end_matches(['*', '/']).trim();
            let Some(rest) = text.strip_prefix(MARK) else { continue };
            let rest = rest.trim();
            let (id, reason) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            let id = id.trim_end_matches(':');
            let Some(rule) = rule::find(id) else {
                inline.malformed.push((comment.start, format!("`{id}` is no rule")));
                continue;
            };
            let reason = reason.trim_start_matches([':', '-', '—']).trim();
            if reason.is_empty() {
                inline.malformed.push((comment.start, format!("the allowance of {} gives no reason", rule.id)));
                continue;
            }
            let unit = unit_of(source, comment.start);
            let entry = Entry { unit, rule: rule.id, reason: reason.to_owned(), at: comment.start, used: false };
            inline.entries.push(entry);
        }
        inline
    }

    /// Why a rule is allowed in a statement.
    pub fn reason(&mut self, unit: usize, rule: &str) -> Option<String> {
        let mut reason = None;
        for entry in self.entries.iter_mut().filter(|entry| entry.unit == unit && entry.rule == rule) {
            entry.used = true;
            reason.get_or_insert_with(|| entry.reason.clone());
        }
        reason
    }

    /// Allowances that allowed nothing.
    pub fn unused(&self) -> Vec<(usize, String)> {
        let unused = self.entries.iter().filter(|entry| !entry.used);
        unused.map(|entry| (entry.at, format!("{} is allowed and not found here", entry.rule))).collect()
    }
}

/// The statement around a byte, on whose last line it stands, or behind it.
fn unit_of(source: &Source, at: usize) -> usize {
    let same_line = |end: usize| !source.text.get(end..at).unwrap_or("\n").contains('\n');
    source
        .units
        .iter()
        .position(|unit| {
            let end = unit.piece.start + unit.piece.text.len();
            at < end || same_line(end)
        })
        .unwrap_or(source.units.len())
}
