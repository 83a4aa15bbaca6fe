//! What the guard found, and the counters of it.

use std::fmt::Write as _;
use std::time::Duration;

use tenantry_api::v1::guard::{
    CellIsolation, FindingCounts, IsolationFinding, PlaceIsolation, PlaceSummary, ProbeIsolation, ProbePair,
};
use tenantry_control::guard::{CellGauge, CellView, Counts, Keys, OpenFinding, PairView, PlaceView, ProbeView};

use super::value;

/// The most findings that a place of a cell names.
const NAMED_MAX: usize = 50;

const fn counts(counts: Counts) -> FindingCounts {
    let Counts { critical, high, medium, low } = counts;
    FindingCounts { critical, high, medium, low }
}

fn finding(open: OpenFinding) -> IsolationFinding {
    let OpenFinding { check, object, severity, title, since } = open;
    IsolationFinding { check, object, severity, title, since }
}

/// A cell.
#[must_use]
pub fn cell(view: CellView, keys: Keys) -> CellIsolation {
    let places = view.places.into_iter().map(|row| PlaceSummary {
        place: row.place,
        tenant: row.tenant.map(|id| id.to_string()),
        taken_at: row.taken_at,
        counts: counts(row.counts),
        open: row.open.into_iter().take(NAMED_MAX).map(finding).collect(),
    });
    CellIsolation {
        cell: view.cell.to_string(),
        ended_at: view.ended_at,
        due_at: view.due_at,
        is_running: view.is_running,
        is_requested: view.is_requested,
        failure: view.failure,
        counts: counts(view.counts),
        places_count: u64::try_from(view.places_count).unwrap_or(u64::MAX),
        places: places.collect(),
        probe: view.probe.map(probe),
        key_id: keys.id,
        public_key: keys.public,
    }
}

fn probe(view: ProbeView) -> ProbeIsolation {
    ProbeIsolation {
        ended_at: view.ended_at,
        due_at: view.due_at,
        is_running: view.is_running,
        failure: view.failure,
        leaks: view.leaks,
        probes: view.probes,
        pairs_count: u64::try_from(view.pairs_count).unwrap_or(u64::MAX),
        pairs: view.pairs.into_iter().map(pair).collect(),
    }
}

fn pair(PairView { row, tried }: PairView) -> ProbePair {
    ProbePair {
        app: row.app.map(|app| app.to_string()),
        isolation: row.isolation.map(|isolation| isolation.to_string()),
        taken_at: row.place.taken_at,
        probes: tried.as_ref().map(|tried| tried.probes),
        executed: tried.as_ref().map(|tried| tried.executed),
        canaries: tried.as_ref().map(|tried| tried.canaries),
        seal: tried.map(|tried| tried.seal),
        leaks: row.place.counts.critical,
        open: row.place.open.into_iter().take(NAMED_MAX).map(finding).collect(),
        place: row.place.place,
    }
}

/// One place.
#[must_use]
pub fn place(view: PlaceView, keys: Keys) -> PlaceIsolation {
    PlaceIsolation {
        cell: view.cell.to_string(),
        place: view.place,
        since: view.since,
        open: view.open.into_iter().map(finding).collect(),
        report: value(&view.report),
        key_id: keys.id,
        public_key: keys.public,
    }
}

/// Gauges in the text form of Prometheus. All replicas give the same ones: they are the installation's.
#[must_use]
pub fn lines(gauges: &[CellGauge], every: Option<Duration>) -> String {
    let mut out = String::new();
    // Writing to a text cannot fail.
    let head = |out: &mut String, name: &str, help: &str| {
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n");
    };
    let name = "tenantry_isolation_findings";
    head(&mut out, name, "Ways from one tenant to another that the guard found and nobody accepted.");
    for CellGauge { environment, cell, counts, .. } in gauges {
        let Counts { critical, high, medium, low } = *counts;
        for (severity, count) in [("critical", critical), ("high", high), ("medium", medium), ("low", low)] {
            let labels = format!("environment=\"{environment}\",cell=\"{cell}\",severity=\"{severity}\"");
            let _ = writeln!(out, "{name}{{{labels}}} {count}");
        }
    }
    let name = "tenantry_isolation_last_run_seconds";
    head(
        &mut out,
        name,
        "When the guard had last looked at every place of the cell, in seconds since 1970; 0 for never.",
    );
    for CellGauge { environment, cell, ended_at, .. } in gauges {
        let at = ended_at.map_or(0, |at| at.as_second());
        let _ = writeln!(out, "{name}{{environment=\"{environment}\",cell=\"{cell}\"}} {at}");
    }
    let name = "tenantry_isolation_period_seconds";
    head(&mut out, name, "Time between two looks of the guard at a cell; 0 when nobody looks unasked.");
    let _ = writeln!(out, "{name} {}", every.map_or(0.0, |every| every.as_secs_f64()));
    out
}

/// Gauges of the leak probe, likewise. Where it does not run, or has not run yet, nothing is told about leaks: an old
/// value would look like a present one.
#[must_use]
pub fn leak_lines(gauges: &[CellGauge], every: Option<Duration>) -> String {
    let mut out = String::new();
    let head = |out: &mut String, name: &str, help: &str| {
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n");
    };
    let at_work = || gauges.iter().filter(|_| every.is_some());
    let name = "tenantry_isolation_leaks";
    head(&mut out, name, "Probes of a canary tenant that reached the other one at the last run.");
    for CellGauge { environment, cell, counts, .. } in at_work().filter(|gauge| was_probed(gauge)) {
        let _ = writeln!(out, "{name}{{environment=\"{environment}\",cell=\"{cell}\"}} {}", counts.critical);
    }
    let name = "tenantry_isolation_probe_last_seconds";
    head(
        &mut out,
        name,
        "When the leak probe had last tried every pair of the cell, in seconds since 1970; 0 for never.",
    );
    for CellGauge { environment, cell, ended_at, .. } in at_work() {
        let at = ended_at.map_or(0, |at| at.as_second());
        let _ = writeln!(out, "{name}{{environment=\"{environment}\",cell=\"{cell}\"}} {at}");
    }
    let name = "tenantry_isolation_probe_period_seconds";
    head(&mut out, name, "Time between two runs of the leak probe at a cell; 0 when it does not run.");
    let _ = writeln!(out, "{name} {}", every.map_or(0.0, |every| every.as_secs_f64()));
    out
}

/// A first run that was cut short has not ended, and yet may have found something.
const fn was_probed(gauge: &CellGauge) -> bool {
    gauge.ended_at.is_some() || gauge.counts.critical > 0
}

#[cfg(test)]
mod tests {
    use tenantry_domain::Timestamp;

    use super::*;

    fn gauge(cell: &str, critical: u64, second: Option<i64>) -> CellGauge {
        CellGauge {
            environment: "prod".parse().unwrap(),
            cell: cell.parse().unwrap(),
            counts: Counts { critical, ..Counts::default() },
            ended_at: second.map(|second| Timestamp::from_second(second).unwrap()),
        }
    }

    #[test]
    fn leaks_are_told_while_the_probe_runs_and_of_cells_that_were_probed() {
        let all =
            [gauge("new", 0, None), gauge("clean", 0, Some(7)), gauge("cut", 2, None), gauge("leaky", 3, Some(9))];
        let text = leak_lines(&all, Some(Duration::from_secs(600)));
        let samples = |text: &str| -> Vec<String> {
            text.lines().filter(|line| !line.starts_with('#')).map(ToOwned::to_owned).collect()
        };
        let (leaks, last) = ("tenantry_isolation_leaks", "tenantry_isolation_probe_last_seconds");
        let of = |name: &str, cell: &str, value: u64| format!("{name}{{environment=\"prod\",cell=\"{cell}\"}} {value}");
        assert_eq!(
            samples(&text),
            [
                of(leaks, "clean", 0),
                of(leaks, "cut", 2),
                of(leaks, "leaky", 3),
                of(last, "new", 0),
                of(last, "clean", 7),
                of(last, "cut", 0),
                of(last, "leaky", 9),
                "tenantry_isolation_probe_period_seconds 600".to_owned(),
            ]
        );
        assert_eq!(samples(&leak_lines(&all, None)), ["tenantry_isolation_probe_period_seconds 0"]);
    }
}
