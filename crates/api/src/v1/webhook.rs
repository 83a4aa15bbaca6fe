//! Webhooks: endpoints, what was sent to them, what was given up.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;

/// An endpoint of webhooks. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookEndpoint {
    /// Its id.
    #[schema(example = "whe_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub id: String,
    /// The environment that it belongs to.
    #[schema(example = "prod")]
    pub environment: String,
    /// The id of the tenant whose endpoint it is; left out for the environment's, which hears of all tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "ten_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub tenant: Option<String>,
    /// That tenant's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "acme")]
    pub slug: Option<String>,
    /// Where events are sent.
    #[schema(example = "https://hooks.acme.example/tenantry")]
    pub url: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 200)]
    pub description: Option<String>,
    /// Types of events that are sent; empty for all. `tenant.*` means all of a noun.
    #[schema(max_items = 100, example = json!(["tenant.*", "plan.changed"]))]
    pub types: Vec<String>,
    /// Ids of the tenants whose events are sent; left out for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_items = 1000)]
    pub only: Option<Vec<String>>,
    /// Whether the events of a tenant are sent strictly one after the other, in their order.
    pub fifo: bool,
    /// The most attempts a second; left out for no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 10_000)]
    pub rate: Option<u32>,
    /// The most requests at a time.
    #[schema(minimum = 1, maximum = 64, example = 16)]
    pub concurrency: u16,
    /// The region in which the receiver is, as its owner says. The operator's rules about residency may ask for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 50, example = "eu-west")]
    pub region: Option<String>,
    /// How deliveries are signed.
    #[schema(schema_with = words::webhook_scheme)]
    pub scheme: String,
    /// What deliveries are verified with, `whpk_…`; left out for `hmac`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub public_key: Option<String>,
    /// Until when the secret before signs, too; left out when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub old_secret_until: Option<Timestamp>,
    /// The version of the payloads that it gets.
    #[schema(example = 1)]
    pub payload_version: i16,
    /// How it stands.
    #[schema(schema_with = words::webhook_standing)]
    pub status: String,
    /// Why it is disabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::webhook_why)]
    pub disabled_reason: Option<String>,
    /// Since when it is disabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub disabled_at: Option<Timestamp>,
    /// Since when there were nothing but failures; left out when the last attempt was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub failing_since: Option<Timestamp>,
    /// When something was delivered last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub delivered_at: Option<Timestamp>,
    /// Rises with every change.
    #[schema(example = 1)]
    pub version: i64,
    /// Since when it exists.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Who made it.
    #[schema(example = "operator:tok_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub created_by: String,
    /// Its last change.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// When it got another secret last; left out for its first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub rotated_at: Option<Timestamp>,
}

/// Asks for an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebhookRequest {
    /// Where events are to be sent: `https`, port 443 or 8443, a host on the public internet, no user and no password.
    #[schema(example = "https://hooks.acme.example/tenantry", max_length = 2048)]
    pub url: String,
    /// The tenant whose endpoint it is to be, by name or id; the environment's unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "acme", max_length = 40)]
    pub tenant: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 200)]
    pub description: Option<String>,
    /// Types of events; all unless given. `tenant.*` means all of a noun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_items = 100)]
    pub types: Option<Vec<String>>,
    /// Only events of these tenants, by name or id; for an endpoint of the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_items = 1, max_items = 1000)]
    pub only: Option<Vec<String>>,
    /// `true` to send the events of a tenant strictly one after the other, each once the one before is through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub fifo: Option<bool>,
    /// The most attempts a second; no bound unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 10_000)]
    pub rate: Option<u32>,
    /// The most requests at a time; 16 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 64)]
    pub concurrency: Option<u16>,
    /// The region in which the receiver is, as its owner says. The operator's rules about residency may ask for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 50, example = "eu-west")]
    pub region: Option<String>,
    /// `hmac` unless given, which every library of Standard Webhooks verifies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::webhook_scheme)]
    pub scheme: Option<String>,
}

/// Changes an endpoint. What is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebhookChange {
    /// Another URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 2048)]
    pub url: Option<String>,
    /// Another description; an empty one takes it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 200)]
    pub description: Option<String>,
    /// Other types; an empty list for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_items = 100, example = json!(["tenant.*"]))]
    pub types: Option<Vec<String>>,
    /// Other tenants; an empty list for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_items = 1000)]
    pub only: Option<Vec<String>>,
    /// Whether in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub fifo: Option<bool>,
    /// Another bound on attempts a second; 0 for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, maximum = 10_000)]
    pub rate: Option<u32>,
    /// Another bound on requests at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 64)]
    pub concurrency: Option<u16>,
    /// The region in which the receiver is, as its owner says. The operator's rules about residency may ask for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 50, example = "eu-west")]
    pub region: Option<String>,
}

/// Asks for another secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebhookRotation {
    /// For how long the old secret signs beside the new one, `0s` to `7d`; `24h` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "24h", pattern = "^[0-9]{1,9}[smhd]$")]
    pub overlap: Option<String>,
}

/// An endpoint with its new secret, which is shown once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuedWebhook {
    /// The endpoint.
    pub endpoint: WebhookEndpoint,
    /// `whsec_…`, with which a receiver verifies deliveries; it cannot be asked for again. Left out for `ed25519`, whose public
    /// key is in the endpoint, and when the request was a repetition under the same key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub secret: Option<String>,
}

impl std::fmt::Debug for IssuedWebhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedWebhook").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// One attempt to deliver an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookAttempt {
    /// The event's id; the same in all attempts.
    #[schema(example = "evt_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub event: String,
    /// Its type; `webhook.test` for a test.
    #[serde(rename = "type")]
    #[schema(example = "tenant.suspended")]
    pub kind: String,
    /// The tenant's id; left out for events of the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tenant: Option<String>,
    /// The event's number; left out for a test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub sequence: Option<i64>,
    /// Which attempt this was, from 1.
    #[schema(example = 1)]
    pub attempt: u32,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    #[schema(example = 34)]
    pub took_ms: u64,
    /// What came of it.
    #[schema(schema_with = words::webhook_outcome)]
    pub outcome: String,
    /// The status of HTTP; left out when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 204)]
    pub status: Option<u16>,
    /// Why there was no status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::webhook_fault)]
    pub fault: Option<String>,
    /// The beginning of what was answered, without what looks like a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 2048)]
    pub answer: Option<String>,
    /// Whether it was sent again on demand.
    pub replay: bool,
}

/// A delivery that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// The event's id.
    #[schema(example = "evt_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub event: String,
    /// Its type.
    #[serde(rename = "type")]
    #[schema(example = "tenant.suspended")]
    pub kind: String,
    /// The tenant's id; left out for events of the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tenant: Option<String>,
    /// The event's number.
    #[schema(example = 42)]
    pub sequence: i64,
    /// Attempts made.
    #[schema(example = 10)]
    pub attempts: u32,
    /// Why it was given up.
    #[schema(schema_with = words::webhook_cause)]
    pub cause: String,
    /// The status of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 500)]
    pub status: Option<u16>,
    /// Why the last attempt had no status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::webhook_fault)]
    pub fault: Option<String>,
    /// The beginning of what was answered last, without what looks like a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 2048)]
    pub answer: Option<String>,
    /// Since when it was to be delivered.
    #[schema(value_type = String, format = DateTime)]
    pub queued_at: Timestamp,
    /// When it was given up.
    #[schema(value_type = String, format = DateTime)]
    pub died_at: Timestamp,
}

/// Which dead letters are to be sent again. All that is given must hold; all of the endpoint when nothing is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedriveRequest {
    /// These events, by id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_items = 1, max_items = 1000)]
    pub events: Option<Vec<String>>,
    /// Of these types; `tenant.*` means all of a noun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_items = 1, max_items = 100, example = json!(["tenant.*"]))]
    pub types: Option<Vec<String>>,
    /// Given up for this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::webhook_cause)]
    pub cause: Option<String>,
    /// Given up from this moment on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::time)]
    pub since: Option<String>,
    /// Given up before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::time)]
    pub until: Option<String>,
}

/// What was put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Redriven {
    /// How many dead letters are sent again.
    #[schema(example = 3)]
    pub count: i64,
    /// Whether there may be more of them; ask again.
    pub has_more: bool,
}

/// Which events are to be sent again. All that is given must hold, and so must the endpoint's own filter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplayRequest {
    /// Of this tenant, by name or id; a tenant's endpoint means its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "acme", max_length = 40)]
    pub tenant: Option<String>,
    /// Behind this number of the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0)]
    pub after: Option<i64>,
    /// From this moment on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::time)]
    pub since: Option<String>,
    /// Before this moment; until now unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::time)]
    pub until: Option<String>,
    /// Of these types; `tenant.*` means all of a noun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_items = 1, max_items = 100, example = json!(["tenant.*"]))]
    pub types: Option<Vec<String>>,
}

/// A replay, as far as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookReplay {
    /// Its id.
    #[schema(example = "01931f42-0a4b-7c3a-9d0e-7a1f2b3c4d5e")]
    pub id: String,
    /// Events that were put into the endpoint's queue so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 1200)]
    pub queued: Option<i64>,
    /// When it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub created_at: Option<Timestamp>,
    /// When its last event was put into the queue, or the endpoint was disabled; left out while there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
}

/// Replays of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookReplays {
    /// The newest first.
    #[schema(max_items = 100)]
    pub items: Vec<WebhookReplay>,
}
