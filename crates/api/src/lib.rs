//! The public contract: what travels between a door of Tenantry and its callers.
//!
//! [`v1`] holds the shapes (JSON and their schema), [`parse`] turns loose requests into values of the domain and
//! collects *everything* that is wrong with them, [`manifest`] reads whole files, [`problem`] is how a refusal
//! looks, and [`client`] speaks all of it over HTTP; [`events`] makes a tenant's record of its events. Released fields are only added to, never changed; an answer
//! with a field or word that this release does not know is still read.
//! Nothing here knows a server framework or a table.

pub mod client;
pub mod events;
pub mod manifest;
pub mod parse;
pub mod problem;
pub mod v1;

pub use client::{Client, ClientError};
pub use problem::{Problem, Rejection};
