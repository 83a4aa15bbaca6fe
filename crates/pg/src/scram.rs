//! Password verifiers made on our side.
//!
//! `ALTER ROLE … PASSWORD 'text'` would put the password into the server's log and into `pg_stat_activity`. The
//! verifier that is sent instead cannot be used to log in.

use secrecy::{ExposeSecret as _, SecretString};

/// The `SCRAM-SHA-256$…` verifier of a password, with a fresh salt, as the server stores it.
#[must_use]
pub fn verifier(password: &SecretString) -> String {
    postgres_protocol::password::scram_sha_256(password.expose_secret().as_bytes())
}
