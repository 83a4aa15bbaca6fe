//! Logins over a pipe, with the client half of another implementation and with clients that do everything wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod hostile;
mod proof;
mod tenants;
mod tokens;
mod world;
