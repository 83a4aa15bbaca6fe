//! `tenantry usage`: what tenants used, sending events from a file, meters.

use std::io::BufRead as _;
use std::path::PathBuf;

use tenantry_api::client::{Kind, PageQuery, UsageParams};
use tenantry_api::v1::usage::{UsageAnswer, UsageEvent, UsageRanking, UsageReport};

use super::times::moment;
use crate::exit::{Failure, Result};
use crate::globals::Session;
use crate::output::clean;

/// Show what tenants used, and send usage events
#[derive(Debug, clap::Args)]
#[command(after_help = "Meters are declared by manifests of kind Meter; `tenantry apply` writes them.

Examples:
  tenantry usage meters
  tenantry usage report acme --meter egress
  tenantry usage report acme --meter egress --from 2027-03-01 --to 2027-04-01 --window month --group-by region
  tenantry usage report --meter egress --limit 20
  tenantry usage ingest -f events.jsonl")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Say what a tenant used, or which tenants used most
    Report {
        /// Name or id of the tenant; all of them without
        tenant: Option<String>,
        /// Name of the meter
        #[arg(long)]
        meter: String,
        /// From when on, a time or a day; its window is whole
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Until when, a time or a day [default: now]
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
        /// What the span is cut into, in UTC
        #[arg(long, value_parser = ["hour", "day", "month"])]
        window: Option<String>,
        /// Dimensions that figures are kept apart by, separated by commas
        #[arg(long, value_name = "DIMENSIONS", requires = "tenant")]
        group_by: Option<String>,
        /// Most tenants, without one [default: 10]
        #[arg(long, conflicts_with = "tenant", value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: Option<u32>,
    },
    /// Send CloudEvents from a file, one JSON event a line; what was sent before counts once
    Ingest {
        /// The file; `-` for standard input
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
    },
    /// List the meters
    Meters,
}

/// Most events of one call.
const BATCH: usize = 1_000;

/// Most bytes of the lines of one call, below what the server takes.
const BYTES: usize = 900_000;

/// `tenantry usage`.
///
/// # Errors
/// The API refuses, or the file cannot be read.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    match &args.verb {
        Verb::Report { tenant, meter, from, to, window, group_by, limit } => {
            let params = UsageParams {
                meter: meter.clone(),
                from: from.clone(),
                to: to.clone(),
                window: window.clone(),
                group_by: group_by.clone(),
                limit: *limit,
            };
            match tenant {
                Some(tenant) => report(session, &session.client.usage(tenant, &params).await?),
                None => ranking(session, &session.client.usage_ranking(&params).await?),
            }
        }
        Verb::Ingest { file } => ingest(session, file).await,
        Verb::Meters => meters(session).await,
    }
}

fn report(session: &Session, report: &UsageReport) -> Result<()> {
    if session.output.format().is_document() {
        return session.output.document(report);
    }
    let row = |item: &tenantry_api::v1::usage::UsageWindow| {
        let dimensions: Vec<String> = item.dimensions.iter().map(|(name, value)| format!("{name}={value}")).collect();
        vec![moment(item.from), item.value.clone(), report.unit.clone(), item.events.to_string(), dimensions.join(" ")]
    };
    if report.is_cut {
        session.output.note("there is more than fits one answer; ask for a shorter span");
    }
    session.output.table(&["FROM", "VALUE", "UNIT", "EVENTS", "DIMENSIONS"], report.items.iter().map(row).collect())
}

fn ranking(session: &Session, ranking: &UsageRanking) -> Result<()> {
    if session.output.format().is_document() {
        return session.output.document(ranking);
    }
    let row = |item: &tenantry_api::v1::usage::UsageShare| {
        vec![item.tenant.clone(), item.value.clone(), ranking.unit.clone(), item.events.to_string()]
    };
    session.output.table(&["TENANT", "VALUE", "UNIT", "EVENTS"], ranking.items.iter().map(row).collect())
}

async fn meters(session: &Session) -> Result<()> {
    let page = session.client.objects(Kind::Meter, &PageQuery::default()).await?;
    if session.output.format().is_document() {
        return session.output.document(&page);
    }
    let text = |spec: &serde_json::Value, name: &str| match spec.get(name) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Array(items)) => {
            items.iter().filter_map(|item| item.as_str()).collect::<Vec<_>>().join(",")
        }
        _ => "-".to_owned(),
    };
    let rows = page.items.iter().map(|object| {
        let field = |name| text(&object.spec, name);
        let name = object.metadata.name.clone();
        vec![name, field("unit"), field("aggregation"), field("value"), field("dimensions"), field("quota")]
    });
    let headings = ["METER", "UNIT", "AGGREGATION", "VALUE", "DIMENSIONS", "QUOTA"];
    session.output.table(&headings, rows.collect())
}

/// Sends a file in batches, each as often as the client repeats a call: nothing is counted twice by that.
async fn ingest(session: &Session, file: &std::path::Path) -> Result<()> {
    let shown = file.display();
    let broken = |error: std::io::Error| Failure::broken(format!("`{shown}` cannot be read"), error);
    let reader: Box<dyn std::io::BufRead> = if file.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::io::BufReader::new(std::fs::File::open(file).map_err(broken)?))
    };
    let mut total = UsageAnswer::default();
    let (mut batch, mut bytes, mut first) = (Vec::<UsageEvent>::new(), 0, 0_u32);
    for (number, line) in reader.lines().enumerate() {
        let line = line.map_err(broken)?;
        if line.trim().is_empty() {
            continue;
        }
        let event = serde_json::from_str(&line)
            .map_err(|error| Failure::broken(format!("line {} of `{shown}` is not a CloudEvent", number + 1), error))?;
        if batch.len() == BATCH || bytes + line.len() > BYTES {
            send(session, &mut batch, &mut first, &mut total).await?;
            bytes = 0;
        }
        bytes += line.len() + 1;
        batch.push(event);
    }
    send(session, &mut batch, &mut first, &mut total).await?;
    if session.output.format().is_document() {
        return session.output.document(&total);
    }
    for error in &total.errors {
        let id = error.id.as_deref().unwrap_or("-");
        session.output.note(&clean(&format!(
            "event {} ({id}): {}: {} ({})",
            error.index, error.field, error.message, error.code
        )));
    }
    let text = format!("{} counted, {} counted before, {} refused", total.accepted, total.duplicates, total.refused);
    session.output.line(&text)
}

async fn send(session: &Session, batch: &mut Vec<UsageEvent>, first: &mut u32, total: &mut UsageAnswer) -> Result<()> {
    if batch.is_empty() {
        return Ok(());
    }
    let answer = session.client.ingest_usage(batch).await?;
    total.accepted += answer.accepted;
    total.duplicates += answer.duplicates;
    total.refused += answer.refused;
    // Places are told as those of the file.
    total.errors.extend(answer.errors.into_iter().map(|mut error| {
        error.index += *first;
        error
    }));
    *first += u32::try_from(batch.len()).unwrap_or(u32::MAX);
    batch.clear();
    Ok(())
}
