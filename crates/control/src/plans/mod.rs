//! Versions of plans as people see them: which tenants have which, and moving tenants from one to another.
//!
//! What a version means to the tenants that have an older one the version says itself, see
//! [`tenantry_domain::plan::Tenants`]; nothing has to be moved for those that follow.
//! INVARIANT: a tenant is moved in a transaction of its own, by the same checks as a change of plan, while nobody writes a
//! version of the plan; whoever cannot be moved stays as it is and holds nobody up.

pub(crate) mod room;
mod upgrade;
mod versions;

pub use upgrade::{Asked, Left, MOST_TENANTS, Moved, Upgraded, Who, upgrade};
pub use versions::{Versions, versions};
