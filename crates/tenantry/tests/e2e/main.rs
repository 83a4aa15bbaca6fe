//! The real binary, as a user runs it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panics, and say why they skip"
)]

mod commands;
mod demo;
mod dev;
mod django;
mod domains;
mod flags;
mod guard;
mod isolation;
mod lint;
mod login;
mod logins;
mod members;
mod migrations;
mod notifications;
mod offline;
mod plans;
mod policy;
mod program;
mod quotas;
mod rules;
mod serve;
mod served;
mod shelf;
mod usage;
mod webhooks;
