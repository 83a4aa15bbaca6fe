//! The allow-list: what may stay for now, by whom it was decided and until when. It only shrinks.
//!
//! INVARIANT: an entry without a reason is no entry; one that matches nothing, or has expired, is a finding.

use jiff::civil::Date;
use serde::Deserialize;

use crate::finding::{Allowed, Finding, Lines, Report};
use crate::rule::{self, Rule};

/// Why a list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// It is no TOML, or has other keys.
    #[error("{0}")]
    Malformed(#[from] toml::de::Error),
    /// An entry names no rule of ours.
    #[error("entry {entry}: `{rule}` is no rule")]
    UnknownRule {
        /// Which entry, from 1.
        entry: usize,
        /// What it names.
        rule: String,
    },
    /// An entry gives no reason.
    #[error("entry {entry} ({rule}) gives no reason")]
    NoReason {
        /// Which entry, from 1.
        entry: usize,
        /// Its rule.
        rule: &'static str,
    },
    /// An entry would match everything.
    #[error("entry {entry} ({rule}) names neither a file nor a fingerprint")]
    Everything {
        /// Which entry, from 1.
        entry: usize,
        /// Its rule.
        rule: &'static str,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    allow: Vec<Raw>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    rule: String,
    file: Option<String>,
    fingerprint: Option<String>,
    #[serde(default)]
    reason: String,
    expires: Option<String>,
}

#[derive(Debug)]
struct Entry {
    rule: &'static Rule,
    file: Option<String>,
    fingerprint: Option<String>,
    reason: String,
    expires: Option<Date>,
}

/// A list of allowances.
#[derive(Debug)]
pub struct List {
    entries: Vec<Entry>,
    text: String,
}

impl List {
    /// Reads a list.
    ///
    /// # Errors
    /// It is malformed, or an entry lacks what every entry needs.
    pub fn parse(text: &str) -> Result<Self, ListError> {
        let document: Document = toml::from_str(text)?;
        let mut entries = Vec::new();
        for (index, raw) in document.allow.into_iter().enumerate() {
            let entry = index + 1;
            let Some(rule) = rule::find(&raw.rule) else {
                return Err(ListError::UnknownRule { entry, rule: raw.rule });
            };
            if raw.reason.trim().is_empty() {
                return Err(ListError::NoReason { entry, rule: rule.id });
            }
            if raw.file.is_none() && raw.fingerprint.is_none() {
                return Err(ListError::Everything { entry, rule: rule.id });
            }
            let expires = raw.expires.map(|day| day.parse()).transpose().map_err(|error: jiff::Error| {
                ListError::Malformed(serde::de::Error::custom(format!("entry {entry}: {error}")))
            })?;
            entries.push(Entry { rule, file: raw.file, fingerprint: raw.fingerprint, reason: raw.reason, expires });
        }
        Ok(Self { entries, text: text.to_owned() })
    }

    /// The text of the list without the entries that were of no use. Comments before an entry go with it.
    pub fn without_unused(&self, used: &[bool]) -> String {
        let lines: Vec<&str> = self.text.split_inclusive('\n').collect();
        let mut keep = vec![true; lines.len()];
        let starts = self.headers();
        for (index, start) in starts.iter().enumerate().filter(|(index, _)| used.get(*index) == Some(&false)) {
            let mut from = *start;
            while from > 0 && lines[from - 1].trim_start().starts_with('#') {
                from -= 1;
            }
            let next = starts.get(index + 1).copied().unwrap_or(lines.len());
            // The comments of the next entry stay.
            let mut to = next;
            while to > start + 1 && next < lines.len() && lines[to - 1].trim_start().starts_with('#') {
                to -= 1;
            }
            keep[from..to].fill(false);
        }
        let kept: String = lines.into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(line, _)| line).collect();
        let trimmed = kept.trim_end();
        if trimmed.is_empty() { String::new() } else { [trimmed, "\n"].concat() }
    }

    /// The lines on which entries begin.
    fn headers(&self) -> Vec<usize> {
        let header = |(index, line): (usize, &str)| line.trim_start().starts_with("[[allow]]").then_some(index);
        self.text.lines().enumerate().filter_map(header).collect()
    }

    fn position(&self, entry: usize) -> usize {
        let line = self.headers().get(entry).copied().unwrap_or(0);
        self.text.split_inclusive('\n').take(line).map(str::len).sum()
    }
}

impl Entry {
    fn matches(&self, finding: &Finding) -> bool {
        self.rule.id == finding.rule.id
            && self.file.as_ref().is_none_or(|pattern| is_match(pattern, plain(&finding.location.input)))
            && self.fingerprint.as_ref().is_none_or(|fingerprint| *fingerprint == finding.fingerprint)
    }
}

fn plain(path: &str) -> &str {
    path.strip_prefix("./").unwrap_or(path)
}

/// Moves what is allowed out of the findings, and adds findings for entries without use. Answers which were of use.
pub fn apply(list: &List, name: &str, report: &mut Report, today: Option<Date>) -> Vec<bool> {
    let expired = |entry: &Entry| today.is_some_and(|today| entry.expires.is_some_and(|last| last < today));
    let mut used = vec![false; list.entries.len()];
    let mut kept = Vec::new();
    for finding in std::mem::take(&mut report.findings) {
        let matching: Vec<usize> = (0..list.entries.len())
            .filter(|index| !expired(&list.entries[*index]) && list.entries[*index].matches(&finding))
            .collect();
        match matching.first() {
            Some(first) => {
                let reason = list.entries[*first].reason.clone();
                matching.iter().for_each(|index| used[*index] = true);
                report.allowed.push(Allowed { finding, reason });
            }
            None => kept.push(finding),
        }
    }
    report.findings = kept;
    let lines = Lines::new(&list.text);
    for (index, entry) in list.entries.iter().enumerate().filter(|(index, _)| !used[*index]) {
        let Some(rule) = rule::find("TL004") else { continue };
        let (location, snippet) = lines.locate(name, list.position(index));
        let message = match entry.expires.filter(|_| expired(entry)) {
            Some(last) => format!("the allowance of {} has expired on {last}", entry.rule.id),
            None => format!("the allowance of {} matches no finding", entry.rule.id),
        };
        report.findings.push(Finding {
            rule,
            severity: rule.severity,
            message,
            table: None,
            location,
            snippet,
            notes: Vec::new(),
            fingerprint: String::new(),
            origin: None,
        });
    }
    used
}

/// Whether a path fits a pattern: `*` stops at a slash, `**` does not, `?` is one character.
fn is_match(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<char>, Vec<char>) = (plain(pattern).chars().collect(), path.chars().collect());
    // Row by row instead of recursion: a pattern full of stars stays cheap.
    let mut row = vec![false; path.len() + 1];
    row[0] = true;
    let mut index = 0;
    while index < pattern.len() {
        let deep = pattern[index] == '*' && pattern.get(index + 1) == Some(&'*');
        let mut next = vec![false; path.len() + 1];
        if pattern[index] == '*' {
            next[0] = row[0];
            for at in 1..=path.len() {
                next[at] = row[at] || (next[at - 1] && (deep || path[at - 1] != '/'));
            }
            index += usize::from(deep);
            // `**/` may stand for no folder at all.
            if deep && pattern.get(index + 1) == Some(&'/') {
                index += 1;
                let after: Vec<bool> =
                    (0..=path.len()).map(|at| row[at] || (at > 0 && next[at - 1] && path[at - 1] == '/')).collect();
                next = after;
            }
        } else {
            for at in 1..=path.len() {
                let same = pattern[index] == path[at - 1] || (pattern[index] == '?' && path[at - 1] != '/');
                next[at] = row[at - 1] && same;
            }
        }
        row = next;
        index += 1;
    }
    row[path.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_know_folders() {
        for (pattern, path, fits) in [
            ("a/*.sql", "a/b.sql", true),
            ("a/*.sql", "a/b/c.sql", false),
            ("a/**/*.sql", "a/b/c.sql", true),
            ("a/**/*.sql", "a/c.sql", true),
            ("**/c.sql", "c.sql", true),
            ("**", "a/b", true),
            ("./a?.sql", "ab.sql", true),
            ("a", "ab", false),
        ] {
            assert_eq!(is_match(pattern, path), fits, "{pattern} {path}");
        }
    }

    #[test]
    fn entries_need_rule_reason_and_place() {
        let error = |text: &str| List::parse(text).unwrap_err().to_string();
        assert_eq!(error("[[allow]]\nrule = 'TL999'\nfile = '*'\nreason = 'x'"), "entry 1: `TL999` is no rule");
        assert_eq!(error("[[allow]]\nrule = 'TL101'\nfile = '*'"), "entry 1 (TL101) gives no reason");
        let everything = "[[allow]]\nrule = 'TL101'\nreason = 'x'";
        assert_eq!(error(everything), "entry 1 (TL101) names neither a file nor a fingerprint");
        assert!(error("[[allow]]\nrul = 'x'").contains("unknown field"));
    }

    #[test]
    fn removing_keeps_the_comments_of_others() {
        let text = "# head\n\n# one\n[[allow]]\nrule = 'TL101'\nfile = 'a'\nreason = 'x'\n\n# two\n[[allow]]\nrule = \
                    'TL102'\nfile = 'b'\nreason = 'y'\n";
        let list = List::parse(text).unwrap();
        let second = list.without_unused(&[false, true]);
        assert_eq!(second, "# head\n\n# two\n[[allow]]\nrule = 'TL102'\nfile = 'b'\nreason = 'y'\n");
        let first = list.without_unused(&[true, false]);
        assert_eq!(first, "# head\n\n# one\n[[allow]]\nrule = 'TL101'\nfile = 'a'\nreason = 'x'\n");
        assert_eq!(list.without_unused(&[true, true]), text);
    }
}
