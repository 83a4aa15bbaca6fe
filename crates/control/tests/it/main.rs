//! The brain on a real PostgreSQL: use cases, workflows and controllers together, without HTTP.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "tests")]

mod activation;
mod clock;
mod counted;
mod domains;
mod drift;
mod guard;
mod hanging;
mod kept;
mod lifecycle;
mod logins;
mod manifests;
mod members;
mod narrow;
mod notify;
mod onboarding;
mod plans;
mod pools;
mod previews;
mod probe;
mod rates;
mod resolve;
mod rollouts;
mod storage;
mod streams;
mod webhooks;
mod world;
