//! Which tenant a request is for, and how to reach its data: what applications, gateways and proxies ask all the time.
//!
//! Answers come out of memory. INVARIANT: a change of state, name, place or plan reaches every replica's memory
//! within [`BOUND`] while our database answers; while it does not, what is known is answered for at most
//! [`cache::LONGEST`]. Either way the tenant's database has the last word: it refuses an old generation and a shut
//! gate.

pub mod cache;
pub mod context;
pub mod credential;
pub mod resolve;
pub mod route;
pub mod token;

use std::time::Duration;

pub use cache::Routes;
pub use credential::{Credential, SecretRef, issue};
pub use resolve::{Openness, Resolution, Resolved, resolve};
pub use route::{Route, route};

/// The longest time until a change is seen by every replica.
pub const BOUND: Duration = Duration::from_millis(500);

/// For how long those who ask may keep an answer.
pub const MAX_AGE: Duration = Duration::from_millis(500);
