//! Streams: servers that all events are published to.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A stream, and how far its publishing is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stream {
    /// The stream's name at its server.
    #[schema(example = "TENANTRY")]
    pub name: String,
    /// The servers that it is at.
    #[schema(example = "tls://nats.internal:4222")]
    pub servers: String,
    /// What the subjects of its messages begin with.
    #[schema(example = "tenantry")]
    pub prefix: String,
    /// How its publishing stands: `publishing`, `connecting`, `failing`, or `idle` while no process publishes.
    #[schema(example = "publishing")]
    pub state: String,
    /// The process that publishes; left out while none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "rep_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub publisher: Option<String>,
    /// When the publisher was heard of last; left out if there never was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub seen_at: Option<Timestamp>,
    /// When an event was published last, of any environment; left out before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub published_at: Option<Timestamp>,
    /// Events of this environment that are committed and not published yet.
    #[schema(example = 0)]
    pub behind: i64,
    /// Tenants that they belong to, the environment itself counted as one.
    #[schema(example = 0)]
    pub behind_tenants: i64,
    /// For how many seconds the oldest of them waits; 0 for none.
    pub oldest_seconds: f64,
    /// What is in the way; left out while nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error: Option<StreamError>,
    /// Since when events are kept for it.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// Why nothing is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamError {
    /// The code of the error.
    #[schema(example = "TEN-0097")]
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// All streams.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Streams {
    /// The streams, by name.
    pub items: Vec<Stream>,
}

/// A stream that was forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForgottenStream {
    /// Its name.
    #[schema(example = "TENANTRY")]
    pub name: String,
    /// Events of this environment that were committed and not published to it.
    #[schema(example = 0)]
    pub behind: i64,
}
