#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs
)]

mod adversary;
mod broken;
mod clean;
mod duel;
mod holes;
mod world;
