//! The driver against a real server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod cancel;
mod listener;
mod migrate;
mod pool;
mod quoting;
mod retry;
mod scram;
mod target;

use std::time::Duration;

use tenantry_pg::{Pool, PoolOptions, Target};
use tenantry_testkit::pg::{TestDatabase, server};

fn pool_of(database: &TestDatabase, max: usize) -> Pool {
    let options = PoolOptions { max, wait: Duration::from_secs(10), ..PoolOptions::default() };
    Pool::new(target(&database.url()), options)
}

fn target(url: &str) -> Target {
    Target::parse(&url.into()).unwrap()
}

fn fresh() -> TestDatabase {
    server().database()
}
