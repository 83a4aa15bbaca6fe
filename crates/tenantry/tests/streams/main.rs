//! Streams while everything dies: two real replicas, the real PostgreSQL, a real NATS server with JetStream.
//!
//! Events are committed in bulk through the store's own writer. At the end the outbox, which is what was committed, is held against
//! what is in the stream, message by message. The server knows ids of messages for a tenth of a second only, so that no
//! test passes because it would have refused a repetition by itself. `STREAMS_EVENTS` says how many events; the form of the
//! default lane takes less than a minute.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]
#![allow(clippy::print_stderr, reason = "figures of a run")]
#![allow(dead_code, reason = "other lanes use the rest of the world and of the flood")]

mod alone;
#[path = "../hooks/flood.rs"]
mod flood;
mod judge;
mod replicas;
mod run;
#[path = "../kill/world/mod.rs"]
mod world;
