//! The protocol's bytes from both sides, whole and in pieces, right and wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod anything;
mod lead;
mod mutants;
mod pieces;
mod round;
mod starts;
mod statements;
