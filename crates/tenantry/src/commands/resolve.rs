//! `tenantry resolve`: whose request something is.

use tenantry_api::client::SourceQuery;

use crate::exit::{Failure, Result};
use crate::globals::Session;

/// Find the tenant of a request by its host, path, header or token
#[derive(Debug, clap::Args)]
#[command(after_help = "Everything that is given must name one tenant, as in a request.

Examples:
  tenantry resolve --host acme.example.com
  tenantry resolve --host acme.example.com --path /t/acme/orders
  tenantry resolve --claim ten_01jd8x3v9mfk2t5h7q0w4z6y8c -o json")]
pub struct Args {
    /// Host of the request
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Path of the request
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Value of `X-Tenant-ID`: an id or a slug
    #[arg(long, value_name = "TENANT")]
    header: Option<String>,
    /// Tenant claim of the access token: an id or a slug
    #[arg(long, value_name = "TENANT")]
    claim: Option<String>,
}

/// Asks and shows.
///
/// # Errors
/// Nothing is given, there is no such tenant, or two sources disagree.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let sources = SourceQuery {
        host: args.host.clone(),
        path: args.path.clone(),
        tenant: args.header.clone(),
        claim: args.claim.clone(),
    };
    if sources == SourceQuery::default() {
        return Err(
            Failure::usage("Nothing says whose request it is").hint("Give --host, --path, --header or --claim.")
        );
    }
    let found = session.client.resolve(&sources).await?;
    if session.output.format().is_document() {
        return session.output.document(&found);
    }
    let place = match (&found.isolation, &found.cell) {
        (Some(isolation), Some(cell)) => format!("{isolation} on {cell}, generation {}", found.generation),
        _ => "no place yet".to_owned(),
    };
    let row = vec![found.slug, found.tenant, found.state, place, found.sources.join(", ")];
    session.output.table(&["TENANT", "ID", "STATE", "PLACE", "NAMED BY"], vec![row])
}
