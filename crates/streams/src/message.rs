//! What a message looks like: CloudEvents in structured mode, with headers by which consumers and we find our way.

use std::str::FromStr as _;

use async_nats::header::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;

use crate::settings::SubjectPrefix;

/// The word in the place of the tenant for events of the environment itself. No tenant's id is like it.
pub const NOBODY: &str = "_";

/// The header with the event's number in its subject's sequence.
pub const SEQUENCE: &str = "Tenantry-Sequence";

const ID: &str = "Nats-Msg-Id";
const STREAM: &str = "Nats-Expected-Stream";
const BEHIND: &str = "Nats-Expected-Last-Sequence";
const BEHIND_ID: &str = "Nats-Expected-Last-Msg-Id";

/// An event on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The event's id.
    pub id: String,
    /// Its environment.
    pub environment: String,
    /// Its tenant; absent for the environment itself.
    pub tenant: Option<String>,
    /// Its number.
    pub sequence: i64,
    /// Its type.
    pub kind: String,
    /// The chain of requests.
    pub correlation: String,
    /// The event in its envelope.
    pub body: Bytes,
}

/// What the stream's last message has to be for another one to be taken.
///
/// A number alone would not do for messages that are on their way at the same time: where one is refused because a stranger's has
/// its number, the next one would find that number in its place and be taken, and the one before it would be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    /// Its number; 0 while the stream is empty.
    pub number: u64,
    /// Its id, where it was sent over the same link. A server that was restarted does not know ids of before, so the first message
    /// over a link goes by the number, and has none before it that could be refused.
    pub id: Option<String>,
}

/// The subject of an event.
#[must_use]
pub fn subject(prefix: &SubjectPrefix, message: &Message) -> String {
    let tenant = message.tenant.as_deref().unwrap_or(NOBODY);
    format!("{}.{}.{tenant}.{}", prefix.as_str(), message.environment, message.kind)
}

/// All subjects of one tenant, or of an environment itself.
#[must_use]
pub fn line_subjects(prefix: &SubjectPrefix, environment: &str, tenant: Option<&str>) -> String {
    format!("{}.{environment}.{}.>", prefix.as_str(), tenant.unwrap_or(NOBODY))
}

/// The headers of a message that may only come right behind a certain one.
///
/// A value that has no place in a header, such as a correlation id with a line break, is left out: the body has it.
pub(crate) fn headers(message: &Message, stream: &str, behind: &Behind) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut add = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    add(ID, &message.id);
    add(STREAM, stream);
    add(BEHIND, &behind.number.to_string());
    if let Some(id) = &behind.id {
        add(BEHIND_ID, id);
    }
    add("Content-Type", "application/cloudevents+json; charset=utf-8");
    add("Tenantry-Environment", &message.environment);
    if let Some(tenant) = &message.tenant {
        add("Tenantry-Tenant", tenant);
    }
    add(SEQUENCE, &message.sequence.to_string());
    add("Tenantry-Type", &message.kind);
    add("Tenantry-Correlation-Id", &message.correlation);
    headers
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says what it expects by stopping")]

    use super::*;

    fn message() -> Message {
        Message {
            id: "evt_1".into(),
            environment: "prod".into(),
            tenant: Some("ten_1".into()),
            sequence: 7,
            kind: "tenant.suspended".into(),
            correlation: "req_1".into(),
            body: Bytes::from_static(b"{}"),
        }
    }

    #[test]
    fn a_subject_names_environment_tenant_and_type() {
        let prefix: SubjectPrefix = "tenantry".parse().unwrap();
        assert_eq!(subject(&prefix, &message()), "tenantry.prod.ten_1.tenant.suspended");
        let own = Message { tenant: None, kind: "catalog.updated".into(), ..message() };
        assert_eq!(subject(&prefix, &own), "tenantry.prod._.catalog.updated");
        assert_eq!(line_subjects(&prefix, "prod", Some("ten_1")), "tenantry.prod.ten_1.>");
        assert_eq!(line_subjects(&prefix, "prod", None), "tenantry.prod._.>");
    }

    #[test]
    fn headers_say_what_it_is_and_what_it_may_follow() {
        let behind = Behind { number: 41, id: Some("evt_0".into()) };
        let found = headers(&message(), "TENANTRY", &behind);
        let get = |name: &str| found.get(name).map(|value| value.as_str().to_owned());
        assert_eq!(get("Nats-Msg-Id").as_deref(), Some("evt_1"));
        assert_eq!(get("Nats-Expected-Last-Sequence").as_deref(), Some("41"));
        assert_eq!(get("Nats-Expected-Last-Msg-Id").as_deref(), Some("evt_0"));
        assert_eq!(get("Nats-Expected-Stream").as_deref(), Some("TENANTRY"));
        assert_eq!(get(SEQUENCE).as_deref(), Some("7"));
        let sly = Message { correlation: "x\r\nNats-Rollup: all".into(), tenant: None, ..message() };
        let found = headers(&sly, "TENANTRY", &Behind { number: 0, id: None });
        assert!(found.get("Nats-Expected-Last-Msg-Id").is_none());
        assert!(found.get("Tenantry-Correlation-Id").is_none() && found.get("Nats-Rollup").is_none());
        assert!(found.get("Tenantry-Tenant").is_none());
    }
}
