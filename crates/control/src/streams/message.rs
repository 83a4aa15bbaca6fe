//! An event as a message. Pure.

use tenantry_domain::webhook::PAYLOAD;
use tenantry_store::EventRow;
use tenantry_streams::Message;

use crate::webhooks::payload;

/// The message of an event. Its body has the bytes that webhooks send.
#[must_use]
pub fn message(event: &EventRow) -> Message {
    Message {
        id: event.id.to_string(),
        environment: event.environment.to_string(),
        tenant: event.subject.tenant().map(|id| id.to_string()),
        sequence: event.sequence,
        kind: event.kind.as_str().to_owned(),
        correlation: event.correlation_id.clone(),
        body: payload::body(event, PAYLOAD).into(),
    }
}
