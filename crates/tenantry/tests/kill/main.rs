//! The kill lane: the real server dies at every point of every workflow, and afterwards the world is finished or clean.
//!
//! Run by `cargo xtask kill`; see `docs/fault-points.md`. Without feature `fault` only that runs which needs no fault:
//! the list of points against its snapshot, and the proof that each invariant's checker can turn red.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]
#![cfg_attr(not(feature = "fault"), allow(dead_code))]

mod corrupted;
mod digest;
#[cfg(feature = "fault")]
mod failures;
mod invariants;
mod points;
#[cfg(feature = "fault")]
mod release;
#[cfg(feature = "fault")]
mod repeat;
mod report;
#[cfg(feature = "fault")]
mod seeded;
#[cfg(feature = "fault")]
mod sweep;
mod verdict;
mod world;
