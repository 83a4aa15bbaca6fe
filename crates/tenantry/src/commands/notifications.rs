//! `tenantry notifications`: what people were told, and what the texts are made of.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::json;
use tenantry_api::client::{NotificationQuery, PageQuery};
use tenantry_api::v1::incident::Notification;

use super::times::age;
use crate::exit::Result;
use crate::globals::Session;

/// Look at what people were told, and try templates
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tenantry notifications list --status dropped
  tenantry notifications list --tenant acme --kind welcome
  tenantry notifications templates
  tenantry notifications templates --check ./templates --only welcome")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List notifications, the newest first; they are kept for 30 days
    List {
        /// Only those about this tenant
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// Only those about this incident
        #[arg(long, value_name = "INCIDENT")]
        incident: Option<String>,
        /// Only those of this kind, such as welcome
        #[arg(long, value_name = "KIND")]
        kind: Option<String>,
        /// Only those that stand like this: waiting, sent or dropped
        #[arg(long, value_name = "STATUS")]
        status: Option<String>,
        /// Most items to show
        #[arg(long, default_value_t = 50, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=200))]
        limit: u16,
    },
    /// Show every template filled with a sample; needs no server
    Templates {
        /// Folder with templates of your own; a broken one is named with its line
        #[arg(long, value_name = "FOLDER")]
        check: Option<PathBuf>,
        /// Only this one, such as welcome
        #[arg(long, value_name = "NAME")]
        only: Option<String>,
    },
}

impl Args {
    /// Folder and name of the templates that are to be shown, if that is what is wanted: for that no server is asked.
    pub fn templates(&self) -> Option<(Option<&Path>, Option<&str>)> {
        match &self.verb {
            Verb::Templates { check, only } => Some((check.as_deref(), only.as_deref())),
            Verb::List { .. } => None,
        }
    }
}

/// `tenantry notifications list`.
///
/// # Errors
/// The API refuses.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let Verb::List { tenant, incident, kind, status, limit } = &args.verb else { return Ok(()) };
    let query = NotificationQuery {
        tenant: tenant.clone(),
        incident: incident.clone(),
        kind: kind.clone(),
        status: status.clone(),
        page: PageQuery { page_size: Some(*limit), page_token: None },
    };
    let page = session.client.notifications(&query).await?;
    let output = session.output;
    if output.format().is_document() {
        return output.document(&json!({ "items": page.items, "hasMore": page.next_page_token.is_some() }));
    }
    let now = Timestamp::now();
    let row = |one: &Notification| {
        vec![
            one.kind.clone(),
            one.channel.clone(),
            one.to.clone().unwrap_or_default(),
            one.status.clone(),
            one.attempts.to_string(),
            age(one.created_at, now),
            one.tenant.clone().or_else(|| one.incident.clone()).unwrap_or_default(),
            one.cause.clone().unwrap_or_default().chars().take(60).collect(),
        ]
    };
    let headings = ["KIND", "BY", "TO", "STATUS", "TRIES", "AGE", "ABOUT", "CAUSE"];
    output.table(&headings, page.items.iter().map(row).collect())?;
    if page.next_page_token.is_some() {
        output.note("there are more; narrow it by --tenant, --incident, --kind or --status, or raise --limit");
    }
    Ok(())
}
