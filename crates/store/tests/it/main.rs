//! The store against a real PostgreSQL: one binary, one database per test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod world;

mod ahead;
mod cells;
mod changed;
mod due;
mod faults;
mod fit;
mod flags;
mod gateway;
mod guard;
mod history;
mod idempotency;
mod logins;
mod members;
mod names;
mod operations;
mod plans;
mod quotas;
mod schema;
mod scim;
mod search;
mod sequences;
mod tamper;
mod tokens;
mod usage;
mod workflows;
