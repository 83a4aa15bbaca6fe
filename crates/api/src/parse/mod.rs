//! From loose trees to values of the domain.
//!
//! Every function here reads what it can, notes *all* complaints with their full path, and gives a value only when
//! there is none. The shapes in [`crate::v1`] describe the same grammar; a test holds the two together.

mod app;
mod bounds;
mod cell;
mod document;
mod login;
mod plan;
pub mod read;
mod request;
mod rollout;
pub mod strict;
mod tenant;

pub(crate) use app::{MAX_FILE_BYTES, MAX_FILES, MAX_STREAM_BYTES, file_name};
pub use bounds::{parse_duration, parse_time};
pub(crate) use document::document;
pub use document::{TenantBody, tenant};
pub use login::{LoginBody, RotationBody, WhoseBody, login, rotation};
pub use read::{Node, Object, Report};
pub use request::{credential, json, patch, rollback, suspension};
