//! Webhooks while everything dies: two real replicas, the real PostgreSQL, receivers in every mood.
//!
//! Events are committed in bulk through the store's own writer. Meanwhile replicas are killed by SIGKILL and started again, and
//! the database is restarted, in order and by a crash. At the end the outbox, which is what was committed, is held against what
//! each receiver wrote down. `HOOKS_EVENTS` says how many events; the form of the default lane takes less than a minute.
//!
//! The schedule of attempts lasts three days and the rests of an endpoint a minute. The test does not wait for them: it makes due
//! what waits, as time would.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]
#![allow(clippy::print_stderr, reason = "figures of a run")]
#![allow(dead_code, reason = "the kill lane uses the rest of its world")]

mod farm;
mod flood;
mod judge;
mod run;
mod trouble;
#[path = "../kill/world/mod.rs"]
mod world;
