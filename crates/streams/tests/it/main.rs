//! The link, against a real `nats-server`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod link;
mod refused;
