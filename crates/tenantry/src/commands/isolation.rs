//! `tenantry isolation`: what the guard and the leak probe of the control plane found at cells and tenants, looks on
//! request, signed reports.

mod probe;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tenantry_api::client::Kind;
use tenantry_api::v1::guard::{CellIsolation, FindingCounts, PlaceIsolation, PlaceSummary};
use tenantry_api::{Client, ClientError};
use tenantry_domain::code::Code;
use tenantry_guard::{PublicKey, Report, Severity, SignedReport, render};

use super::times::age;
use crate::exit::{FAILED, Failure, Result};
use crate::globals::Session;
use crate::output::{Paint, clean};

/// See whether tenants are isolated, look again, fetch signed reports
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The control plane looks at every cell on a schedule; `tenantry guard` looks at any database by itself.
With `serve --probe-every` it also lets canary tenants try to reach each other: a leak counts as critical.
Exit code 0: nothing of this severity; 1: findings or leaks; 3: nobody has looked yet.

Examples:
  tenantry isolation status
  tenantry isolation show eu-west-1
  tenantry isolation run eu-west-1 --fail-on medium
  tenantry isolation run --tenant acme
  tenantry isolation report eu-west-1 --place home/chat --output-file report.json
  tenantry guard --verify report.json --public-key 3b6a…"
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List all cells with what was found there
    Status {
        #[command(flatten)]
        bar: Bar,
    },
    /// Show what was found last
    Show {
        #[command(flatten)]
        subject: Subject,
        #[command(flatten)]
        bar: Bar,
    },
    /// Look now, and show what was found
    Run {
        #[command(flatten)]
        subject: Subject,
        #[command(flatten)]
        bar: Bar,
    },
    /// Fetch a signed report
    Report {
        #[command(flatten)]
        subject: Subject,
        /// Place of the cell, as `show` lists them: server, home/&lt;app&gt;, tenant/&lt;id&gt;
        #[arg(long, value_name = "PLACE", required_unless_present = "tenant", conflicts_with = "tenant")]
        place: Option<String>,
        /// Where to; standard output if absent
        #[arg(long, value_name = "FILE")]
        output_file: Option<PathBuf>,
    },
}

/// What it is about.
#[derive(Debug, Clone, clap::Args)]
struct Subject {
    /// Name of a cell
    #[arg(value_name = "CELL", required_unless_present = "tenant", conflicts_with = "tenant")]
    cell: Option<String>,
    /// Name or id of a tenant, for the database that its data is in
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
}

/// What counts.
#[derive(Debug, Clone, Copy, clap::Args)]
struct Bar {
    /// Least severity that counts as a finding for the exit code
    #[arg(long, value_name = "SEVERITY", default_value = "high", value_parser = severity)]
    fail_on: Severity,
}

fn severity(text: &str) -> std::result::Result<Severity, String> {
    let known = Severity::ALL.into_iter().find(|severity| severity.as_str() == text);
    known.ok_or_else(|| "expected critical, high, medium or low".to_owned())
}

impl Bar {
    fn judge(self, counts: FindingCounts) -> ExitCode {
        let FindingCounts { critical, high, medium, low } = counts;
        let by_severity = Severity::ALL.into_iter().zip([critical, high, medium, low]);
        // The worst severity is the least value.
        let is_over = by_severity.into_iter().any(|(severity, count)| severity <= self.fail_on && count > 0);
        if is_over { ExitCode::from(FAILED) } else { ExitCode::SUCCESS }
    }
}

/// The longest that the server keeps one request waiting.
const ONE_WAIT: Duration = Duration::from_secs(25);

/// `tenantry isolation`.
///
/// # Errors
/// There is no such cell or tenant, nobody has looked yet, or a file cannot be written.
pub async fn run(args: &Args, session: &Session) -> Result<ExitCode> {
    let client = &session.client;
    match &args.verb {
        Verb::Status { bar } => status(*bar, session).await,
        Verb::Show { subject: Subject { tenant: Some(tenant), .. }, bar } => {
            place(session, &client.tenant_isolation(tenant).await?, *bar)
        }
        Verb::Show { subject, bar } => cell(session, &client.cell_isolation(name(subject)?).await?, *bar),
        Verb::Run { subject: Subject { tenant: Some(tenant), .. }, bar } => {
            place(session, &client.run_tenant_isolation(tenant).await?, *bar)
        }
        Verb::Run { subject, bar } => look(name(subject)?, session, *bar).await,
        Verb::Report { subject, place, output_file } => {
            report(subject, place.as_deref(), output_file.as_deref(), session).await
        }
    }
}

fn name(subject: &Subject) -> Result<&str> {
    subject.cell.as_deref().ok_or_else(|| Failure::usage("Neither a cell nor a tenant is named"))
}

/// Asks for a look and waits for its end, unless that is not wanted.
async fn look(cell_name: &str, session: &Session, bar: Bar) -> Result<ExitCode> {
    let until = Instant::now() + session.timeout;
    let wait = session.wait.then(|| session.timeout.min(ONE_WAIT));
    let mut view = session.client.run_cell_isolation(cell_name, wait).await?;
    if !session.wait {
        session.output.note(&format!("asked for; see `tenantry isolation show {cell_name}`"));
        return Ok(ExitCode::SUCCESS);
    }
    while view.is_requested {
        if Instant::now() > until {
            let detail = "the look has not ended; it goes on by itself";
            return Err(Failure::new(Code::Timeout, detail)
                .hint(format!("See `tenantry isolation show {cell_name}` later, or wait longer with --timeout.")));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        view = match session.client.cell_isolation(cell_name).await {
            Ok(view) => view,
            // The very first look has not come to its first place yet.
            Err(ClientError::Problem(problem)) if problem.code() == Some(Code::ObjectNotFound) => continue,
            Err(error) => return Err(error.into()),
        };
    }
    cell(session, &view, bar)
}

async fn status(bar: Bar, session: &Session) -> Result<ExitCode> {
    let mut views = Vec::new();
    for name in cells(&session.client).await? {
        let view = match session.client.cell_isolation(&name).await {
            Ok(view) => Some(view),
            Err(ClientError::Problem(problem)) if problem.code() == Some(Code::ObjectNotFound) => None,
            Err(error) => return Err(error.into()),
        };
        views.push((name, view));
    }
    let mut total = FindingCounts::default();
    for counts in views.iter().filter_map(|(_, view)| view.as_ref()).map(probe::with_leaks) {
        total.critical += counts.critical;
        total.high += counts.high;
        total.medium += counts.medium;
        total.low += counts.low;
    }
    if session.output.format().is_document() {
        session.output.document(&views.iter().filter_map(|(_, view)| view.as_ref()).collect::<Vec<_>>())?;
        return Ok(bar.judge(total));
    }
    let now = Timestamp::now();
    let row = |(name, view): &(String, Option<CellIsolation>)| {
        let ended_at = view.as_ref().and_then(|view| view.ended_at);
        let mut row = vec![name.clone(), ended_at.map_or_else(|| "never".to_owned(), |at| age(at, now))];
        match view {
            None => row.extend(["-"; 4].map(ToOwned::to_owned)),
            Some(view) => row.extend(numbers(view.counts)),
        }
        row.extend(probe::columns(view.as_ref(), now));
        row.push(view.as_ref().and_then(trouble).unwrap_or_else(|| "-".to_owned()));
        row
    };
    let headings = ["CELL", "LAST LOOK", "CRITICAL", "HIGH", "MEDIUM", "LOW", "LAST PROBE", "LEAKS", "TROUBLE"];
    session.output.table(&headings, views.iter().map(row).collect())?;
    Ok(bar.judge(total))
}

/// What kept the guard or the probe from a place.
fn trouble(view: &CellIsolation) -> Option<String> {
    let of_probe = view.probe.as_ref().and_then(|probe| probe.failure.as_ref());
    let both = [view.failure.clone(), of_probe.map(|failure| format!("probe: {failure}"))];
    let told: Vec<String> = both.into_iter().flatten().collect();
    (!told.is_empty()).then(|| told.join("; "))
}

async fn cells(client: &Client) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut page = tenantry_api::client::PageQuery { page_size: Some(200), page_token: None };
    loop {
        let found = client.objects(Kind::Cell, &page).await?;
        names.extend(found.items.into_iter().map(|object| object.metadata.name));
        match found.next_page_token {
            Some(token) => page.page_token = Some(token),
            None => return Ok(names),
        }
    }
}

fn numbers(counts: FindingCounts) -> [String; 4] {
    let FindingCounts { critical, high, medium, low } = counts;
    [critical, high, medium, low].map(|count| count.to_string())
}

fn cell(session: &Session, view: &CellIsolation, bar: Bar) -> Result<ExitCode> {
    let output = session.output;
    let counts = probe::with_leaks(view);
    if output.format().is_document() {
        output.document(view)?;
        return Ok(bar.judge(counts));
    }
    let now = Timestamp::now();
    let row = |place: &PlaceSummary| {
        let mut row = vec![place.place.clone(), age(place.taken_at, now)];
        row.extend(numbers(place.counts));
        row
    };
    output
        .table(&["PLACE", "LOOKED AT", "CRITICAL", "HIGH", "MEDIUM", "LOW"], view.places.iter().map(row).collect())?;
    for place in &view.places {
        for finding in &place.open {
            let text = format!(
                "{} {} at {}, {}: {} (for {})",
                finding.severity,
                finding.check,
                place.place,
                finding.object,
                finding.title,
                age(finding.since, now)
            );
            output.line(&output.paint(Paint::Bad, &clean(&text)))?;
        }
    }
    if let Some(failure) = &view.failure {
        output.line(&output.paint(Paint::Warn, &clean(&format!("the last look was not complete: {failure}"))))?;
    }
    let shown = u64::try_from(view.places.len()).unwrap_or(u64::MAX);
    if shown < view.places_count {
        output.note(&format!("there are {} more places without worse findings", view.places_count - shown));
    }
    if view.places.is_empty() {
        output.note("the guard has not looked yet");
    }
    if let Some(found) = &view.probe {
        probe::show(&output, found, now)?;
    }
    Ok(bar.judge(counts))
}

fn place(session: &Session, view: &PlaceIsolation, bar: Bar) -> Result<ExitCode> {
    let output = session.output;
    let report: Report = serde_json::from_value(view.report.clone()).map_err(|error| {
        Failure::broken("The report cannot be read", error).hint("A newer control plane needs a newer client.")
    })?;
    if output.format().is_document() {
        output.document(view)?;
    } else {
        output.line(&format!("{} of cell {}", clean(&view.place), clean(&view.cell)))?;
        output.line(render(&report).trim_end())?;
    }
    let of =
        |severity: Severity| report.counts.get(&severity).map_or(0, |count| u64::try_from(*count).unwrap_or(u64::MAX));
    let [critical, high, medium, low] = Severity::ALL.map(of);
    Ok(bar.judge(FindingCounts { critical, high, medium, low }))
}

/// Fetches a report and checks it before it is handed on.
async fn report(subject: &Subject, place: Option<&str>, to: Option<&Path>, session: &Session) -> Result<ExitCode> {
    let client = &session.client;
    let (text, public) = match (&subject.tenant, place) {
        (Some(tenant), _) => {
            (client.tenant_isolation_report(tenant).await?, client.tenant_isolation(tenant).await?.public_key)
        }
        (None, place) => {
            let cell = name(subject)?;
            let text = client.cell_isolation_report(cell, place.unwrap_or("server")).await?;
            (text, client.cell_isolation(cell).await?.public_key)
        }
    };
    let wrong = |error: tenantry_guard::SignError| Failure::ended("The report does not verify", error);
    let key = PublicKey::parse(&public).map_err(wrong)?;
    SignedReport::parse(&text).and_then(|signed| signed.verify(&key)).map_err(wrong)?;
    match to {
        Some(path) => std::fs::write(path, format!("{text}\n"))
            .map_err(|error| Failure::usage(format!("`{}` cannot be written: {error}", path.display())))?,
        None => session.output.line(&text)?,
    }
    session.output.note(&format!("signed; the public key is {}", key.to_hex()));
    Ok(ExitCode::SUCCESS)
}
