#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod abandoned;
mod console;
mod crowd;
mod enter;
mod feed;
mod gate;
mod hostile;
mod lost;
mod psql;
mod raw;
mod relay;
mod residue;
mod slow;
mod standby;
mod stays;
mod unfinished;
#[path = "../world/mod.rs"]
mod world;
