#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod feed;
mod relay;
#[path = "../world/mod.rs"]
mod world;
