//! `tenantry events`: what happened, read in order, followed, and kept in files.

mod export;
mod streams;

use std::time::Duration;

use tenantry_api::client::EventQuery;
use tenantry_api::v1::event::Event;
use tenantry_domain::code::{Code, FieldError};
use tenantry_domain::event::Type;
use tenantry_domain::webhook::Pattern;

use super::times::moment;
use super::webhooks::{DeadLetters, Redrive, Replay};
use crate::exit::{Failure, Result};
use crate::globals::Session;
use crate::output::{Format, clean};

/// Read events in their order, and send them to webhooks again
#[derive(Debug, clap::Args)]
#[command(after_help = "Endpoints of webhooks are made by `tenantry webhooks create`.

Examples:
  tenantry events tail acme --after 1200
  tenantry events tail acme --follow --type 'tenant.*' -o json
  tenantry events export acme --from 1 --out acme.jsonl.gz
  tenantry events streams
  tenantry events streams forget TENANTRY
  tenantry events replay whe_01jd8x3v9mfk2t5h7q0w4z6y8c --after 1200")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show events of a tenant, or of the environment itself, behind a number
    Tail(Tail),
    /// Write events to a file, one a line
    Export(export::Export),
    /// Send events of the past to a webhook endpoint again
    Replay(Replay),
    /// List deliveries to a webhook endpoint that were given up
    Deadletters(DeadLetters),
    /// Send what was given up to a webhook endpoint again
    Redrive(Redrive),
    /// Show how publishing to streams stands, and forget those that are not published to any more
    Streams(streams::Streams),
}

/// Events, and which of them.
#[derive(Debug, clap::Args)]
struct Tail {
    /// The tenant, by name or id; the environment's own events if absent
    #[arg(value_name = "TENANT")]
    tenant: Option<String>,
    /// Only events behind this number
    #[arg(long, default_value_t = 0, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(0..))]
    after: i64,
    /// Only these types, such as tenant.created, or 'tenant.*' for all of a noun; may be repeated
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    types: Vec<String>,
    /// Go on with those that come, until interrupted or the tenant is deleted
    #[arg(long, short)]
    follow: bool,
    /// With --follow: how long the server may be away before the command gives up
    #[arg(long, value_name = "SPAN", default_value = "10m", value_parser = humantime::parse_duration)]
    patience: Duration,
}

/// `tenantry events`.
///
/// # Errors
/// The API refuses.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    match &args.verb {
        Verb::Tail(wanted) => wanted.run(session).await,
        Verb::Export(wanted) => wanted.run(session).await,
        Verb::Replay(wanted) => wanted.run(session).await,
        Verb::Deadletters(wanted) => wanted.run(session).await,
        Verb::Redrive(wanted) => wanted.run(session).await,
        Verb::Streams(wanted) => wanted.run(session).await,
    }
}

impl Tail {
    async fn run(&self, session: &Session) -> Result<()> {
        let patterns = self.patterns()?;
        if self.follow {
            let feed = session.client.follow_events(self.tenant.as_deref(), self.after, &self.types)?;
            let mut feed = feed.with_patience(self.patience);
            while let Some(event) = feed.next().await? {
                tell(session, &event)?;
            }
            session.output.note("The tenant is deleted; no more events will come.");
            return Ok(());
        }
        let mut query = EventQuery { after: self.after, page_size: Some(200) };
        loop {
            let page = match &self.tenant {
                Some(tenant) => session.client.tenant_events(tenant, &query).await?,
                None => session.client.events(&query).await?,
            };
            for event in &page.items {
                query.after = event.sequence;
                let kind = Type::ALL.iter().find(|kind| kind.as_str() == event.kind);
                // A type that this release does not know is met by no pattern of it.
                if patterns.is_empty() || kind.is_some_and(|kind| patterns.iter().any(|wanted| wanted.meets(*kind))) {
                    tell(session, event)?;
                }
            }
            if page.next_page_token.is_none() {
                return Ok(());
            }
        }
    }

    fn patterns(&self) -> Result<Vec<Pattern>> {
        let wrong = |error: tenantry_domain::webhook::PatternError| {
            Failure::new(Code::InvalidParameter, "the types cannot be used")
                .fields(vec![FieldError::new("--type", error)])
        };
        self.types.iter().map(|text| Pattern::parse(text.trim()).map_err(wrong)).collect()
    }
}

fn tell(session: &Session, event: &Event) -> Result<()> {
    match session.output.format() {
        // A line each: what comes without end has no closing bracket.
        Format::Json => session.output.line(&export::line(event)?),
        format if format.is_document() => session.output.document(event),
        _ => {
            let (at, data) = (moment(event.time), &event.data);
            session.output.line(&clean(&format!("{:>8}  {at}  {:<28} {data}", event.sequence, event.kind)))
        }
    }
}
