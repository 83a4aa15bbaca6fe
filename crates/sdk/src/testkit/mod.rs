//! The test kit: tenants for tests, and examples that show for every table that its rows stay with their tenant.
//!
//! [`TenantFactory`] makes tenants in an installation for tests and removes them again; [`Examples`] checks isolation
//! table by table, and fails for a table that has no example. Use an installation for tests, never the one that serves
//! customers: the token needs the rights of an administrator.

mod examples;
mod factory;
mod probe;

pub use examples::{Examples, Finding, Report};
pub use factory::{MadeTenant, TenantFactory};
