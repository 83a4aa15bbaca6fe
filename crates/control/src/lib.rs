//! The brain: use cases that judge and record, workflows that act, controllers that compare.
//!
//! Invariants: nothing is written without a permit and an audit entry; nothing happens to the world outside of a
//! journaled step; no SQL and no HTTP type is known here; nothing sleeps outside of [`controllers::driver`] and
//! [`engine::executor`]. Read [`tenants::edit`] for the shape of a use case, [`engine`] for how steps survive, and
//! [`controllers::activation`] for how the two meet.

pub mod access;
pub mod audit;
pub mod catalog;
pub mod controllers;
pub mod ctx;
pub mod deps;
pub mod domains;
pub mod engine;
pub mod events;
pub mod flags;
pub mod governance;
pub mod guard;
pub mod health;
pub mod incidents;
mod keeping;
pub mod logins;
pub mod manifests;
pub mod members;
pub mod notify;
pub mod operations;
mod options;
pub mod people;
pub mod plans;
pub mod pools;
pub mod quotas;
pub mod refusal;
pub mod rollouts;
pub mod routes;
pub mod runtime;
pub mod scim;
pub mod streams;
pub mod tenants;
pub mod timing;
pub mod tokens;
pub mod usage;
pub mod view;
pub mod webhooks;
pub mod workflows;

pub use ctx::{Ctx, IdempotencyKey};
pub use deps::{Deps, Options, PoolWants};
pub use refusal::Refusal;
pub use runtime::Runtime;
/// Types of the hands that the doors hand through.
pub use tenantry_dataplane::Finding;
pub use tenantry_store::{AttemptFilter, AttemptRow, DeadFilter, DeadRow, ReplayRow, SinkRow, StreamBacklog};
pub use tenantry_store::{AuditFilter, AuditRow, EventRow, Label, Page, Subject, TenantFilter};
pub use tenantry_store::{IncidentProgress, IncidentUpdateRow, NotificationFilter, NotificationState, Waiting};
