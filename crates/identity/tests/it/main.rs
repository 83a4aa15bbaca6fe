//! The client against a real HTTP server that answers like the provider, and in every way in which it can fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod accounts;
mod credential;
mod faults;
mod pools;
mod provider;
