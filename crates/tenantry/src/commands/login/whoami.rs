//! `tenantry whoami`: who this command line is to the server.

use tenantry_api::v1::person::Whoami;

use crate::exit::Result;
use crate::globals::Session;

/// Show who you are to the server, and what you may do there
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tenantry whoami
  tenantry whoami -o json")]
pub struct Args {}

/// Asks and shows.
///
/// # Errors
/// The server does not know the token, or does not answer.
pub async fn run(_args: &Args, session: &Session) -> Result<()> {
    let known = session.client.whoami().await?;
    if session.output.format().is_document() {
        return session.output.document(&known);
    }
    session.output.table(&["FIELD", "VALUE"], rows(&known))
}

fn rows(known: &Whoami) -> Vec<Vec<String>> {
    let list = |texts: &[String]| if texts.is_empty() { "-".to_owned() } else { texts.join(", ") };
    let mut rows = vec![("actor", known.actor.clone())];
    rows.extend(known.person.clone().map(|text| ("person", text)));
    rows.extend(known.display.clone().map(|text| ("display", text)));
    rows.push(("roles", list(&known.roles)));
    rows.extend(known.scopes.as_deref().map(|scopes| ("scopes", list(scopes))));
    rows.extend(known.tenant.clone().map(|tenant| ("tenant", tenant)));
    rows.push(("environments", known.environments.as_deref().map_or_else(|| "all".to_owned(), list)));
    for (environment, roles) in &known.roles_by_environment {
        rows.push(("only", format!("{}: {}", environment, list(roles))));
    }
    rows.push(("ends", known.expires_at.map_or_else(|| "never".to_owned(), |end| end.to_string())));
    rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect()
}
