//! What is news about a place: pure, from what was known and what a look found.
//!
//! INVARIANT: a finding ends only when its check ran and did not find it. A check that could not run, or that found more
//! than it shows, ends nothing.

use std::collections::BTreeSet;

use tenantry_dataplane::guard::{Report, Severity};
use tenantry_domain::Timestamp;
use tenantry_store::{Counts, OpenFinding};

/// The most critical and high findings that are followed one by one at a place; the report has the rest.
pub const OPEN_MAX: usize = 1000;

/// What a check's reason begins with that does not concern a place at all.
const NOT_MEANT: &str = "does not apply";

/// The difference that a look made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// All that is there now.
    pub open: Vec<OpenFinding>,
    /// What was not known before.
    pub opened: Vec<OpenFinding>,
    /// What is there no more.
    pub closed: Vec<OpenFinding>,
}

impl Change {
    /// Whether there is no news.
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        self.opened.is_empty() && self.closed.is_empty()
    }
}

/// Compares a report with what was known.
#[must_use]
pub fn compare(before: &[OpenFinding], report: &Report, now: Timestamp) -> Change {
    let section = &report.section;
    let skipped = section.skipped.iter().filter(|one| !one.reason.starts_with(NOT_MEANT)).map(|one| one.check.as_str());
    let unsure: BTreeSet<&str> = skipped.chain(section.truncated.iter().map(|one| one.check.as_str())).collect();
    let known = |check: &str, object: &str| before.iter().find(|old| old.check == check && old.object == object);
    let mut change = Change::default();
    // The worst come first, so that the bound leaves out the least.
    let weighty = section.findings.iter().filter(|finding| finding.severity <= Severity::High);
    let mut seen = BTreeSet::new();
    for finding in weighty.filter(|finding| seen.insert((finding.check.as_str(), finding.object.as_str()))) {
        if change.open.len() == OPEN_MAX {
            break;
        }
        let old = known(&finding.check, &finding.object);
        let open = OpenFinding {
            check: finding.check.clone(),
            object: finding.object.clone(),
            severity: finding.severity.as_str().to_owned(),
            title: finding.title.clone(),
            since: old.map_or(now, |old| old.since),
        };
        if old.is_none() {
            change.opened.push(open.clone());
        }
        change.open.push(open);
    }
    let is_full = change.open.len() == OPEN_MAX;
    for old in before.iter().filter(|old| !seen.contains(&(old.check.as_str(), old.object.as_str()))) {
        if !unsure.contains(old.check.as_str()) {
            change.closed.push(old.clone());
        } else if !is_full {
            change.open.push(old.clone());
        }
    }
    change
}

/// How many findings a report has, by severity.
#[must_use]
pub fn counts(report: &Report) -> Counts {
    let of =
        |severity: Severity| report.counts.get(&severity).map_or(0, |count| u64::try_from(*count).unwrap_or(u64::MAX));
    Counts {
        critical: of(Severity::Critical),
        high: of(Severity::High),
        medium: of(Severity::Medium),
        low: of(Severity::Low),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(findings: &[(&str, &str, &str)], skipped: &[(&str, &str)], truncated: &[&str]) -> Report {
        let findings: Vec<_> = findings
            .iter()
            .map(|(severity, check, object)| {
                json!({"severity": severity, "check": check, "object": object, "detail": "", "title": check, "why": "", "fix": ""})
            })
            .collect();
        let skipped: Vec<_> = skipped.iter().map(|(check, reason)| json!({"check": check, "reason": reason})).collect();
        let truncated: Vec<_> = truncated.iter().map(|check| json!({"check": check, "shown": 1})).collect();
        serde_json::from_value(json!({
            "schemaVersion": 1, "program": "test", "scope": "database", "database": "d", "level": "shared",
            "server": {"version": "15.1", "versionNum": 150_001, "login": "postgres", "standby": false},
            "tenantColumn": "tenant_id", "roles": [], "takenAt": "2026-11-01T00:00:00Z", "durationMs": 1,
            "run": [], "skipped": skipped, "findings": findings, "truncated": truncated, "accepted": [], "counts": {}
        }))
        .unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn names(findings: &[OpenFinding]) -> Vec<&str> {
        findings.iter().map(|finding| finding.check.as_str()).collect()
    }

    #[test]
    fn only_critical_and_high_findings_open_and_each_opens_once() {
        let found =
            report(&[("critical", "A", "t"), ("high", "B", "t"), ("medium", "C", "t"), ("low", "D", "t")], &[], &[]);
        let first = compare(&[], &found, at(0));
        assert_eq!(names(&first.opened), ["A", "B"]);
        let again = compare(&first.open, &found, at(9));
        assert!(again.is_quiet());
        assert_eq!(again.open, first.open, "since when it is known stays");
    }

    #[test]
    fn what_is_not_found_any_more_closes() {
        let before = compare(&[], &report(&[("critical", "A", "t"), ("critical", "A", "u")], &[], &[]), at(0));
        let after = compare(&before.open, &report(&[("critical", "A", "u")], &[], &[]), at(1));
        assert_eq!(after.closed.iter().map(|one| one.object.as_str()).collect::<Vec<_>>(), ["t"]);
        assert!(after.opened.is_empty() && after.open.len() == 1);
    }

    #[test]
    fn what_could_not_be_looked_at_stays() {
        let before = compare(&[], &report(&[("critical", "A", "t"), ("high", "B", "t")], &[], &[]), at(0));
        let refused = compare(&before.open, &report(&[], &[("A", "web may not read pg_statistic")], &["B"]), at(1));
        assert!(refused.is_quiet() && refused.open == before.open, "{refused:?}");
        let other = compare(&before.open, &report(&[], &[("A", "does not apply at level database")], &["B"]), at(1));
        assert_eq!(names(&other.closed), ["A"]);
    }

    #[test]
    fn the_number_of_findings_that_are_followed_is_bounded() {
        let objects: Vec<String> = (0..=OPEN_MAX).map(|number| format!("table t{number}")).collect();
        let findings: Vec<_> = objects.iter().map(|object| ("high", "A", object.as_str())).collect();
        let change = compare(&[], &report(&findings, &[], &[]), at(0));
        assert_eq!((change.open.len(), change.opened.len()), (OPEN_MAX, OPEN_MAX));
        assert!(compare(&change.open, &report(&findings, &[], &[]), at(1)).is_quiet());
    }
}
