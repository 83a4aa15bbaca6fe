//! The door from outside, over TCP, on a real PostgreSQL.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a test says what it expects by stopping"
)]

mod access;
mod bad;
mod bearer;
mod bounds;
mod domains;
mod drain;
mod feed;
mod flags;
mod flow;
mod governance;
mod guard;
mod idempotency;
mod incidents;
mod limits;
mod logins;
mod matrix;
mod members;
mod openapi;
mod operations;
mod people;
mod plans;
mod quotas;
mod read;
mod residency;
mod routes;
mod scim;
mod stolen;
mod streams;
mod token;
mod tokens;
mod usage;
mod webhooks;
mod witness;
mod world;
