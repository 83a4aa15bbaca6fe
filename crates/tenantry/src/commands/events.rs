//! `tenantry events`: what happened, read in order and followed.

use std::time::Duration;

use tenantry_api::client::EventQuery;
use tenantry_api::v1::event::Event;

use super::times::moment;
use super::webhooks::{DeadLetters, Redrive, Replay};
use crate::exit::Result;
use crate::globals::Session;
use crate::output::clean;

/// Read events in their order, and send them to webhooks again
#[derive(Debug, clap::Args)]
#[command(after_help = "Endpoints of webhooks are made by `tenantry webhooks create`.

Examples:
  tenantry events tail --tenant acme --after 1200
  tenantry events tail --tenant acme --follow -o json
  tenantry events replay whe_01jd8x3v9mfk2t5h7q0w4z6y8c --after 1200")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show events of a tenant, or of the environment itself, behind a number
    Tail {
        /// The tenant, by name or id; the environment's own events if absent
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// Only events behind this number
        #[arg(long, default_value_t = 0, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(0..))]
        after: i64,
        /// Go on with those that come
        #[arg(long, short)]
        follow: bool,
    },
    /// Send events of the past to a webhook endpoint again
    Replay(Replay),
    /// List deliveries to a webhook endpoint that were given up
    Deadletters(DeadLetters),
    /// Send what was given up to a webhook endpoint again
    Redrive(Redrive),
}

/// Between two looks for more.
const PAUSE: Duration = Duration::from_millis(500);

/// `tenantry events`.
///
/// # Errors
/// The API refuses.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let (tenant, after, follow) = match &args.verb {
        Verb::Tail { tenant, after, follow } => (tenant, after, follow),
        Verb::Replay(wanted) => return wanted.run(session).await,
        Verb::Deadletters(wanted) => return wanted.run(session).await,
        Verb::Redrive(wanted) => return wanted.run(session).await,
    };
    let mut query = EventQuery { after: *after, page_size: Some(200) };
    loop {
        let page = match tenant {
            Some(tenant) => session.client.tenant_events(tenant, &query).await?,
            None => session.client.events(&query).await?,
        };
        for event in &page.items {
            tell(session, event)?;
            query.after = event.sequence;
        }
        if page.next_page_token.is_none() {
            if !follow {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn tell(session: &Session, event: &Event) -> Result<()> {
    if session.output.format().is_document() {
        return session.output.document(event);
    }
    let line = format!("{:>8}  {}  {:<28} {}", event.sequence, moment(event.time), event.kind, event.data);
    session.output.line(&clean(&line))
}
