//! One binary for all tests of the crate.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, missing_docs)]

mod bundles;
mod governance;
mod hostile;
mod opa;
mod registry;
mod rules;
mod sample;
mod slicing;
mod stage;
mod supply;
mod trust;
