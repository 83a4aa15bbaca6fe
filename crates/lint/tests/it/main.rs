//! The linter from outside: rules by their examples, a corpus of statements, what frameworks emit, and broken input.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a test says what it expects by stopping"
)]

mod allow;
mod corpus;
mod frameworks;
mod fuzz;
mod input;
mod page;
mod rules;
mod scope;
mod structure;
mod world;
