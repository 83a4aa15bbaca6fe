//! The body of a delivery: an event in the envelope of CloudEvents 1.0, in its structured form.
//!
//! INVARIANT: the bytes are a function of the stored event and the version of the payloads, and of nothing else: an event is
//! never changed, its members are written in canonical order (RFC 8785), so every attempt, every repetition and every replay
//! by every release has the same bytes. A version's form is frozen by its tests; another form is another version.

use serde_json::{Map, Value, json};
use tenantry_domain::Timestamp;
use tenantry_domain::canonical;
use tenantry_domain::id::EventId;
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::webhook::PAYLOAD;
use tenantry_store::{EventRow, Subject};

/// The largest body, in bytes. Events are thin: who needs more asks the API.
pub const LARGEST: usize = 16 * 1024;

/// The bytes of an event. Versions that this release does not know are written as the newest that it knows; none is ever
/// taken away while an endpoint has it.
#[must_use]
pub fn body(event: &EventRow, version: i16) -> Vec<u8> {
    let envelope = |data: Value| {
        let mut members = head(&event.environment, event.subject, event.id, event.kind.as_str(), event.at);
        members.insert("sequence".to_owned(), json!(event.sequence));
        members.insert("correlationid".to_owned(), json!(event.correlation_id));
        members.insert("causationid".to_owned(), json!(event.causation_id));
        members.insert("payloadversion".to_owned(), json!(version.clamp(1, PAYLOAD)));
        if let Some(number) = event.version {
            members.insert("version".to_owned(), json!(number));
        }
        members.insert("data".to_owned(), data);
        canonical::to_string(&Value::Object(members)).into_bytes()
    };
    let whole = envelope(event.data.clone());
    if whole.len() <= LARGEST {
        return whole;
    }
    envelope(json!({ "omitted": "the payload is too large; read the event by its number" }))
}

/// The bytes of a test.
pub(super) fn test(
    environment: &EnvironmentName,
    subject: Subject,
    id: EventId,
    at: Timestamp,
    endpoint: &str,
) -> Vec<u8> {
    let mut members = head(environment, subject, id, TEST, at);
    members.insert("payloadversion".to_owned(), json!(PAYLOAD));
    members.insert("data".to_owned(), json!({ "endpoint": endpoint }));
    canonical::to_string(&Value::Object(members)).into_bytes()
}

/// The type of a test. No event has it.
pub const TEST: &str = "webhook.test";

/// `source` and `subject` of an event's envelope, the same on every way that it takes: CloudEvents tells events apart by source and id.
#[must_use]
pub fn origin(environment: &EnvironmentName, subject: Subject) -> (String, String) {
    match subject {
        Subject::Tenant(tenant) => (format!("/environments/{environment}/tenants/{tenant}"), tenant.to_string()),
        Subject::Environment => (format!("/environments/{environment}"), environment.to_string()),
    }
}

fn head(environment: &EnvironmentName, subject: Subject, id: EventId, kind: &str, at: Timestamp) -> Map<String, Value> {
    let mut members = Map::new();
    let mut add = |name: &str, value: String| members.insert(name.to_owned(), Value::String(value));
    add("specversion", "1.0".to_owned());
    add("id", id.to_string());
    add("type", kind.to_owned());
    add("time", at.to_string());
    add("datacontenttype", "application/json".to_owned());
    add("tenantryenvironment", environment.to_string());
    let (source, about) = origin(environment, subject);
    add("source", source);
    add("subject", about);
    if let Some(tenant) = subject.tenant() {
        add("tenantryid", tenant.to_string());
    }
    members
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use tenantry_domain::event::Type;
    use tenantry_domain::id::TenantId;
    use uuid::Uuid;

    use super::*;

    fn event(data: Value) -> EventRow {
        EventRow {
            environment: EnvironmentName::parse("prod").unwrap(),
            subject: Subject::Tenant(TenantId::from_uuid(Uuid::from_u128(7))),
            sequence: 42,
            id: EventId::from_uuid(Uuid::from_u128(9)),
            kind: Type::TenantSuspended,
            at: Timestamp::from_microsecond(1_790_000_000_123_456).unwrap(),
            version: Some(3),
            correlation_id: "req_1".to_owned(),
            causation_id: "req_2".to_owned(),
            data,
        }
    }

    #[test]
    fn the_form_of_version_one_never_changes() {
        let body = body(&event(json!({ "slug": "acme", "reason": "payment", "n": 1 })), 1);
        let expected = concat!(
            r#"{"causationid":"req_2","correlationid":"req_1","data":{"n":1,"reason":"payment","slug":"acme"},"#,
            r#""datacontenttype":"application/json","id":"evt_00000000000000000000000009","payloadversion":1,"sequence":42,"#,
            r#""source":"/environments/prod/tenants/ten_00000000000000000000000007","specversion":"1.0","#,
            r#""subject":"ten_00000000000000000000000007","tenantryenvironment":"prod","#,
            r#""tenantryid":"ten_00000000000000000000000007","time":"2026-09-21T14:13:20.123456Z","type":"tenant.suspended","version":3}"#,
        );
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }

    #[test]
    fn an_event_of_the_environment_names_no_tenant() {
        let row = EventRow { subject: Subject::Environment, version: None, ..event(json!({})) };
        let value: Value = serde_json::from_slice(&body(&row, 1)).unwrap();
        assert_eq!(value["source"], "/environments/prod");
        assert!(value.get("tenantryid").is_none() && value.get("version").is_none());
    }

    #[test]
    fn no_body_is_larger_than_sixteen_kibibytes() {
        for size in [15_000, 15_900, 16_000, 17_000, 1_000_000] {
            let bytes = body(&event(json!({ "text": "x".repeat(size) })), 1);
            assert!(bytes.len() <= LARGEST, "{size}");
            let value: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(value["data"].get("text").is_some(), size < 15_950, "{size}");
            assert_eq!(value["sequence"], 42);
        }
    }
}
