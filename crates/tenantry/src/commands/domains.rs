//! `tenantry domains`: domains of a tenant's own, the records that prove them, and a look at once.

use std::process::ExitCode;

use jiff::Timestamp;
use tenantry_api::v1::domain::{Domain, DomainList};

use super::times::age;
use crate::exit::{FAILED, Failure, Result};
use crate::globals::Session;
use crate::output::{Paint, clean};

/// See the domains of a tenant's own, and prove them
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A domain stands in the tenant's manifest (`spec.domains`) and names the tenant once a DNS record proves it.
The record must stay: the proof is lost when it is missing for a day.

Examples:
  tenantry domains list acme
  tenantry domains verify acme
  tenantry domains verify acme --domain chat.acme.example -o json"
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List domains with the DNS record that proves each
    List {
        /// Name or id of the tenant
        tenant: String,
    },
    /// Look for the records now; exit code 1 when a domain is not verified
    Verify {
        /// Name or id of the tenant
        tenant: String,
        /// Only this domain; all of the tenant's if absent
        #[arg(long, value_name = "DOMAIN")]
        domain: Option<String>,
    },
}

/// The word of a domain that names its tenant.
const VERIFIED: &str = "verified";

/// Asks and shows.
///
/// # Errors
/// There is no such tenant, or its manifest does not have the domain.
pub async fn run(args: &Args, session: &Session) -> Result<ExitCode> {
    match &args.verb {
        Verb::List { tenant } => {
            let found = session.client.domains(tenant).await?;
            show(session, tenant, found).map(|()| ExitCode::SUCCESS)
        }
        Verb::Verify { tenant, domain } => {
            let names = match domain {
                Some(domain) => vec![domain.clone()],
                None => session.client.domains(tenant).await?.items.into_iter().map(|found| found.domain).collect(),
            };
            if names.is_empty() {
                return Err(Failure::usage(format!("Tenant `{tenant}` has no domain of its own"))
                    .hint("Add it to `spec.domains` of its manifest, and apply that."));
            }
            let mut items = Vec::new();
            for name in names {
                items.push(session.client.verify_domain(tenant, &name).await?);
            }
            let is_all = items.iter().all(|found| found.status == VERIFIED);
            show(session, tenant, DomainList { items })?;
            Ok(if is_all { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
        }
    }
}

fn show(session: &Session, tenant: &str, found: DomainList) -> Result<()> {
    let output = session.output;
    if output.format().is_document() {
        return output.document(&found);
    }
    if found.items.is_empty() {
        output.note(&format!("tenant {tenant} has no domain of its own"));
        return Ok(());
    }
    let now = Timestamp::now();
    let row = |found: &Domain| {
        let looked = found.looked_at.map_or_else(|| "never".to_owned(), |at| age(at, now));
        let trouble = found.problem.as_ref().map_or_else(|| "-".to_owned(), |problem| problem.message.clone());
        vec![found.domain.clone(), found.status.clone(), age(found.since, now), looked, trouble]
    };
    output.table(&["DOMAIN", "STATUS", "FOR", "LAST LOOK", "TROUBLE"], found.items.iter().map(row).collect())?;
    let to_set: Vec<&Domain> =
        found.items.iter().filter(|found| found.status != VERIFIED || found.missing_since.is_some()).collect();
    if !to_set.is_empty() {
        output.line(&output.paint(Paint::Warn, "Records to set in DNS:"))?;
    }
    for Domain { record, .. } in to_set {
        output.line(&clean(&format!("  {}. {} \"{}\"", record.name, record.kind, record.value)))?;
    }
    Ok(())
}
