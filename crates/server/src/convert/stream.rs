//! Streams, and what a process counts while it publishes.

use std::fmt::Write as _;

use tenantry_api::v1::stream::{Stream, StreamError};
use tenantry_control::StreamBacklog;
use tenantry_control::streams::Standing;
use tenantry_control::streams::pump::CODES;
use tenantry_control::streams::stats::{Counted, WORDS};

/// One stream. What a publisher said that is not heard of any more is not shown as if it held.
#[must_use]
pub fn stream(standing: Standing) -> Stream {
    let Standing { sink, waiting, is_alive } = standing;
    let known = CODES.into_iter().find(|code| Some(code.to_string()) == sink.code);
    let error = sink.error.zip(known).filter(|_| is_alive);
    Stream {
        name: sink.name,
        servers: sink.servers,
        prefix: sink.prefix,
        state: if is_alive { sink.state } else { "idle".to_owned() },
        publisher: sink.owner.filter(|_| is_alive).map(|id| id.to_string()),
        seen_at: sink.seen_at,
        published_at: sink.published_at,
        behind: waiting.events,
        behind_tenants: waiting.subjects,
        oldest_seconds: waiting.oldest,
        error: error.map(|(message, code)| StreamError {
            code: code.to_string(),
            message,
            hint: code.hint().to_owned(),
        }),
        created_at: sink.created_at,
    }
}

/// Lines for Prometheus, for a process that is configured for a stream. `backlog` is absent while the database is away.
#[must_use]
pub fn lines(stream: &str, counted: &Counted, backlog: Option<StreamBacklog>) -> String {
    let mut out = String::new();
    let head = |out: &mut String, name: &str, kind: &str, help: &str| {
        // Writing to a text cannot fail.
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    };
    let name = "tenantry_stream_errors_total";
    head(&mut out, name, "counter", "Times that publishing had to begin anew, by what was in the way.");
    for (word, count) in WORDS.iter().zip(counted.errors) {
        let _ = writeln!(out, "{name}{{stream=\"{stream}\",kind=\"{word}\"}} {count}");
    }
    let mut simple = |name: &str, kind: &str, help: &str, value: String| {
        head(&mut out, name, kind, help);
        let _ = writeln!(out, "{name}{{stream=\"{stream}\"}} {value}");
    };
    simple("tenantry_stream_published_total", "counter", "Events that the server took.", counted.published.to_string());
    simple(
        "tenantry_stream_found_total",
        "counter",
        "Events that were in the stream already when their turn came: somebody published them who could not write that down.",
        counted.found.to_string(),
    );
    simple(
        "tenantry_stream_missing_total",
        "counter",
        "Events that the server had taken and that looks at the stream did not find there any more.",
        counted.missing.to_string(),
    );
    simple(
        "tenantry_stream_publisher",
        "gauge",
        "Whether it is this process that publishes.",
        u8::from(counted.holds).to_string(),
    );
    simple(
        "tenantry_stream_connected",
        "gauge",
        "Whether this process is connected and publishes.",
        u8::from(counted.is_connected).to_string(),
    );
    if let Some(backlog) = backlog {
        let help = "Events that are committed and not published yet.";
        simple("tenantry_stream_behind", "gauge", help, backlog.events.to_string());
        let help = "For how long the oldest of them waits; 0 for none.";
        simple("tenantry_stream_oldest_seconds", "gauge", help, format!("{:.3}", backlog.oldest));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_names_the_stream_and_what_is_unknown_is_left_out() {
        let counted = Counted { published: 3, is_connected: true, ..Counted::default() };
        let text = lines("TENANTRY", &counted, Some(StreamBacklog { events: 7, subjects: 2, oldest: 0.5 }));
        for line in [
            "tenantry_stream_published_total{stream=\"TENANTRY\"} 3",
            "tenantry_stream_errors_total{stream=\"TENANTRY\",kind=\"full\"} 0",
            "tenantry_stream_missing_total{stream=\"TENANTRY\"} 0",
            "tenantry_stream_connected{stream=\"TENANTRY\"} 1",
            "tenantry_stream_behind{stream=\"TENANTRY\"} 7",
            "tenantry_stream_oldest_seconds{stream=\"TENANTRY\"} 0.500",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!lines("TENANTRY", &counted, None).contains("behind"));
    }
}
