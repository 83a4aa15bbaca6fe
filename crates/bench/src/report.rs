//! Figures, aims, and how both are printed.
//!
//! INVARIANT: an aim is printed beside the figure that it is about, met or not. Nothing is left out because it looks
//! bad; what could not be measured says why.

use std::fmt;

use serde::Serialize;

use crate::benches::{Bench, Name};
use crate::machine::Machine;
use crate::measure::{Samples, Size, median, rank};

/// One measured thing.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figure {
    bench: &'static str,
    name: String,
    unit: &'static str,
    /// The median.
    value: f64,
    /// Of latencies: the nearest rank of 99 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    p99: Option<f64>,
    min: f64,
    max: f64,
    samples: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    against: Vec<Against>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aims: Vec<Aim>,
}

/// The same thing done in another way, in the same run.
#[derive(Debug, Clone, Serialize)]
struct Against {
    what: String,
    value: f64,
    /// Ours divided by theirs.
    ratio: f64,
}

/// What we want a figure to be.
#[derive(Debug, Clone, Serialize)]
struct Aim {
    wants: String,
    measured: f64,
    met: bool,
}

impl Figure {
    /// A latency, in milliseconds.
    pub fn latency(name: impl Into<String>, samples: &Samples) -> Self {
        Self {
            p99: Some(samples.at(0.99)),
            min: samples.at(0.0),
            max: samples.at(1.0),
            samples: samples.len(),
            ..Self::new(name, "ms", samples.at(0.5))
        }
    }

    /// Something per round, of which the median counts.
    pub fn rounds(name: impl Into<String>, unit: &'static str, rounds: &[f64]) -> Self {
        Self {
            min: rank(rounds, 0.0),
            max: rank(rounds, 1.0),
            samples: rounds.len(),
            ..Self::new(name, unit, median(rounds))
        }
    }

    fn new(name: impl Into<String>, unit: &'static str, value: f64) -> Self {
        Self {
            bench: "",
            name: name.into(),
            unit,
            value,
            p99: None,
            min: value,
            max: value,
            samples: 1,
            against: Vec::new(),
            aims: Vec::new(),
        }
    }

    /// Compares the medians.
    pub fn against(mut self, what: &str, value: f64) -> Self {
        let ratio = if value > 0.0 { self.value / value } else { 0.0 };
        let what = what.to_owned();
        self.against.push(Against { what, value, ratio });
        self
    }

    /// The newest comparison is to be at least this ratio.
    pub fn ratio_at_least(mut self, bound: f64) -> Self {
        if let Some(against) = self.against.last() {
            let (measured, wants) = (against.ratio, format!("≥ {bound} x {}", against.what));
            let met = measured >= bound;
            self.aims.push(Aim { wants, measured, met });
        }
        self
    }

    /// The newest comparison is to be at most this ratio.
    pub fn ratio_at_most(mut self, bound: f64) -> Self {
        if let Some(against) = self.against.last() {
            let (measured, wants) = (against.ratio, format!("≤ {bound} x {}", against.what));
            self.aims.push(Aim { wants, measured, met: measured <= bound });
        }
        self
    }

    /// The 99th percentile is to be at most this.
    pub fn p99_at_most(mut self, bound: f64) -> Self {
        let measured = self.p99.unwrap_or(self.max);
        let wants = format!("p99 ≤ {} {}", short(bound), self.unit);
        self.aims.push(Aim { wants, measured, met: measured <= bound });
        self
    }

    /// The median is to be at most this.
    pub fn at_most(mut self, bound: f64) -> Self {
        let wants = format!("≤ {} {}", short(bound), self.unit);
        let measured = self.value;
        self.aims.push(Aim { wants, measured, met: measured <= bound });
        self
    }

    /// The median is to be at least this.
    pub fn at_least(mut self, bound: f64) -> Self {
        let wants = format!("≥ {} {}", short(bound), self.unit);
        let measured = self.value;
        self.aims.push(Aim { wants, measured, met: measured >= bound });
        self
    }
}

/// Everything that a run found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    size: Size,
    machine: Machine,
    /// What was asked for, in order.
    benches: Vec<&'static str>,
    figures: Vec<Figure>,
    /// What could not be measured, and why.
    notes: Vec<(&'static str, String)>,
}

impl Report {
    /// An empty report.
    pub fn new(size: Size, machine: Machine) -> Self {
        Self { size, machine, benches: Vec::new(), figures: Vec::new(), notes: Vec::new() }
    }

    /// Takes over what a benchmark found, and why it ended early if it did.
    pub fn add(&mut self, bench: Bench<'_>, error: Option<anyhow::Error>) {
        let word = bench.name().word();
        self.benches.push(word);
        let (figures, notes) = bench.into_findings();
        let named = figures.into_iter().map(|figure| Figure { bench: word, ..figure });
        self.figures.extend(named);
        self.notes.extend(notes.into_iter().map(|note| (word, note)));
        if let Some(error) = error {
            self.notes.push((word, format!("ended early: {error:#}")));
        }
    }

    /// Notes how busy the machine was at the end.
    pub fn finish(&mut self) {
        self.machine.finish();
    }
}

/// A number with as many digits as it deserves.
fn short(value: f64) -> String {
    let size = value.abs();
    if size >= 10_000.0 {
        let thousands = format!("{:.0}", value / 1_000.0);
        return format!("{thousands}k");
    }
    if size >= 100.0 || (size >= 1.0 && value.fract() == 0.0) {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 0.1 {
        format!("{value:.2}")
    } else {
        format!("{value:.4}")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        if self.size != Size::Full {
            writeln!(f, "sizes: {:?}; a look, not a verdict", self.size)?;
        }
        for bench in &self.benches {
            let what = Name::about(bench);
            writeln!(f, "\n{bench}: {what}")?;
            let rows: Vec<[String; 6]> =
                self.figures.iter().filter(|figure| figure.bench == *bench).flat_map(lines).collect();
            table(f, &rows)?;
            for (_, note) in self.notes.iter().filter(|(of, _)| of == bench) {
                writeln!(f, "  note: {note}")?;
            }
        }
        let aims = self.figures.iter().flat_map(|figure| &figure.aims);
        let (met, missed): (Vec<&Aim>, Vec<&Aim>) = aims.partition(|aim| aim.met);
        writeln!(f, "\naims: {} ok, {} MISS", met.len(), missed.len())
    }
}

const HEAD: [&str; 6] = ["figure", "median", "p99", "n", "against (ratio)", "aim"];

/// A figure with further lines for further comparisons and aims.
fn lines(figure: &Figure) -> Vec<[String; 6]> {
    let count = figure.against.len().max(figure.aims.len()).max(1);
    let against = |index: usize| {
        let against = figure.against.get(index)?;
        let (value, ratio) = (short(against.value), short(against.ratio));
        Some(format!("{} {value} ({ratio} x)", against.what))
    };
    let aim = |index: usize| {
        let aim = figure.aims.get(index)?;
        let verdict = if aim.met { "ok" } else { "MISS" };
        Some(format!("{}: {verdict}", aim.wants))
    };
    (0..count)
        .map(|index| {
            let first = |text: String| if index == 0 { text } else { String::new() };
            let spread = match figure.p99 {
                Some(p99) => short(p99),
                None if figure.samples > 1 => {
                    format!("{}–{}", short(figure.min), short(figure.max))
                }
                None => String::new(),
            };
            [
                first(figure.name.clone()),
                first(format!("{} {}", short(figure.value), figure.unit)),
                first(spread),
                first(figure.samples.to_string()),
                against(index).unwrap_or_default(),
                aim(index).unwrap_or_default(),
            ]
        })
        .collect()
}

fn table(f: &mut fmt::Formatter<'_>, rows: &[[String; 6]]) -> fmt::Result {
    let wide = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([HEAD[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEAD.len()).map(wide).collect();
    let head = HEAD.map(ToOwned::to_owned);
    for row in std::iter::once(&head).chain(rows) {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            // Numbers stand right, words left.
            if (1..=3).contains(&column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        writeln!(f, "  {}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_aim_is_said_to_be_missed() {
        let figure =
            Figure::rounds("a", "x/s", &[10.0, 30.0, 20.0]).against("bare", 40.0).ratio_at_least(0.75).at_least(15.0);
        let lines = lines(&figure);
        assert_eq!(lines.len(), 2);
        assert!(lines[0][5].ends_with("MISS"), "{lines:?}");
        assert!(lines[1][5].ends_with("ok"), "{lines:?}");
        assert_eq!(lines[0][4], "bare 40 (0.50 x)");
    }

    #[test]
    fn numbers_keep_what_matters() {
        let texts = [0.012, 0.5, 3.25, 42.123, 512.4, 1_234_567.0].map(short);
        assert_eq!(texts, ["0.0120", "0.50", "3.25", "42.1", "512", "1235k"]);
    }
}
