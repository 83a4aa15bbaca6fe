//! What the leak probe found, for people.

use jiff::Timestamp;
use tenantry_api::v1::guard::{CellIsolation, FindingCounts, ProbeIsolation, ProbePair};

use super::super::times::age;
use crate::exit::Result;
use crate::output::{Output, Paint, clean};

/// Findings of the guard, and leaks of the probe, each of which is critical.
pub fn with_leaks(view: &CellIsolation) -> FindingCounts {
    let leaks = view.probe.as_ref().map_or(0, |probe| probe.leaks);
    FindingCounts { critical: view.counts.critical + leaks, ..view.counts }
}

/// When the probe had tried every pair, and what came through, as columns of a list.
pub fn columns(view: Option<&CellIsolation>, now: Timestamp) -> [String; 2] {
    match view.and_then(|view| view.probe.as_ref()) {
        None => ["-".to_owned(), "-".to_owned()],
        Some(probe) => [last(probe, now), probe.leaks.to_string()],
    }
}

/// The pairs of a cell, what came through, and what the sum of it is.
///
/// # Errors
/// It cannot be written.
pub fn show(output: &Output, probe: &ProbeIsolation, now: Timestamp) -> Result<()> {
    output.line("")?;
    if !probe.pairs.is_empty() {
        let headings = ["APP", "LEVEL", "LAST RUN", "SEAL", "PROBES", "CARRIED OUT", "LEAKS"];
        output.table(&headings, probe.pairs.iter().map(|pair| row(pair, now)).collect())?;
    }
    for pair in &probe.pairs {
        for finding in &pair.open {
            let text = format!(
                "{} {} at {}, {}: {} (for {})",
                finding.severity,
                finding.check,
                pair.place,
                finding.object,
                finding.title,
                age(finding.since, now)
            );
            output.line(&output.paint(Paint::Bad, &clean(&text)))?;
        }
    }
    let (paint, text) = verdict(probe, now);
    output.line(&output.paint(paint, &clean(&text)))?;
    if let Some(failure) = &probe.failure {
        let text = format!("the last run of the probe was not complete: {failure}");
        output.line(&output.paint(Paint::Warn, &clean(&text)))?;
    }
    let shown = u64::try_from(probe.pairs.len()).unwrap_or(u64::MAX);
    if shown < probe.pairs_count {
        output.note(&format!("there are {} more pairs", probe.pairs_count - shown));
    }
    Ok(())
}

fn row(pair: &ProbePair, now: Timestamp) -> Vec<String> {
    let text = |text: Option<&String>| text.cloned().unwrap_or_else(|| "-".to_owned());
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    vec![
        text(pair.app.as_ref()),
        text(pair.isolation.as_ref()),
        age(pair.taken_at, now),
        text(pair.seal.as_ref()),
        number(pair.probes),
        number(pair.executed),
        pair.leaks.to_string(),
    ]
}

fn last(probe: &ProbeIsolation, now: Timestamp) -> String {
    probe.ended_at.map_or_else(|| "never".to_owned(), |at| age(at, now))
}

/// The sum in one line. A pair without a canary was not proven to be apart.
fn verdict(probe: &ProbeIsolation, now: Timestamp) -> (Paint, String) {
    let when = match (probe.ended_at, probe.due_at) {
        (None, None) => "never complete, and does not run now".to_owned(),
        (None, Some(_)) => "not complete yet".to_owned(),
        (Some(at), None) => format!("last complete {} ago, and does not run now", age(at, now)),
        (Some(at), Some(_)) => format!("last complete {} ago", age(at, now)),
    };
    let barren = probe.pairs.iter().filter(|pair| pair.canaries == Some(0)).count();
    let (paint, what) = match (probe.leaks, probe.pairs_count, barren) {
        (leaks @ 1.., ..) => (Paint::Bad, format!("{leaks} leak(s)")),
        (0, 0, _) => (Paint::Warn, "nobody to try".to_owned()),
        (0, _, 1..) => (Paint::Warn, format!("no leak, and {barren} pair(s) without a canary prove nothing")),
        (0, _, 0) => (Paint::Good, "no leak".to_owned()),
    };
    (paint, format!("leak probe: {what}; {} probes of {} pair(s), {when}", probe.probes, probe.pairs_count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn pair(leaks: u64, canaries: Option<u64>) -> ProbePair {
        ProbePair {
            place: "tenant/ten_1".to_owned(),
            app: Some("chat".to_owned()),
            isolation: None,
            seal: Some("signed".to_owned()),
            taken_at: at(0),
            probes: Some(900),
            executed: None,
            canaries,
            leaks,
            open: Vec::new(),
        }
    }

    fn probe(pairs: Vec<ProbePair>) -> ProbeIsolation {
        ProbeIsolation {
            ended_at: Some(at(0)),
            due_at: Some(at(600)),
            is_running: false,
            failure: None,
            leaks: pairs.iter().map(|pair| pair.leaks).sum(),
            probes: pairs.iter().filter_map(|pair| pair.probes).sum(),
            pairs_count: pairs.len() as u64,
            pairs,
        }
    }

    #[test]
    fn a_verdict_says_what_was_proven_and_when() {
        let says = |probe: &ProbeIsolation| verdict(probe, at(60)).1;
        let clean = probe(vec![pair(0, Some(30)), pair(0, None)]);
        assert_eq!(
            says(&clean),
            format!("leak probe: no leak; 1800 probes of 2 pair(s), last complete {} ago", age(at(0), at(60)))
        );
        assert!(says(&probe(vec![pair(2, Some(30)), pair(0, Some(30))])).starts_with("leak probe: 2 leak(s); "));
        assert!(says(&probe(vec![pair(0, Some(0))])).contains("1 pair(s) without a canary prove nothing"));
        assert!(says(&probe(vec![])).contains("nobody to try"));
        let off = ProbeIsolation { due_at: None, ..clean.clone() };
        assert!(says(&off).ends_with("and does not run now"));
        let first = ProbeIsolation { ended_at: None, ..clean };
        assert!(says(&first).ends_with("not complete yet"));
    }

    #[test]
    fn what_an_older_release_kept_has_gaps() {
        assert_eq!(row(&pair(1, None), at(0))[1..], ["-", age(at(0), at(0)).as_str(), "signed", "900", "-", "1"]);
    }
}
