//! The contract from outside: what is accepted, what is refused, and what the refusal says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a test says what it expects by stopping"
)]

mod bad;
mod bundle;
mod catalogs;
mod client;
mod events;
mod examples;
mod fuzz;
mod round_trip;
