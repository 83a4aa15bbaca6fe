//! The live guard: looks at a running PostgreSQL and reports every way it knows in which one tenant could reach another.
//!
//! The checks are data (`checks/*.toml`): what leaks, why, how to close it, and the query that finds it. [`Guard`] asks
//! all of them in one round trip and makes a [`Report`], which can be [rendered](render()) or [signed](Report::sign).
//! It knows the databases that Tenantry makes, and works on those of any other product as well.
//!
//! INVARIANT: a run is read-only, and what could not be looked at is in the report with its reason. This crate knows
//! neither the control plane nor the data plane; the data plane's seal it knows by hash.

mod canonical;
mod catalog;
mod compose;
mod docs;
mod input;
mod judge;
mod minors;
mod policy;
mod probe;
mod render;
mod report;
mod run;
mod seal;
mod sign;

pub use catalog::{Catalog, CatalogError, Check, Rule, Scope, Severity};
pub use docs::markdown;
pub use input::{Accepted, FINDINGS_MAX, Input};
pub use policy::Flaw;
pub use probe::{Planted, plant, residue};
pub use render::render;
pub use report::{AcceptedFinding, Finding, Report, SCHEMA_VERSION, Section, ServerFacts, Skipped, Tried, Truncated};
pub use run::{Guard, GuardError};
pub use sign::{PublicKey, SignError, SignedReport, SigningKey};
