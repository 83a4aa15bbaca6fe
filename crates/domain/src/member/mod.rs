//! People of tenants and what their roles let them do.
//!
//! Pure decisions: who an address belongs to ([`email`]), what a role holds ([`role`]), what a member may do to another
//! ([`decide`]), how an invitation and an offer of ownership stand ([`invitation`]). Nothing here reads a clock or a table.
//! INVARIANT: nobody gives away a permission that they do not hold, and a tenant that has an owner keeps one.

pub mod decide;
pub mod email;
pub mod identity;
pub mod invitation;
pub mod matrix;
pub mod permission;
pub mod refused;
pub mod role;
pub mod rules;
pub mod scim;

pub use decide::Acting;
pub use email::{Email, EmailError};
pub use identity::{Identity, IdentityError};
pub use invitation::{Invited, Standing};
pub use permission::{Permission, PermissionError};
pub use refused::Refused;
pub use role::{Role, RoleName, Standard};
pub use rules::Rules;
