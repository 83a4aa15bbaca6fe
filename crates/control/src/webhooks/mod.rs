//! Webhooks: endpoints and what is sent to them.
//!
//! Use cases are here ([`endpoint`], [`again`]) and what sends is in [`pump`]. A secret is derived when it is needed ([`keys`]) and
//! stands in one answer only. Entries go to the chain of the tenant whose endpoint it is, those of the environment's own to
//! the environment's; they name the host of an endpoint and not its URL, which may have a secret of the receiver in it.
//! INVARIANT: an endpoint of a tenant is seen, changed and sent to on behalf of that tenant alone; what its bytes are is a
//! function of the event ([`payload`]), so that an attempt, its repetition and a replay have the same.

mod again;
mod endpoint;
pub mod keys;
mod options;
pub mod payload;
pub mod pump;
mod read;

pub use again::{Begun, Redriven, Replay, Tested, redrive, replay, test};
pub use endpoint::{Change, Issued, Wanted, create, delete, disable, enable, rotate, update};
pub use options::{Outbound, WebhookOptions};
pub use read::{Endpoint, attempts, backlog, dead_letters, get, list, replays};
pub use tenantry_webhooks::{Egress, authorities};
