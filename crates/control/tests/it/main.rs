//! The brain on a real PostgreSQL: use cases, workflows and controllers together, without HTTP.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "tests")]

mod clock;
mod domains;
mod guard;
mod kept;
mod lifecycle;
mod logins;
mod manifests;
mod members;
mod narrow;
mod notify;
mod pools;
mod probe;
mod rates;
mod rollouts;
mod streams;
mod webhooks;
mod world;
