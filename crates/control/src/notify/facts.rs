//! What templates are filled with. Every text that a tenant can choose is tamed: one line, short, no bait.

use serde_json::{Value, json};
use tenantry_domain::Timestamp;
use tenantry_domain::incident::Phase;
use tenantry_domain::notice::Kind;
use tenantry_store::{OutgoingRow, Told};

use super::templates::line;
use crate::members::mail::tame;

/// Most characters of a word out of an event.
const WORD: usize = 120;

/// Most characters of a reason.
const REASON: usize = 1000;

fn moment(at: Timestamp) -> String {
    at.strftime("%-d %B %Y, %H:%M UTC").to_string()
}

fn tenant(name: Option<&(String, String)>) -> Value {
    name.map_or(Value::Null, |(slug, name)| json!({ "slug": slug, "name": tame(name, slug) }))
}

/// The facts of a notification.
pub(super) fn of(row: &OutgoingRow) -> Value {
    let word = |name: &str| match row.data.get(name) {
        Some(Value::String(text)) => json!(line(text, WORD)),
        Some(Value::Number(number)) => json!(number),
        _ => Value::Null,
    };
    let mut facts = common(row.environment.as_str(), row.kind, row.at);
    facts["tenant"] = tenant(row.tenant.as_ref());
    let more = match row.kind {
        Kind::Welcome | Kind::Suspended | Kind::Reactivated => json!({ "plan": word("plan") }),
        Kind::Ready => json!({ "plan": word("plan"), "plan_before": word("before") }),
        Kind::Limit => json!({ "quota": {
            "name": word("quota"), "used": word("used"), "limit": word("limit"),
            "is_exceeded": row.event == tenantry_domain::event::Type::QuotaExceeded,
        } }),
        Kind::Deletion => json!({ "delete_not_before": row.delete_not_before.map(moment) }),
        Kind::BreakGlass => {
            let reason = row.data.get("reason").and_then(Value::as_str).unwrap_or_default();
            json!({ "access": {
                "person": word("person"), "approver": word("approver"), "access": word("access"), "minutes": word("minutes"),
                "reason": line(reason, REASON),
            } })
        }
        Kind::WebhookDisabled => {
            json!({ "webhook": { "endpoint": word("endpoint"), "host": word("host"), "why": word("disabled") } })
        }
        Kind::Incident => row.incident.as_ref().map_or(Value::Null, incident),
    };
    extend(&mut facts, more);
    facts
}

/// The facts of an incident that nobody was told of yet.
pub(crate) fn of_incident(environment: &str, told: &Told, whose: Option<&(String, String)>, at: Timestamp) -> Value {
    let mut facts = common(environment, Kind::Incident, at);
    facts["tenant"] = tenant(whose);
    extend(&mut facts, incident(told));
    facts
}

fn common(environment: &str, kind: Kind, at: Timestamp) -> Value {
    json!({ "environment": environment, "kind": kind.as_str(), "at": moment(at), "tenant": null })
}

fn incident(told: &Told) -> Value {
    json!({ "incident": {
        "id": told.id.to_string(), "title": line(&told.title, WORD * 2), "severity": told.severity.as_str(),
        "phase": told.phase.as_str(), "message": told.message,
    } })
}

fn extend(facts: &mut Value, more: Value) {
    if let (Value::Object(facts), Value::Object(more)) = (facts, more) {
        facts.extend(more);
    }
}

/// The facts that a kind has besides those that all have.
const fn own(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Welcome | Kind::Suspended | Kind::Reactivated => &["plan"],
        Kind::Ready => &["plan", "plan_before"],
        Kind::Limit => &["quota"],
        Kind::Deletion => &["delete_not_before"],
        Kind::BreakGlass => &["access"],
        Kind::WebhookDisabled => &["webhook"],
        Kind::Incident => &["incident"],
    }
}

/// A sample of facts, for the template of a kind to be tried with: those that its notifications have, and no others.
pub(super) fn sample(kind: Kind, phase: Option<Phase>, has_tenant: bool) -> Value {
    let whose = if has_tenant { json!({ "slug": "acme", "name": "Acme GmbH" }) } else { Value::Null };
    let mut facts = json!({
        "environment": "prod", "kind": kind.as_str(), "at": "22 November 2026, 09:30 UTC", "tenant": whose,
    });
    let all = json!({
        "plan": "business", "plan_before": "starter",
        "quota": { "name": "users", "used": 90, "limit": 100, "is_exceeded": false },
        "delete_not_before": "29 November 2026, 09:30 UTC",
        "access": {
            "person": "olga@example.com", "approver": "otto@example.com", "access": "read-only", "minutes": 30,
            "reason": "Invoice 4711 shows a wrong total.",
        },
        "webhook": { "endpoint": "whe_01jd8x3v9mfk2t5h7q0w4z6y8c", "host": "hooks.acme.example", "why": "failing" },
        "incident": {
            "id": "inc_01jd8x3v9mfk2t5h7q0w4z6y8c", "title": "Logins fail", "severity": "major",
            "phase": phase.unwrap_or(Phase::Investigating).as_str(),
            "message": "Since 09:20 UTC about half of all logins fail.\nData is not affected.",
        },
    });
    for name in own(kind) {
        facts[*name] = all[*name].clone();
    }
    facts
}

/// The same with what may be missing missing.
pub(super) fn sparse(kind: Kind, phase: Option<Phase>) -> Value {
    let mut facts = sample(kind, phase, true);
    match kind {
        Kind::Welcome | Kind::Suspended | Kind::Reactivated => facts["plan"] = Value::Null,
        Kind::Ready => facts["plan_before"] = Value::Null,
        Kind::Limit => facts["quota"] = json!({ "name": "users", "used": 90, "limit": null, "is_exceeded": true }),
        Kind::Deletion => facts["delete_not_before"] = Value::Null,
        Kind::BreakGlass => facts["access"]["approver"] = Value::Null,
        Kind::WebhookDisabled => facts["webhook"]["why"] = json!("gone"),
        Kind::Incident => {}
    }
    facts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use tenantry_domain::event::Type;
    use tenantry_domain::id::{IncidentId, NotificationId};
    use tenantry_domain::incident::Severity;
    use tenantry_domain::name::EnvironmentName;
    use uuid::Uuid;

    use super::*;

    fn row(kind: Kind) -> OutgoingRow {
        let told = Told {
            id: IncidentId::from_uuid(Uuid::from_u128(1)),
            title: "x".to_owned(),
            severity: Severity::Major,
            phase: Phase::Resolved,
            message: "x".to_owned(),
            is_old: false,
        };
        OutgoingRow {
            id: NotificationId::from_uuid(Uuid::from_u128(2)),
            environment: EnvironmentName::parse("prod").unwrap(),
            kind,
            is_chat: false,
            address: "a@a.example".to_owned(),
            event: Type::QuotaWarning,
            at: Timestamp::UNIX_EPOCH,
            data: json!({}),
            about: None,
            tenant: None,
            phase: None,
            requested: None,
            delete_not_before: None,
            incident: (kind == Kind::Incident).then_some(told),
            attempt: 1,
            cause: None,
            created_at: Timestamp::UNIX_EPOCH,
        }
    }

    /// All names, those inside of others as well.
    fn names(value: &Value) -> Vec<String> {
        let Value::Object(fields) = value else { return Vec::new() };
        let inner = |(name, value): (&String, &Value)| {
            let behind = names(value).into_iter().map(|inner| format!("{name}.{inner}")).collect::<Vec<_>>();
            if behind.is_empty() { vec![name.clone()] } else { behind }
        };
        fields.iter().flat_map(inner).collect()
    }

    #[test]
    fn a_sample_has_the_facts_of_its_kind_and_no_others() {
        for kind in Kind::ALL {
            let real = names(&of(&row(*kind)));
            assert_eq!(names(&sample(*kind, Some(Phase::Resolved), false)), real, "{kind}");
            assert_eq!(sample(*kind, None, true)["kind"], kind.as_str());
        }
        assert_eq!(sample(Kind::Incident, Some(Phase::Monitoring), true)["incident"]["phase"], "monitoring");
    }
}
