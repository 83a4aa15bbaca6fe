//! The drivers of the isolation levels: every verb, repeated, outdated, concurrent and interrupted.

mod admin;
mod bench;
mod concurrent;
mod drift;
mod erase;
mod exec;
mod fence;
mod foreign;
mod gate;
mod guard;
mod interrupted;
mod lifecycle;
mod migrate;
mod older;
mod overlay;
mod premade;
mod probe;
mod refused;
mod stale;
mod timing;
mod upgrade;
