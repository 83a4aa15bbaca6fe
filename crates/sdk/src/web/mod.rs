//! Requests: which tenant each is for, and the answers when it is for none.
//!
//! [`Identification`] says where tenants are looked for and [`identify`] reads it out of a request, [`TenantLayer`] puts
//! the tenant into the request and around it, [`CurrentTenant`] is what a handler takes. [`socket`] holds WebSockets.

mod extract;
mod host;
pub mod identify;
mod layer;
mod network;
mod problem;
pub mod socket;

pub use extract::CurrentTenant;
pub use identify::Identification;
pub use layer::{TenantLayer, TenantService, TokenTenant};
pub use socket::TenantSocket;
