//! Incidents, and the notifications by which people are told of them and of what happens to their tenant.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;

/// Something that is wrong with the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    /// Its id.
    #[schema(example = "inc_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub id: String,
    /// Whom it concerns: a `tenant`, the tenants of a `cell`, or `all`.
    #[schema(example = "cell")]
    pub scope: String,
    /// The id of the tenant that it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tenant: Option<String>,
    /// The cell whose tenants it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cell: Option<String>,
    /// How bad it is.
    #[schema(schema_with = words::incident_severity)]
    pub severity: String,
    /// In a line.
    #[schema(example = "Logins fail")]
    pub title: String,
    /// How far it is.
    #[schema(schema_with = words::incident_phase)]
    pub phase: String,
    /// How many updates there are, the first one included.
    #[schema(minimum = 1)]
    pub updates: i32,
    /// When it was opened.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// The principal who opened it. Left out for callers of one tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub created_by: Option<String>,
    /// When there was news.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Since when it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub resolved_at: Option<Timestamp>,
}

/// What was said of an incident at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IncidentUpdate {
    /// Its number, from 1.
    #[schema(minimum = 1)]
    pub number: i32,
    /// How far it was.
    #[schema(schema_with = words::incident_phase)]
    pub phase: String,
    /// What was known.
    pub message: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The principal who said so. Left out for callers of one tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub author: Option<String>,
}

/// How many notifications of an incident stand where. Events that nobody looked at yet are not counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IncidentProgress {
    /// On their way.
    pub waiting: i64,
    /// Taken by a server.
    pub sent: i64,
    /// Given up, those that newer word took the place of included.
    pub dropped: i64,
}

/// An incident with all that was said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IncidentDetail {
    /// The incident.
    pub incident: Incident,
    /// What was said, in order.
    pub updates: Vec<IncidentUpdate>,
    /// How far telling is. Left out for callers of one tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub progress: Option<IncidentProgress>,
}

/// Opens an incident. Exactly one of `tenant`, `cell` and `all` is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IncidentRequest {
    /// The tenant that it concerns, by name or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 40)]
    pub tenant: Option<String>,
    /// The cell whose tenants it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 50)]
    pub cell: Option<String>,
    /// `true`: it concerns all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub all: Option<bool>,
    /// How bad it is.
    #[schema(schema_with = words::incident_severity)]
    pub severity: String,
    /// In a line, the subject of the mail.
    #[schema(min_length = 1, max_length = 150, example = "Logins fail")]
    pub title: String,
    /// How far it is; `investigating` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::incident_phase)]
    pub phase: Option<String>,
    /// What is known. Those whom it concerns read it.
    #[schema(min_length = 1, max_length = 4000, example = "Since 09:20 UTC about half of all logins fail.")]
    pub message: String,
}

/// Says what is new.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IncidentUpdateRequest {
    /// How far it is.
    #[schema(schema_with = words::incident_phase)]
    pub phase: String,
    /// What is known.
    #[schema(min_length = 1, max_length = 4000, example = "A restart of the login service helped. We keep watching.")]
    pub message: String,
}

/// What telling would look like. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IncidentPreview {
    /// The subject of the mail.
    pub subject: String,
    /// Its text.
    pub body: String,
    /// How many tenants it concerns.
    pub tenants: u64,
    /// How many mailboxes would get it.
    pub people: u64,
    /// Whether mail is sent here.
    pub mail: bool,
    /// Whether the operator's chat is told.
    pub chat: bool,
}

/// Something that somebody was told, or is going to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Notification {
    /// Its id.
    #[schema(example = "ntf_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub id: String,
    /// The id of the event.
    #[schema(example = "evt_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub event: String,
    /// What it is told as.
    #[schema(schema_with = words::notification_kind)]
    pub kind: String,
    /// The id of the tenant that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tenant: Option<String>,
    /// The id of the incident that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub incident: Option<String>,
    /// `mail` or `chat`.
    #[schema(example = "mail")]
    pub channel: String,
    /// To whom, masked. Left out for chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "a…@example.com")]
    pub to: Option<String>,
    /// How it stands.
    #[schema(schema_with = words::notification_state)]
    pub status: String,
    /// Attempts made.
    pub attempts: i32,
    /// When it was queued.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it is tried next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub due_at: Option<Timestamp>,
    /// When a server took it, or it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// Why the last attempt failed, or why it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cause: Option<String>,
}
