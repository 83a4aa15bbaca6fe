//! What is true of a tenant and what to do next, as pure values and functions.
//!
//! Invariant: nothing here reads a clock, a random source, a file, an environment or a socket; time, ids and
//! observations arrive as arguments, so every decision of the product can be replayed from its inputs.
//! The layers above persist ([`tenant`], [`audit`], [`event`]), act ([`workflow`], [`reconcile`]) and refuse
//! ([`policy`], [`code`]) with what is decided here. Read [`tenant::lifecycle`] and [`reconcile`] first.

pub mod access;
pub mod app;
pub mod audit;
pub mod canonical;
pub mod cell;
pub mod code;
pub mod diff;
pub mod event;
pub mod flag;
pub mod gateway;
pub mod id;
pub mod incident;
pub mod isolation;
pub mod limit;
pub mod manifest;
pub mod member;
pub mod name;
pub mod notice;
pub mod page;
pub mod placement;
pub mod plan;
pub mod policy;
pub mod pool;
pub mod quantity;
pub mod reconcile;
pub mod rollout;
pub mod tenant;
pub mod usage;
pub mod webhook;
pub mod workflow;

pub use jiff::Timestamp;
