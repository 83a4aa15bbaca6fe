//! The door from outside, over TCP, on a real PostgreSQL.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a test says what it expects by stopping"
)]

mod bad;
mod bearer;
mod bounds;
mod domains;
mod drain;
mod flow;
mod guard;
mod idempotency;
mod logins;
mod openapi;
mod operations;
mod read;
mod routes;
mod token;
mod witness;
mod world;
