//! User pools of an identity provider: Google's Identity Platform, and its emulator.
//!
//! A *pool* is what the provider calls a tenant: users of their own, ways to sign in of its own, an id that the provider
//! chooses. What should be there is decided by [`tenantry_domain::pool`]; here it is asked for and done.
//! INVARIANT: every call is bounded in time and in bytes, and one that might make something twice is not repeated unless the
//! provider said that it did nothing. The emulator believes anybody, so it is spoken to on this machine only.
//! Absent: our tables, a decision, a secret in an error or a log.

mod accounts;
mod call;
mod connections;
mod credential;
mod error;
mod options;
mod pools;

pub use accounts::{Account, AccountPage, Uid};
pub use call::Provider;
pub use connections::{Connection, ConnectionName, Oidc, Saml};
pub use credential::{ServiceAccount, ServiceAccountError};
pub use error::IdentityError;
pub use options::{Access, Bounds, Emulator, EmulatorError, Options, Project, ProjectError};
pub use pools::{Pool, PoolId, PoolIdError};
