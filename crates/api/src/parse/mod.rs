//! From loose trees to values of the domain.
//!
//! Every function here reads what it can, notes *all* complaints with their full path, and gives a value only when
//! there is none. The shapes in [`crate::v1`] describe the same grammar; a test holds the two together.

mod access;
mod app;
mod approval;
mod bounds;
mod cell;
pub mod directory;
mod document;
mod flag;
mod incident;
mod login;
pub mod member;
mod plan;
mod pool;
pub mod quota;
pub mod read;
mod request;
mod rollout;
pub mod strict;
mod tenant;
mod terms;
mod token;
mod upgrade;
pub mod usage;
mod webhook;

pub use access::{AccessBody, access, review};
pub(crate) use app::{MAX_FILE_BYTES, MAX_FILES, MAX_STREAM_BYTES, file_name};
pub use approval::{ApprovalBody, approval};
pub use bounds::{parse_duration, parse_time};
pub(crate) use document::document;
pub use document::{TenantBody, tenant};
pub use flag::{PlacementBody, feature_use, flag, flag_off, placement};
pub use incident::{IncidentBody, IncidentUpdateBody, WhomBody, incident, incident_update};
pub use login::{LoginBody, RotationBody, WhoseBody, login, rotation};
pub use pool::{ConnectionBody, ConnectionKind, connection};
pub use read::{Node, Object, Report};
pub use request::{credential, json, patch, rollback, suspension};
pub use token::{TokenBody, TokenRotationBody, token, token_rotation};
pub use upgrade::{UpgradeBody, upgrade};
pub use webhook::{
    RedriveBody, ReplayBody, WebhookBody, WebhookChangeBody, redrive, replay, webhook, webhook_change, webhook_rotation,
};
