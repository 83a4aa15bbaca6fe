//! `tenantry audit`: the record of who did what, shown, exported and verified.

use std::fs::File;
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::json;
use tenantry_api::client::{AuditQuery, PageQuery};
use tenantry_api::v1::Page;
use tenantry_api::v1::audit::{AuditEntry, AuditFinding, AuditReport, Receipt};
use tenantry_domain::code::Code;

use super::bundle;
use super::times::moment;
use crate::exit::{Failure, Result};
use crate::globals::{Globals, Session};
use crate::output::{Output, Paint, clean};

/// See, export and verify the audit trail
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tenantry audit list --tenant acme
  tenantry audit verify
  tenantry audit export --output-file audit.jsonl
  tenantry audit verify --bundle audit.jsonl --receipt \"seq=12;hash=9f86d0…\"")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List entries, newest first
    List {
        #[command(flatten)]
        filter: Filter,
        /// Most entries to show
        #[arg(long, default_value_t = 50, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=200))]
        limit: u16,
        /// Go on where an earlier list ended
        #[arg(long, value_name = "TOKEN")]
        page_token: Option<String>,
    },
    /// Check that no entry was changed, removed or added by hand
    Verify {
        /// Only this tenant's entries
        #[arg(long, value_name = "TENANT", conflicts_with = "bundle")]
        tenant: Option<String>,
        /// Check an exported file instead; needs no server
        #[arg(long, value_name = "FILE")]
        bundle: Option<PathBuf>,
        /// The `Audit-Receipt` of a change that the file must hold
        #[arg(long, value_name = "seq=N;hash=HEX", requires = "bundle", value_parser = receipt)]
        receipt: Option<Receipt>,
    },
    /// Write all entries as a bundle of JSON lines
    Export {
        #[command(flatten)]
        filter: Filter,
        /// Where to; standard output if absent
        #[arg(long, value_name = "FILE")]
        output_file: Option<PathBuf>,
    },
}

/// Which entries.
#[derive(Debug, Clone, clap::Args)]
struct Filter {
    /// Only this tenant's
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Only of this action, `tenant.suspend`
    #[arg(long)]
    action: Option<String>,
    /// Only by this actor
    #[arg(long)]
    actor: Option<String>,
    /// Only with this outcome: success, denied, failed
    #[arg(long)]
    outcome: Option<String>,
    /// Only of this chain of requests
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
    /// Not before this time
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
}

/// `tenantry audit`. Only what needs the API asks for a session.
///
/// # Errors
/// The API refuses, a file cannot be used, or the record does not verify.
pub async fn run(args: &Args, globals: &Globals) -> Result<()> {
    match &args.verb {
        Verb::List { filter, limit, page_token } => {
            let page = PageQuery { page_size: Some(*limit), page_token: page_token.clone() };
            list(filter, page, &globals.session()?).await
        }
        Verb::Verify { bundle: Some(path), receipt, .. } => {
            let file = File::open(path).map_err(|error| unusable(path, &error))?;
            judge(globals.output(), &bundle::verify(BufReader::new(file), receipt.as_ref())?)
        }
        Verb::Verify { tenant, .. } => {
            let session = globals.session()?;
            judge(session.output, &session.client.verify_audit(tenant.as_deref()).await?)
        }
        Verb::Export { filter, output_file } => export(filter, output_file.as_deref(), &globals.session()?).await,
    }
}

async fn page(filter: &Filter, page: PageQuery, session: &Session) -> Result<Page<AuditEntry>> {
    let Filter { tenant, action, actor, outcome, correlation_id, since, until } = filter.clone();
    let query = AuditQuery { action, actor, category: None, outcome, correlation_id, since, until, page };
    Ok(match tenant {
        Some(tenant) => session.client.tenant_audit(&tenant, &query).await?,
        None => session.client.audit(&query).await?,
    })
}

async fn list(filter: &Filter, query: PageQuery, session: &Session) -> Result<()> {
    let page = page(filter, query, session).await?;
    if session.output.format().is_document() {
        return session.output.document(&page);
    }
    let rows = page.items.iter().map(|entry| {
        let version = entry.version.map(|version| version.to_string());
        vec![
            entry.seq.to_string(),
            moment(entry.at),
            entry.target.clone(),
            entry.action.clone(),
            entry.outcome.clone(),
            entry.actor.clone(),
            version.unwrap_or_else(|| "-".to_owned()),
            entry.reason.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    });
    session.output.table(&["SEQ", "AT", "TARGET", "ACTION", "OUTCOME", "BY", "VERSION", "REASON"], rows.collect())?;
    if let Some(token) = &page.next_page_token {
        session.output.note(&format!("there are more: --page-token {token}"));
    }
    Ok(())
}

/// Pages come newest first and are written as they come: the memory needed does not grow with the record.
async fn export(filter: &Filter, to: Option<&Path>, session: &Session) -> Result<()> {
    let heading = json!({
        "bundle": bundle::FORMAT,
        "environment": session.client.environment(),
        "exportedAt": Timestamp::now(),
    });
    // The first page before the file: what cannot be exported leaves no empty one.
    let first = page(filter, PageQuery { page_size: Some(200), page_token: None }, session).await?;
    let mut file = match to {
        Some(path) => Some((File::create(path).map_err(|error| unusable(path, &error))?, path)),
        None => None,
    };
    let mut put = |text: &str| match &mut file {
        Some((file, path)) => writeln!(file, "{text}").map_err(|error| unusable(path, &error)),
        None => session.output.line(text),
    };
    put(&heading.to_string())?;
    let (mut count, mut current) = (0, first);
    loop {
        for entry in &current.items {
            put(&bundle::line(entry)?)?;
            count += 1;
        }
        let Some(token) = current.next_page_token.take() else { break };
        current = page(filter, PageQuery { page_size: Some(200), page_token: Some(token) }, session).await?;
    }
    session.output.note(&format!("{count} entries exported"));
    Ok(())
}

fn judge(output: Output, report: &AuditReport) -> Result<()> {
    if output.format().is_document() {
        output.document(report)?;
    } else {
        let count = format!("{} entries of {} chains in {} ms", report.entries, report.subjects, report.millis);
        for finding in &report.findings {
            output.line(&output.paint(Paint::Bad, &sentence(finding)))?;
        }
        let verdict = if report.findings.is_empty() { "verified" } else { "NOT verified" };
        output.line(&format!("{verdict}: {count}"))?;
    }
    match report.findings.first() {
        None => Ok(()),
        Some(finding) => Err(Failure::new(Code::AuditBroken, sentence(finding))),
    }
}

fn sentence(finding: &AuditFinding) -> String {
    let who = finding.slug.as_ref().or(finding.tenant.as_ref()).map_or("environment", String::as_str);
    clean(&format!("{who}: {}", finding.message))
}

/// `seq=7;hash=9f86…`, as the header has it.
fn receipt(text: &str) -> Result<Receipt, String> {
    let read = || {
        let (seq, hash) = text.split_once(';')?;
        let hash = hash.trim().strip_prefix("hash=")?.to_ascii_lowercase();
        let is_whole = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_whole.then_some(Receipt { seq: seq.trim().strip_prefix("seq=")?.parse().ok()?, hash })
    };
    read().ok_or_else(|| "expected seq=NUMBER;hash=HEX with 64 digits, the whole `Audit-Receipt`".to_owned())
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("`{}` cannot be used: {error}", path.display()))
}
