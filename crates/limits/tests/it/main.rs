//! Rates shared by replicas, against a real `redis-server`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod redis;

mod away;
mod shared;
