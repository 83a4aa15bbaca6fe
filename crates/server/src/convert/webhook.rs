//! Webhooks, and what a process counts while it sends them.

use std::fmt::Write as _;

use secrecy::ExposeSecret as _;
use tenantry_api::v1::webhook::{
    DeadLetter, IssuedWebhook, Redriven, WebhookAttempt, WebhookEndpoint, WebhookReplay, WebhookReplays,
};
use tenantry_control::webhooks::pump::stats::{BUCKETS, Counted, WORDS};
use tenantry_control::webhooks::{self, Begun, Endpoint, Issued};
use tenantry_control::{AttemptRow, DeadRow, ReplayRow};

/// One endpoint.
#[must_use]
pub fn endpoint(view: Endpoint) -> WebhookEndpoint {
    let terms = view.terms;
    WebhookEndpoint {
        id: view.id.to_string(),
        environment: view.environment.to_string(),
        tenant: view.tenant.map(|id| id.to_string()),
        slug: view.slug.map(|slug| slug.to_string()),
        url: view.url,
        description: terms.description,
        types: terms.types.iter().map(|kind| kind.as_str().to_owned()).collect(),
        only: terms.only.map(|only| only.iter().map(ToString::to_string).collect()),
        fifo: terms.fifo,
        rate: terms.rate,
        concurrency: terms.concurrency,
        region: terms.region.map(|region| region.to_string()),
        scheme: view.scheme.to_string(),
        public_key: view.public_key,
        old_secret_until: view.old_until,
        payload_version: view.payload,
        status: view.standing.to_string(),
        disabled_reason: view.disabled.map(|(_, why)| why.to_string()),
        disabled_at: view.disabled.map(|(at, _)| at),
        failing_since: view.failing_since,
        delivered_at: view.delivered_at,
        version: view.version,
        created_at: view.created_at,
        created_by: view.created_by,
        updated_at: view.updated_at,
        rotated_at: view.rotated_at,
    }
}

/// An endpoint with its secret, on its only way out.
#[must_use]
pub fn issued(issued: Issued) -> IssuedWebhook {
    let secret = issued.secret.map(|secret| secret.expose_secret().to_owned());
    IssuedWebhook { endpoint: endpoint(issued.endpoint), secret }
}

/// One attempt.
#[must_use]
pub fn attempt(row: AttemptRow) -> WebhookAttempt {
    WebhookAttempt {
        event: row.event.to_string(),
        kind: row.kind,
        tenant: row.subject.tenant().map(|id| id.to_string()),
        sequence: row.sequence,
        attempt: row.attempt,
        at: row.at,
        took_ms: u64::try_from(row.took.as_millis()).unwrap_or(u64::MAX),
        outcome: row.outcome,
        status: row.status,
        fault: row.fault,
        answer: row.answer,
        replay: row.is_replay,
    }
}

/// One dead letter.
#[must_use]
pub fn dead(row: DeadRow) -> DeadLetter {
    DeadLetter {
        event: row.event.to_string(),
        kind: row.kind.to_string(),
        tenant: row.subject.tenant().map(|id| id.to_string()),
        sequence: row.sequence,
        attempts: row.attempts,
        cause: row.cause.to_string(),
        status: row.status,
        fault: row.fault,
        answer: row.answer,
        queued_at: row.queued_at,
        died_at: row.died_at,
    }
}

/// Replays of an endpoint.
#[must_use]
pub fn replays(rows: Vec<ReplayRow>) -> WebhookReplays {
    let show = |row: ReplayRow| WebhookReplay {
        id: row.id.to_string(),
        queued: Some(row.queued),
        created_at: Some(row.created_at),
        ended_at: row.ended_at,
    };
    WebhookReplays { items: rows.into_iter().map(show).collect() }
}

/// A replay that was begun.
#[must_use]
pub fn begun(begun: &Begun) -> WebhookReplay {
    WebhookReplay { id: begun.id.to_string(), queued: None, created_at: None, ended_at: None }
}

/// What was put back.
#[must_use]
pub const fn redriven(redriven: webhooks::Redriven) -> Redriven {
    Redriven { count: redriven.count, has_more: redriven.has_more }
}

/// Lines for Prometheus. `backlog` is what waits, and since how many seconds the oldest new event waits; absent while the database
/// is away.
#[must_use]
pub fn lines(counted: &Counted, backlog: Option<(i64, f64)>) -> String {
    let mut out = String::new();
    let head = |out: &mut String, name: &str, kind: &str, help: &str| {
        // Writing to a text cannot fail.
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    };
    let name = "tenantry_webhook_attempts_total";
    head(&mut out, name, "counter", "Attempts to deliver events, by what came of them.");
    for (word, count) in WORDS.iter().zip(counted.attempts) {
        let _ = writeln!(out, "{name}{{outcome=\"{word}\"}} {count}");
    }
    let simple: [(&str, &str, &str, String); 4] = [
        ("tenantry_webhook_dead_total", "counter", "Deliveries that were given up.", counted.dead.to_string()),
        (
            "tenantry_webhook_disabled_total",
            "counter",
            "Endpoints that were disabled as gone or failing.",
            counted.disabled.to_string(),
        ),
        ("tenantry_webhook_lanes", "gauge", "Endpoints that this process sends to.", counted.lanes.to_string()),
        ("tenantry_webhook_in_flight", "gauge", "Deliveries in hand.", counted.in_hand.to_string()),
    ];
    for (name, kind, help, value) in simple {
        head(&mut out, name, kind, help);
        let _ = writeln!(out, "{name} {value}");
    }
    if let Some((waiting, oldest)) = backlog {
        head(
            &mut out,
            "tenantry_webhook_waiting",
            "gauge",
            "Deliveries that wait; exact up to 100,000, beyond that as of the last autovacuum of the queue.",
        );
        let _ = writeln!(out, "tenantry_webhook_waiting {waiting}");
        head(
            &mut out,
            "tenantry_webhook_oldest_seconds",
            "gauge",
            "Age of the oldest event that no attempt was made for yet, exact; 0 for none. Replays do not count.",
        );
        let _ = writeln!(out, "tenantry_webhook_oldest_seconds {oldest:.3}");
    }
    let name = "tenantry_webhook_delay_seconds";
    head(&mut out, name, "histogram", "From an event's commit to its first attempt.");
    for (count, end) in counted.delays.iter().zip(BUCKETS) {
        let _ = writeln!(
            out,
            "{name}_bucket{{le=\"{}\"}} {count}",
            f64::from(u32::try_from(end).unwrap_or(u32::MAX)) / 1000.0
        );
    }
    let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {}", counted.delayed);
    let _ = writeln!(out, "{name}_sum {:.6}", counted.delay.as_secs_f64());
    let _ = writeln!(out, "{name}_count {}", counted.delayed);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_end_with_all() {
        let counted = Counted { delays: [1, 2, 2, 2, 2, 2, 2, 2, 2, 2], delayed: 3, ..Counted::default() };
        let text = lines(&counted, Some((7, 0.5)));
        assert!(text.contains("tenantry_webhook_delay_seconds_bucket{le=\"0.01\"} 1\n"), "{text}");
        assert!(text.contains("_bucket{le=\"+Inf\"} 3\n") && text.contains("tenantry_webhook_waiting 7\n"));
        assert!(!lines(&counted, None).contains("waiting"));
    }
}
