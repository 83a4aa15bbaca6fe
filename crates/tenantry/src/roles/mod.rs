//! The roles of the one binary. Each wires the crates together and waits; decisions are made below.

pub mod demo;
pub mod dev;
pub mod folder;
pub mod gateway;
mod governance;
pub mod guard;
pub mod installation;
pub mod issuers;
pub mod lint;
pub mod listen;
pub mod local;
mod mail;
pub mod migrate;
pub mod notify;
mod people;
mod pools;
pub mod postgres;
mod rates;
pub mod samples;
pub mod secret;
pub mod serve;
pub mod shelf;
pub mod signals;
mod streams;
pub mod tuning;
mod webhooks;
