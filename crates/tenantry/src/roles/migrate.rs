//! `tenantry migrate`: the control database brought up to date. Tenants' databases are not touched.

use secrecy::SecretString;
use tenantry_dataplane::RootKey;

use super::installation;
use crate::exit::{Failure, Result};
use crate::globals::Globals;
use crate::telemetry::LogArgs;

/// Bring the control database up to date
#[derive(Debug, clap::Args)]
#[command(after_help = "Any number of processes may do so at once; one of them does the work.

Example:
  TENANTRY_DATABASE_URL=postgres://… tenantry migrate")]
pub struct Args {
    /// PostgreSQL of the control plane
    #[arg(long, env = "TENANTRY_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<SecretString>,
    #[command(flatten)]
    log: LogArgs,
}

/// Migrates and says what was done.
///
/// # Errors
/// The database does not answer, or a migration does not fit.
pub async fn run(args: Args, globals: &Globals) -> Result<()> {
    let file = globals.file()?;
    args.log.start(&file, "warn")?;
    let url = args.database_url.or(file.database_url).ok_or_else(no_database)?;
    // Page tokens are signed with a key of the installation; a migration reads no page.
    let key = RootKey::from_bytes(crate::random::bytes().map_err(|error| Failure::broken("No randomness", error))?)
        .map_err(|error| Failure::broken("No randomness", error))?;
    let store = installation::store(&url, &key, 2)?;
    let applied = installation::migrate(&store).await?;
    store.pool().close();
    let output = globals.output();
    if output.format().is_document() {
        return output.document(&serde_json::json!({ "applied": applied.applied, "version": applied.version }));
    }
    output.line(&format!(
        "{} migrations applied, the control database is at version {}",
        applied.applied.len(),
        applied.version
    ))
}

/// No URL was given anywhere.
pub fn no_database() -> Failure {
    Failure::usage("No control database is given")
        .hint("Set TENANTRY_DATABASE_URL, or use `tenantry dev`, which starts a private PostgreSQL.")
}
