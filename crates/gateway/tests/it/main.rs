#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod feed;
mod gate;
mod lost;
mod relay;
#[path = "../world/mod.rs"]
mod world;
