//! `tenantry incidents`: tell people what is wrong with the service.

use std::io::Read as _;

use jiff::Timestamp;
use serde_json::json;
use tenantry_api::client::{IncidentQuery, PageQuery};
use tenantry_api::v1::incident::{Incident, IncidentDetail, IncidentPreview, IncidentRequest, IncidentUpdateRequest};

use super::times::{age, moment};
use crate::exit::{Failure, Result};
use crate::globals::Session;
use crate::output::{Paint, clean};

/// Tell people what is wrong with the service, and that it is over
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What was sent cannot be taken back: look first by --dry-run, which shows the mail and how many get it.

Examples:
  tenantry incidents open --cell eu-west-1 --severity major --title \"Logins fail\" --message \"Since 09:20 UTC ...\" --dry-run
  tenantry incidents open --all --severity critical --title \"No service\" --message - --yes < text.txt
  tenantry incidents update inc_01jd8x3v9mfk2t5h7q0w4z6y8c --phase identified --message \"A certificate has expired.\"
  tenantry incidents resolve inc_01jd8x3v9mfk2t5h7q0w4z6y8c --message \"All logins work again since 09:50 UTC.\""
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Open an incident and tell whom it concerns
    Open(Open),
    /// Show what opening an incident would tell, and how many; the same as open --dry-run
    Preview(Open),
    /// Say what is new
    Update {
        /// The incident, inc_…
        id: String,
        /// How far it is: investigating, identified, monitoring or resolved
        #[arg(long, value_name = "PHASE")]
        phase: String,
        #[command(flatten)]
        said: Said,
    },
    /// Say that it is over
    Resolve {
        /// The incident, inc_…
        id: String,
        #[command(flatten)]
        said: Said,
    },
    /// List incidents, the newest first
    List {
        /// Only those that concern this tenant
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// Only those that are not over
        #[arg(long)]
        open: bool,
        /// Most items to show
        #[arg(long, default_value_t = 50, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=200))]
        limit: u16,
    },
    /// Show an incident, what was said of it, and how far telling is
    Show {
        /// The incident, inc_…
        id: String,
    },
}

/// An incident that is to be opened.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("whom").required(true).args(["tenant", "cell", "all"]))]
struct Open {
    /// The tenant that it concerns, by name or id
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// The cell whose tenants it concerns
    #[arg(long, value_name = "CELL")]
    cell: Option<String>,
    /// It concerns all tenants; asks before it tells them, unless --yes
    #[arg(long)]
    all: bool,
    /// How bad it is: minor, major or critical
    #[arg(long, value_name = "SEVERITY")]
    severity: String,
    /// In a line
    #[arg(long, value_name = "TEXT")]
    title: String,
    /// How far it is [default: investigating]
    #[arg(long, value_name = "PHASE")]
    phase: Option<String>,
    #[command(flatten)]
    said: Said,
}

#[derive(Debug, clap::Args)]
struct Said {
    /// What is known; `-` reads it from standard input
    #[arg(long, value_name = "TEXT")]
    message: String,
    /// Only show what would be told, and how many
    #[arg(long)]
    dry_run: bool,
}

/// Longest text that is read from standard input, in bytes; a message has fewer characters.
const LONGEST: u64 = 64 * 1024;

impl Said {
    fn text(&self) -> Result<String> {
        if self.message != "-" {
            return Ok(self.message.clone());
        }
        let mut text = String::new();
        let read = std::io::stdin().lock().take(LONGEST).read_to_string(&mut text);
        read.map_err(|error| Failure::usage(format!("The message cannot be read: {error}")))?;
        Ok(text.replace("\r\n", "\n").trim_end().to_owned())
    }
}

impl Open {
    fn request(&self) -> Result<IncidentRequest> {
        Ok(IncidentRequest {
            tenant: self.tenant.clone(),
            cell: self.cell.clone(),
            all: self.all.then_some(true),
            severity: self.severity.clone(),
            title: self.title.clone(),
            phase: self.phase.clone(),
            message: self.said.text()?,
        })
    }
}

/// `tenantry incidents`.
///
/// # Errors
/// Nobody agreed to tell everybody, or the API refuses.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let client = &session.client;
    match &args.verb {
        Verb::Open(wanted) => open(wanted, session).await,
        Verb::Preview(wanted) => previewed(session, &client.preview_incident(&wanted.request()?).await?),
        Verb::Update { id, phase, said } => update(session, id, phase, said).await,
        Verb::Resolve { id, said } => update(session, id, "resolved", said).await,
        Verb::List { tenant, open, limit } => list(session, tenant.as_deref(), *open, *limit).await,
        Verb::Show { id } => show(session, &client.incident(id).await?),
    }
}

async fn open(wanted: &Open, session: &Session) -> Result<()> {
    let request = wanted.request()?;
    if wanted.said.dry_run {
        return previewed(session, &session.client.preview_incident(&request).await?);
    }
    if wanted.all && !session.yes {
        let preview = session.client.preview_incident(&request).await?;
        let question = format!("Tell {} people of {} tenants? [y/N] ", preview.people, preview.tenants);
        if !super::delete::agrees(&question)? {
            return Err(Failure::usage("Nobody was told").hint("Look by --dry-run, then answer with y, or give --yes."));
        }
    }
    told(session, &session.client.open_incident(&request).await?.value)
}

async fn update(session: &Session, id: &str, phase: &str, said: &Said) -> Result<()> {
    let request = IncidentUpdateRequest { phase: phase.to_owned(), message: said.text()? };
    if said.dry_run {
        return previewed(session, &session.client.preview_incident_update(id, &request).await?);
    }
    told(session, &session.client.update_incident(id, &request).await?.value)
}

fn previewed(session: &Session, preview: &IncidentPreview) -> Result<()> {
    let output = session.output;
    if output.format().is_document() {
        return output.document(preview);
    }
    output.line(&format!("Subject: {}\n", clean(&preview.subject)))?;
    for line in preview.body.lines() {
        output.line(&clean(line))?;
    }
    let way = if preview.mail { "by mail" } else { "by mail, if it were configured (TENANTRY_SMTP_URL)" };
    output.note(&format!("{} people of {} tenants would get it {way}", preview.people, preview.tenants));
    if preview.chat {
        output.note("your chat is told as well");
    }
    Ok(())
}

fn told(session: &Session, incident: &Incident) -> Result<()> {
    let output = session.output;
    if output.format().is_document() {
        return output.document(incident);
    }
    output.line(&clean(&format!("incident {} is {}", incident.id, incident.phase)))?;
    output.note(&format!("people are being told; `tenantry incidents show {}` says how far that is", incident.id));
    Ok(())
}

fn whom(incident: &Incident) -> String {
    match (&incident.tenant, &incident.cell) {
        (Some(tenant), _) => tenant.clone(),
        (None, Some(cell)) => format!("cell {cell}"),
        (None, None) => incident.scope.clone(),
    }
}

async fn list(session: &Session, tenant: Option<&str>, is_open: bool, limit: u16) -> Result<()> {
    let query = IncidentQuery {
        tenant: tenant.map(ToOwned::to_owned),
        open: is_open.then_some(true),
        page: PageQuery { page_size: Some(limit), page_token: None },
    };
    let page = session.client.incidents(&query).await?;
    let output = session.output;
    if output.format().is_document() {
        return output.document(&json!({ "items": page.items, "hasMore": page.next_page_token.is_some() }));
    }
    let now = Timestamp::now();
    let row = |one: &Incident| {
        vec![
            one.id.clone(),
            whom(one),
            one.severity.clone(),
            one.phase.clone(),
            age(one.created_at, now),
            age(one.updated_at, now),
            one.title.chars().take(60).collect(),
        ]
    };
    let headings = ["INCIDENT", "CONCERNS", "SEVERITY", "PHASE", "AGE", "NEWS", "TITLE"];
    output.table(&headings, page.items.iter().map(row).collect())?;
    if page.next_page_token.is_some() {
        output.note("there are more; ask for those that are not over by --open, or raise --limit");
    }
    Ok(())
}

fn show(session: &Session, detail: &IncidentDetail) -> Result<()> {
    let output = session.output;
    if output.format().is_document() {
        return output.document(detail);
    }
    let incident = &detail.incident;
    let rows = [
        ("incident", Some(incident.id.clone())),
        ("title", Some(incident.title.clone())),
        ("concerns", Some(whom(incident))),
        ("severity", Some(incident.severity.clone())),
        ("phase", Some(incident.phase.clone())),
        ("opened", Some(moment(incident.created_at))),
        ("by", incident.created_by.clone()),
        ("resolved", incident.resolved_at.map(moment)),
        (
            "told",
            detail
                .progress
                .as_ref()
                .map(|told| format!("{} sent, {} on their way, {} given up", told.sent, told.waiting, told.dropped)),
        ),
    ];
    for (what, text) in rows {
        if let Some(text) = text {
            output.line(&format!("{what:<12}{}", clean(&text)))?;
        }
    }
    for update in &detail.updates {
        let head = format!("\n{}. {} ({})", update.number, update.phase, moment(update.at));
        output.line(&output.paint(Paint::Strong, &head))?;
        for line in update.message.lines() {
            output.line(&clean(line))?;
        }
    }
    Ok(())
}
