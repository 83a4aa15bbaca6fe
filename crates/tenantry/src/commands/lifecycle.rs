//! The lifecycle's verbs: one tenant, one edge of the graph.

use tenantry_api::v1::tenant::Suspension;

use super::settle::{expected, settle};
use crate::exit::Result;
use crate::globals::Session;

/// The tenant that a verb is about.
#[derive(Debug, Clone, clap::Args)]
pub struct Target {
    /// Name or id of the tenant
    #[arg(value_name = "TENANT")]
    tenant: String,
    /// Act on whatever version is current, even if somebody changed the tenant meanwhile
    #[arg(long)]
    force: bool,
}

/// Bring a draft into service: place it, make its space, open it
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tenantry activate acme")]
pub struct Activate {
    #[command(flatten)]
    target: Target,
}

/// Take a tenant's access away; its data stays where it is
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tenantry suspend acme --reason commercial --note \"invoice 4711 unpaid\"
  tenantry suspend acme --reason compliance --no-wait")]
pub struct Suspend {
    #[command(flatten)]
    target: Target,
    /// The recorded cause
    #[arg(long, value_enum)]
    reason: Reason,
    /// Free text for operators
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

/// Why access is taken away.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Reason {
    /// Unpaid, over limits, end of contract
    Commercial,
    /// Abuse, legal order, security
    Compliance,
}

/// Return a suspended tenant to service
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tenantry resume acme")]
pub struct Resume {
    #[command(flatten)]
    target: Target,
}

/// Retire a suspended tenant; its data is kept until the retention ends
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tenantry archive acme")]
pub struct Archive {
    #[command(flatten)]
    target: Target,
}

/// Bring an archived tenant back into service
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tenantry restore acme")]
pub struct Restore {
    #[command(flatten)]
    target: Target,
}

/// Take back a deletion that still waits
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  tenantry undelete acme")]
pub struct Undelete {
    #[command(flatten)]
    target: Target,
}

/// `tenantry activate`.
///
/// # Errors
/// The API refuses, or the operation does not succeed.
pub async fn activate(args: &Activate, session: &Session) -> Result<()> {
    verb(&args.target, "activate", session).await
}

/// `tenantry resume`.
///
/// # Errors
/// As for [`activate`].
pub async fn resume(args: &Resume, session: &Session) -> Result<()> {
    verb(&args.target, "resume", session).await
}

/// `tenantry archive`.
///
/// # Errors
/// As for [`activate`].
pub async fn archive(args: &Archive, session: &Session) -> Result<()> {
    verb(&args.target, "archive", session).await
}

/// `tenantry restore`.
///
/// # Errors
/// As for [`activate`].
pub async fn restore(args: &Restore, session: &Session) -> Result<()> {
    verb(&args.target, "restore", session).await
}

/// `tenantry undelete`.
///
/// # Errors
/// As for [`activate`].
pub async fn undelete(args: &Undelete, session: &Session) -> Result<()> {
    verb(&args.target, "undelete", session).await
}

/// `tenantry suspend`.
///
/// # Errors
/// As for [`activate`].
pub async fn suspend(args: &Suspend, session: &Session) -> Result<()> {
    let Target { tenant, force } = &args.target;
    let reason = match args.reason {
        Reason::Commercial => "commercial",
        Reason::Compliance => "compliance",
    };
    let suspension = Suspension { reason: reason.to_owned(), note: args.note.clone() };
    let expected = expected(session, tenant, *force).await?;
    settle(session, session.client.suspend_tenant(tenant, expected, &suspension, None).await?).await
}

async fn verb(target: &Target, verb: &str, session: &Session) -> Result<()> {
    let expected = expected(session, &target.tenant, target.force).await?;
    settle(session, session.client.tenant_verb(&target.tenant, verb, expected, None).await?).await
}
