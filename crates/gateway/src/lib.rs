//! PostgreSQL's protocol in front of the cells: one connection string, its own tenant.
//!
//! [`Gateway::start`] listens; [`login`] finds out who a client is; its [`session`] is then served by the worker on which its
//! tenant lives. What the gateway knows of tenants is in [`table`], filled by [`feed`]. Why it is built so is in ADR 0016.

pub mod admin;
pub mod counts;
pub mod doors;
pub mod feed;
mod front;
mod guests;
mod hold;
mod listener;
pub mod login;
pub mod metrics;
mod orders;
mod pipe;
pub mod pool;
mod profile;
mod rates;
pub mod reload;
mod seats;
mod server;
mod session;
pub mod settings;
mod socket;
mod standby;
pub mod table;
mod tls;
mod worker;

use std::sync::atomic::{AtomicU64, Ordering};

pub use admin::Admin;
pub use doors::{Doors, Secrets};
pub use listener::{Gateway, GatewayError, Ports};
pub use session::Doing;
pub use settings::Settings;
pub use standby::StandbyView;
pub use table::Table;
pub use tls::{Tls, TlsError};
pub use worker::{PoolView, SessionView, View};

/// Numbers of sessions, unique in this process.
fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
