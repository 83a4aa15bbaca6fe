//! What tests need and the product must not have. A dev-dependency only.
//!
//! [`pg`] gives every test a database of its own on a real, throw-away PostgreSQL server; [`dns`] is a DNS server that says
//! what a test wants; [`nats`] is a NATS server with JetStream; [`process`] starts, stops and kills real processes; [`receivers`] are
//! receivers of webhooks in every mood; [`mail`] is a mail server that keeps what it gets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test kit that cannot work stops the test"
)]
#![allow(clippy::disallowed_methods, reason = "servers are waited for outside of any runtime, with a deadline")]

pub mod dns;
pub mod mail;
pub mod nats;
pub mod pg;
pub mod process;
pub mod receivers;
