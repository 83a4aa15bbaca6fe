//! `tenantry route`: how to reach a tenant's data.

use crate::exit::Result;
use crate::globals::Session;

/// Show how to reach a tenant's data; holds no secret
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tenantry route acme
  tenantry route acme -o json")]
pub struct Args {
    /// Name or id of the tenant
    #[arg(value_name = "TENANT")]
    tenant: String,
}

/// Asks and shows.
///
/// # Errors
/// There is no such tenant, or it has no place yet.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let route = session.client.tenant_route(&args.tenant).await?;
    if session.output.format().is_document() {
        return session.output.document(&route);
    }
    let rows = [
        ("tenant", format!("{} ({})", route.slug, route.tenant)),
        ("state", route.state),
        ("level", format!("{} on {}, generation {}", route.isolation, route.cell, route.generation)),
        ("server", format!("{}:{}", route.host, route.port)),
        ("database", route.database),
        ("schema", route.schema),
        ("login", route.role),
        ("connections", route.connections.map_or_else(|| "no bound".to_owned(), |count| count.to_string())),
        ("credential", route.secret_ref),
    ];
    session.output.table(&["WHAT", "VALUE"], rows.map(|(what, value)| vec![what.to_owned(), value]).to_vec())
}
