//! Incidents and notifications, and what a process counts while it tells people.

use std::fmt::Write as _;

use tenantry_api::v1::incident::{
    Incident, IncidentDetail, IncidentPreview, IncidentProgress, IncidentUpdate, Notification,
};
use tenantry_control::incidents::{self, Detail, Preview};
use tenantry_control::notify::{self, stats::WORDS};
use tenantry_control::{IncidentUpdateRow, Waiting};
use tenantry_domain::incident::Scope;

/// An incident as everybody sees it whom it concerns: who of the operator opened it is the operator's matter.
#[must_use]
pub fn incident(view: incidents::Incident, is_operators: bool) -> Incident {
    let (tenant, cell) = match &view.scope {
        Scope::Tenant(tenant) => (Some(tenant.to_string()), None),
        Scope::Cell(cell) => (None, Some(cell.to_string())),
        Scope::All => (None, None),
    };
    Incident {
        id: view.id.to_string(),
        scope: view.scope.as_str().to_owned(),
        tenant,
        cell,
        severity: view.severity.to_string(),
        title: view.title,
        phase: view.phase.to_string(),
        updates: view.updates,
        created_at: view.created_at,
        created_by: is_operators.then_some(view.created_by),
        updated_at: view.updated_at,
        resolved_at: view.resolved_at,
    }
}

/// An incident with all that was said of it.
#[must_use]
pub fn detail(detail: Detail) -> IncidentDetail {
    let is_operators = detail.progress.is_some();
    let update = |row: IncidentUpdateRow| IncidentUpdate {
        number: row.number,
        phase: row.phase.to_string(),
        message: row.message,
        at: row.at,
        author: is_operators.then_some(row.author),
    };
    IncidentDetail {
        incident: incident(detail.incident, is_operators),
        updates: detail.updates.into_iter().map(update).collect(),
        progress: detail.progress.map(|progress| IncidentProgress {
            waiting: progress.waiting,
            sent: progress.sent,
            dropped: progress.dropped,
        }),
    }
}

/// What telling would look like.
#[must_use]
pub fn preview(preview: Preview) -> IncidentPreview {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    IncidentPreview {
        subject: preview.subject,
        body: preview.body,
        tenants: count(preview.tenants),
        people: count(preview.people),
        mail: preview.by_mail,
        chat: preview.by_chat,
    }
}

/// One notification.
#[must_use]
pub fn notification(view: notify::Notification) -> Notification {
    Notification {
        id: view.id.to_string(),
        event: view.event.to_string(),
        kind: view.kind.to_string(),
        tenant: view.tenant.map(|id| id.to_string()),
        incident: view.incident.map(|id| id.to_string()),
        channel: view.channel.to_owned(),
        to: view.to,
        status: view.state.as_str().to_owned(),
        attempts: view.attempts,
        created_at: view.created_at,
        due_at: view.due_at,
        ended_at: view.ended_at,
        cause: view.cause,
    }
}

/// Lines for Prometheus. `waiting` is what waits, and for how many seconds the oldest of it does; absent while the database is
/// away, and where there is no way to tell anybody.
#[must_use]
pub fn lines(counted: &[(&'static str, [u64; WORDS.len()]); 2], waiting: Option<(Waiting, f64)>) -> String {
    let mut out = String::new();
    let head = |out: &mut String, name: &str, kind: &str, help: &str| {
        // Writing to a text cannot fail.
        let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    };
    let name = "tenantry_notifications_total";
    head(&mut out, name, "counter", "Notifications of this process, by way and by what came of them.");
    for (channel, counts) in counted {
        for (word, count) in WORDS.iter().zip(counts) {
            let _ = writeln!(out, "{name}{{channel=\"{channel}\",outcome=\"{word}\"}} {count}");
        }
    }
    if let Some((waiting, seconds)) = waiting {
        let name = "tenantry_notifications_waiting";
        head(&mut out, name, "gauge", "Events that nobody looked at yet, and notifications that were not sent yet.");
        let _ = writeln!(out, "{name}{{stage=\"event\"}} {}", waiting.notes);
        let _ = writeln!(out, "{name}{{stage=\"queued\"}} {}", waiting.queued);
        let name = "tenantry_notifications_oldest_seconds";
        head(&mut out, name, "gauge", "For how long the oldest of them waits.");
        let _ = writeln!(out, "{name} {seconds:.3}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_told_where_it_is_known() {
        let counted = [("mail", [0; WORDS.len()]), ("chat", [0; WORDS.len()])];
        let text = lines(&counted, Some((Waiting { notes: 2, queued: 3, since: None }, 1.5)));
        for line in [
            "tenantry_notifications_waiting{stage=\"event\"} 2\n",
            "tenantry_notifications_waiting{stage=\"queued\"} 3\n",
            "tenantry_notifications_oldest_seconds 1.500\n",
            "tenantry_notifications_total{channel=\"chat\",outcome=\"sent\"} 0\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(!lines(&counted, None).contains("waiting"));
    }
}
