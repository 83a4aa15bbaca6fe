//! What can be done to tenants: one file per sort of use case.

pub mod create;
pub mod delete;
pub(crate) mod demand;
pub mod edit;
pub mod explain;
pub(crate) mod judge;
pub(crate) mod promises;
pub mod read;
pub(crate) mod refer;
pub mod rollback;
pub mod target;
pub mod transition;

pub use create::create;
pub use delete::{DeleteOutcome, DeleteRequest, delete, undelete};
pub use edit::{Expected, TenantRef, patch, update};
pub use explain::explain;
pub use read::{additions, as_of, compare, drift, entitlements, find, get, list, placement, version, versions};
pub use rollback::rollback;
pub use transition::{activate, archive, restore, resume, suspend};
