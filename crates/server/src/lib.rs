//! The HTTP door: routes, their guards, and the translation between the public contract and the use cases.
//!
//! A handler reads its input ([`extract`]), calls one use case of `tenantry-control`, and shows the result
//! ([`convert`]). Whatever goes wrong becomes a [`problem`], also what the router or a panic does. There is no
//! business decision here, no SQL, and no store type. Read [`router`] for the order of the guards.

pub mod api;
pub mod convert;
pub mod extract;
mod head;
pub mod metrics;
pub mod middleware;
pub mod openapi;
pub mod problem;
pub mod router;
pub mod serve;
pub mod state;
mod stream;

pub use middleware::authorize::{READS, right};
pub use middleware::witness::ACTIONS;
pub use router::router;
pub use serve::serve;
pub use state::{Options, State};
