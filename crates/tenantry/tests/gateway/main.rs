//! What `tenantry gateway` promises when things die: real processes, real PostgreSQL servers, and clients that count.
//!
//! INVARIANT: a [`load`] notes of every row whether it was acknowledged, refused or unknown, and no test ends before what is
//! in the tables was held against that. Forms that take long are chosen by `GATEWAY_OUTAGE`, `GATEWAY_FREEZE` (seconds) and
//! `GATEWAY_ROUNDS`; `scripts/test --gateway` runs them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]
#![allow(clippy::print_stderr, reason = "figures of a run")]
#![allow(dead_code, reason = "the tests of commands use the rest of their module")]

mod cell;
mod change;
mod freeze;
mod grant;
mod load;
mod outage;
#[path = "../e2e/program.rs"]
mod program;
mod reload;
mod restart;
mod role;
mod world;

/// A number out of the environment; a test that takes long has a short form without it.
fn chosen(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}: `{text}`")))
}
