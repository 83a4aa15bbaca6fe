//! Tenants of requests and jobs for Rust services, and the sealed PostgreSQL transactions in which they are served.
//!
//! [`Tenantry`] asks the control plane who a tenant is and how its data is reached, and opens transactions in which the
//! database lets that tenant's rows through and no others. [`web`] finds the tenant of each request, [`job`] and
//! [`queue`] carry it through background work, [`watch`] ends what outlives a tenant's access. The rules are those of
//! the application contract, which the libraries for other languages keep too.
//!
//! INVARIANT: nothing here sends a statement but [`TenantTx`], and a [`TenantTx`] comes out of `seal.enter` only. Code
//! without a tenant has no value on which a query could be called:
//!
//! ```no_run
//! # async fn example(tenantry: tenantry_sdk::Tenantry) -> Result<(), tenantry_sdk::Error> {
//! let acme = tenantry.find("acme").await?;
//! let tx = tenantry.begin(&acme).await?;
//! let rows = tx.query("SELECT body FROM notes", &[]).await?;
//! # drop(rows);
//! tx.commit().await?;
//! # Ok(())
//! # }
//! ```
//!
//! The facade has no queries:
//!
//! ```compile_fail
//! # async fn example(tenantry: tenantry_sdk::Tenantry) -> Result<(), tenantry_sdk::Error> {
//! let rows = tenantry.query("SELECT body FROM notes", &[]).await?;
//! # Ok(())
//! # }
//! ```
//!
//! neither has a tenant that is only named:
//!
//! ```compile_fail
//! # async fn example(tenantry: tenantry_sdk::Tenantry) -> Result<(), tenantry_sdk::Error> {
//! let tx = tenantry.begin("acme").await?;
//! # Ok(())
//! # }
//! ```
//!
//! a tenant cannot be made up:
//!
//! ```compile_fail
//! let tenant = tenantry_sdk::Tenant::default();
//! ```
//!
//! a transaction cannot be used after its end:
//!
//! ```compile_fail
//! # async fn example(tenantry: tenantry_sdk::Tenantry) -> Result<(), tenantry_sdk::Error> {
//! let acme = tenantry.find("acme").await?;
//! let tx = tenantry.begin(&acme).await?;
//! tx.commit().await?;
//! let rows = tx.query("SELECT body FROM notes", &[]).await?;
//! # Ok(())
//! # }
//! ```
//!
//! and a job cannot be enqueued without a tenant:
//!
//! ```compile_fail
//! # async fn example(tenantry: tenantry_sdk::Tenantry) -> Result<(), tenantry_sdk::Error> {
//! let job = tenantry.jobs(Default::default()).enqueue(7).await?;
//! # Ok(())
//! # }
//! ```

mod admission;
pub mod context;
mod enter;
mod environment;
mod error;
mod fair;
mod flags;
pub mod job;
mod known;
mod plane;
pub mod queue;
mod settings;
pub mod signed;
mod sources;
pub mod span;
mod tenant;
mod tenantry;
#[cfg(feature = "testkit")]
pub mod testkit;
mod tx;
pub mod watch;
#[cfg(feature = "axum")]
pub mod web;

pub use error::{Absent, Error, Mismatch, Overload, SettingsFault, Silence};
pub use flags::{Feature, Features};
pub use job::{Job, JobError, JobPolicy, Jobs, OnSuspended, Outcome};
pub use known::Look;
pub use queue::{FairQueue, QueueFull};
pub use settings::{Settings, SslMode};
pub use sources::Sources;
pub use tenant::{Route, State, Tenant};
pub use tenantry::{Status, Tenantry};
pub use tx::TenantTx;
#[cfg(feature = "axum")]
pub use web::{CurrentTenant, Identification, TenantLayer, TokenTenant};

pub use tenantry_api::{Client, events};
pub use tenantry_domain::id::TenantId;
pub use tenantry_domain::isolation::Isolation;
pub use tenantry_pg::{CommitError, Ident, PgError, PgKind, Row, Sql, ToSql, TxMode, Type};
