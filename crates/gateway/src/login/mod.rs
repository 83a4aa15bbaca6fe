//! Who a client is, and which tenant it gets: the conversation between a start and `AuthenticationOk`.
//!
//! `settings` reads the start, `scram` proves a password without seeing it, `choose` finds the tenant, `failures` counts
//! what goes wrong per address, `lobby` bounds who waits to be let in, and `talk` is the only part that does input and output.
//!
//! INVARIANT: nothing about tenants or logins is told before the proof, an unknown login looks like a wrong password to
//! its last byte, and the tenant is one that the credential may enter, whatever else the client says.

mod choose;
mod failures;
mod lobby;
mod refused;
mod scram;
mod settings;
mod talk;
#[cfg(test)]
mod tests;
mod verifier;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use secrecy::SecretString;
use tenantry_domain::Timestamp;
use tenantry_domain::gateway::LoginName;
use tenantry_domain::name::EnvironmentName;
use tenantry_wire::start::Start;

use self::failures::Failures;
pub use self::lobby::{Lobby, Place};
pub use self::refused::{Refused, Said, Why};
pub use self::talk::{login, prove};
pub use self::verifier::Mock;
use crate::table::{Login, Slot, Table};

/// What is known of the connection before its first message.
#[derive(Debug, Clone)]
pub struct Facts {
    /// About TLS; absent without it.
    pub tls: Option<TlsFacts>,
    /// The client's address, as the network or a trusted proxy tells it.
    pub peer: IpAddr,
    /// When it connected; the login's deadline counts from there.
    pub since: Instant,
}

/// What is known of a TLS connection.
#[derive(Debug, Clone)]
pub struct TlsFacts {
    /// The hash of our certificate that `tls-server-end-point` binds to (RFC 5929); empty if it has none, then no binding
    /// is offered.
    pub end_point: Vec<u8>,
    /// The host name that the client asked for.
    pub sni: Option<String>,
}

/// Bounds of a login.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long the whole conversation may take, from the connection on.
    pub deadline: Duration,
    /// How many failed logins one address may have in [`Self::per`] before it is turned away unheard.
    pub failures: u32,
    /// In which time that many failures are forgotten.
    pub per: Duration,
    /// How many addresses are remembered, about; the oldest are forgotten first.
    pub addresses: usize,
    /// Domains under which a host name names a tenant by its first label: `db.example.com` for `acme.db.example.com`.
    pub base_domains: Vec<String>,
}

impl Default for Limits {
    fn default() -> Self {
        let (deadline, per) = (Duration::from_secs(10), Duration::from_secs(60));
        Self { deadline, failures: 20, per, addresses: 10_000, base_domains: Vec::new() }
    }
}

/// What logging in takes.
pub struct Desk {
    table: Table,
    tokens: Option<Arc<dyn Tokens>>,
    limits: ArcSwap<Limits>,
    mock: Mock,
    failures: Failures,
    lobby: Lobby,
}

impl Desk {
    /// Puts it together. Without `tokens`, logins that prove themselves by a token are refused.
    #[must_use]
    pub fn new(table: Table, tokens: Option<Arc<dyn Tokens>>, limits: Limits, mock: Mock) -> Self {
        let failures = Failures::new(limits.failures, limits.per, limits.addresses);
        let limits = ArcSwap::from_pointee(limits);
        Self { table, tokens, limits, mock, failures, lobby: Lobby::default() }
    }

    /// From now on a login may take so long, and an address may have so many failures in a while.
    pub fn bound(&self, deadline: Duration, failures: u32) {
        let limits = Limits { deadline, failures, ..(**self.limits.load()).clone() };
        self.limits.store(Arc::new(limits));
        self.failures.bound(failures);
    }

    /// Those who have not logged in yet.
    #[must_use]
    pub const fn lobby(&self) -> &Lobby {
        &self.lobby
    }
}

/// Verifies access tokens.
pub trait Tokens: Send + Sync {
    /// Checks a token for use in an environment: signature, issuer, audience, times.
    ///
    /// # Errors
    /// It is not valid there, or that cannot be found out at present.
    fn verify<'a>(
        &'a self,
        environment: &'a EnvironmentName,
        token: &'a SecretString,
    ) -> BoxFuture<'a, Result<Claims, TokenError>>;
}

/// What a valid token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The tenant, by its id or name.
    pub tenant: String,
    /// For whom it was made, to be logged.
    pub subject: Option<String>,
    /// From when on it is no longer valid.
    pub expires: Timestamp,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is not valid here.
    #[error("the token is not valid")]
    Invalid,
    /// Its issuer's keys are not known at present.
    #[error("the keys of the token's issuer cannot be read")]
    Away,
}

/// A client that is let in. `AuthenticationOk` is sent; parameters, key and ReadyForQuery are not.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// Who it is.
    pub login: Arc<Login>,
    /// Its tenant.
    pub slot: Arc<Slot>,
    /// How it began.
    pub start: Start,
    /// Settings it wishes for, all of them on our list, in the order in which they apply; each name once and as PostgreSQL
    /// writes it.
    pub settings: Vec<(String, String)>,
    /// What its token said, if it has one.
    pub claims: Option<Claims>,
}

impl Accepted {
    /// The login's name.
    #[must_use]
    pub fn name(&self) -> &LoginName {
        &self.login.name
    }
}
