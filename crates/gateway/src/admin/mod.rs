//! The administrator's console: a database named `tenantry` that no server has, for people with psql and for scripts.
//!
//! It is there when the gateway was given a password for it. It shows what the gateway knows and has no rows of tenants.

mod show;
mod talk;
pub mod words;

use secrecy::SecretString;
use tenantry_wire::start::Start;

use crate::feed::Handle;
use crate::login::Desk;
use crate::orders::Workers;
use crate::reload::Config;
use crate::table::{Table, Verifier};
use crate::tls::Tls;

pub use show::{name, state};
pub use talk::serve;

/// User and database of the console. No login can have the name.
pub const NAME: &str = "tenantry";

/// See the module.
#[derive(Debug, Clone)]
pub struct Admin {
    verifiers: Vec<Verifier>,
    feed: Handle,
}

impl Admin {
    /// With this password. `feed` is shown by `SHOW FEED`.
    #[must_use]
    pub fn new(password: &SecretString, feed: Handle) -> Self {
        let text = tenantry_pg::scram::verifier(password).into();
        Self { verifiers: vec![Verifier { text, until: None }], feed }
    }

    /// Whether a client asks for the console.
    #[must_use]
    pub fn is_meant(start: &Start) -> bool {
        start.get("user") == Some(NAME)
    }

    /// How the table is kept.
    #[must_use]
    pub const fn feed(&self) -> &Handle {
        &self.feed
    }

    /// What the password is compared with.
    #[must_use]
    pub fn verifiers(&self) -> &[Verifier] {
        &self.verifiers
    }
}

/// What the console's commands reach.
pub struct Reach<'a> {
    /// How the table is kept.
    pub feed: &'a Handle,
    /// The workers.
    pub workers: &'a Workers,
    /// What is known of tenants.
    pub table: &'a Table,
    /// Bounds, and how they are read again.
    pub config: &'a Config,
    /// What takes logins.
    pub desk: &'a Desk,
    /// Certificate and key, if there are.
    pub tls: Option<&'a Tls>,
}
