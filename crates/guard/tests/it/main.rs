#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs
)]
//! Tests of the guard on a real PostgreSQL.

mod cases;
mod clean;
mod docs;
mod limits;
mod probe;
mod seal;
mod signed;
mod world;
