//! The SDK against the real control plane and a real PostgreSQL, over TCP.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a test says what it expects by stopping"
)]

mod cancel;
mod channel;
mod cost;
mod fair;
mod flags;
mod jobs;
mod kit;
mod requests;
mod rows;
mod service;
mod stale;
mod world;
