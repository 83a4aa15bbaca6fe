//! `tenantry rollback`: an old version's content becomes the newest version.

use super::settle::{expected, settle};
use crate::exit::Result;
use crate::globals::Session;

/// Make the content of an old version the newest one
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tenantry history tenant acme
  tenantry rollback tenant acme --to 3")]
pub struct Args {
    /// What is rolled back
    #[arg(value_enum)]
    kind: OnlyTenant,
    /// Name or id of the tenant
    #[arg(value_name = "NAME")]
    name: String,
    /// The version to go back to
    #[arg(long, value_name = "VERSION")]
    to: i64,
    /// Act on whatever version is current, even if somebody changed the tenant meanwhile
    #[arg(long)]
    force: bool,
}

/// The kind stands in the command for the day when there are more.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum OnlyTenant {
    /// A customer organisation
    #[value(alias = "tenants")]
    Tenant,
}

/// Rolls back and waits.
///
/// # Errors
/// There is no such version, or the operation does not succeed.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let OnlyTenant::Tenant = args.kind;
    let expected = expected(session, &args.name, args.force).await?;
    settle(session, session.client.rollback_tenant(&args.name, expected, args.to, None).await?).await
}
