//! Counters of the door, in the text form that Prometheus reads.
//!
//! Labels are route templates, never paths: a scanner must not be able to grow the table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper ends of the buckets, in milliseconds.
const BUCKETS: [u64; 12] = [1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000, 30_000];

#[derive(Debug, Default, Clone)]
struct Series {
    count: u64,
    micros: u64,
    buckets: [u64; BUCKETS.len()],
}

/// Counters since the start of the process.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<(String, String, u16), Series>>,
    in_flight: AtomicI64,
    streams: AtomicI64,
    shed: AtomicU64,
    panics: AtomicU64,
}

/// Counts down again when it goes.
#[derive(Debug)]
pub struct Gauge<'m>(&'m AtomicI64);

impl Drop for Gauge<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Counts an answered request.
    pub fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let series = requests.entry((route.to_owned(), method.to_owned(), status)).or_default();
        series.count += 1;
        series.micros = series.micros.saturating_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        for (bucket, end) in series.buckets.iter_mut().zip(BUCKETS) {
            *bucket += u64::from(millis < end);
        }
    }

    /// Counts a request as being worked on.
    pub fn enter(&self) -> Gauge<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Gauge(&self.in_flight)
    }

    /// Counts an open stream.
    pub fn stream(&self, by: i64) {
        self.streams.fetch_add(by, Ordering::Relaxed);
    }

    /// Counts a request that was turned away.
    pub fn shed(&self) {
        self.shed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a panic.
    pub fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// The counters as text.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        let simple = [
            ("tenantry_http_in_flight", "gauge", "Requests being worked on.", self.in_flight.load(Ordering::Relaxed)),
            ("tenantry_http_streams", "gauge", "Open event streams.", self.streams.load(Ordering::Relaxed)),
            ("tenantry_http_shed_total", "counter", "Requests turned away.", count(&self.shed)),
            ("tenantry_http_panics_total", "counter", "Handlers that panicked.", count(&self.panics)),
        ];
        for (name, kind, help, value) in simple {
            // Writing to a text cannot fail.
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        }
        let name = "tenantry_http_request_seconds";
        let _ = write!(out, "# HELP {name} Time until the answer's head.\n# TYPE {name} histogram\n");
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for ((route, method, status), series) in requests {
            let labels = format!("route=\"{route}\",method=\"{method}\",status=\"{status}\"");
            for (bucket, end) in series.buckets.iter().zip(BUCKETS) {
                let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{}\"}} {bucket}", seconds(end * 1_000));
            }
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", series.count);
            let _ = writeln!(out, "{name}_sum{{{labels}}} {}", seconds(series.micros));
            let _ = writeln!(out, "{name}_count{{{labels}}} {}", series.count);
        }
    }
}

fn count(counter: &AtomicU64) -> i64 {
    i64::try_from(counter.load(Ordering::Relaxed)).unwrap_or(i64::MAX)
}

/// Microseconds as a decimal number of seconds.
fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_cumulative_and_labelled() {
        let metrics = Metrics::default();
        metrics.answered("GET", "/v1/x", 200, Duration::from_millis(7));
        metrics.answered("GET", "/v1/x", 200, Duration::from_secs(60));
        let gauge = metrics.enter();
        let text = metrics.render();
        assert!(text.contains("tenantry_http_in_flight 1"));
        assert!(text.contains("_bucket{route=\"/v1/x\",method=\"GET\",status=\"200\",le=\"0.005000\"} 0"));
        assert!(text.contains("_bucket{route=\"/v1/x\",method=\"GET\",status=\"200\",le=\"0.010000\"} 1"));
        assert!(text.contains("le=\"+Inf\"} 2"));
        assert!(text.contains("_sum{route=\"/v1/x\",method=\"GET\",status=\"200\"} 60.007000"));
        drop(gauge);
        assert!(metrics.render().contains("tenantry_http_in_flight 0"));
    }
}
