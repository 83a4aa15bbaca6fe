//! `tenantry plans`: versions of a plan, who has which, and moving tenants from one to another.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde::Serialize;
use tenantry_api::client::PageQuery;
use tenantry_api::v1::plan::{MovedTenant, PlanBinding, PlanUpgradeRequest, RefusedTenant};

use super::times::age;
use crate::exit::{FAILED, Result};
use crate::globals::Session;
use crate::output::clean;

/// The most tenants that one request names.
const NAMED: usize = 50;

/// The most differences that a table tells of one version; `-o json` has them all.
const TOLD: usize = 4;

/// Show versions of plans, and move tenants from one to another
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A version of a plan that says `tenants: keep` leaves the tenants that have an older one as they are, until \
they are upgraded. A growing share keeps whom it has. A tenant that cannot be moved is named and has what it had; the others \
go on. Run it again after an interruption: whoever has the version is left alone.

Examples:
  tenantry plans versions standard
  tenantry plans upgrade standard --tenant acme --dry-run
  tenantry plans upgrade standard --share 10
  tenantry plans upgrade standard
  tenantry plans upgrade standard --from 4 --to 3"
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the versions of a plan with the tenants that have them, newest first
    Versions {
        /// The plan
        plan: String,
        /// Most items to show
        #[arg(long, default_value_t = 50, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1_000))]
        limit: u16,
    },
    /// Move tenants of a plan to one of its versions
    Upgrade(Upgrade),
}

/// Which tenants are to have which version.
#[derive(Debug, clap::Args)]
struct Upgrade {
    /// The plan
    plan: String,
    /// The version that they are to have; an older one takes an upgrade back [default: the newest]
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(i64).range(1..))]
    to: Option<i64>,
    /// Only tenants that have this version
    #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(i64).range(1..))]
    from: Option<i64>,
    /// A share of the plan's tenants, 0 to 100 [default: 100]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    share: Option<u8>,
    /// These tenants instead of a share, by name or id; repeat it for several
    #[arg(long = "tenant", value_name = "TENANT", conflicts_with = "share")]
    tenants: Vec<String>,
    /// Show what would happen, and move nobody
    #[arg(long)]
    dry_run: bool,
}

/// `tenantry plans`.
///
/// # Errors
/// The API refuses.
pub async fn run(args: &Args, session: &Session) -> Result<ExitCode> {
    match &args.verb {
        Verb::Versions { plan, limit } => versions(session, plan, *limit).await.map(|()| ExitCode::SUCCESS),
        Verb::Upgrade(wanted) => upgrade(session, wanted).await,
    }
}

async fn versions(session: &Session, plan: &str, limit: u16) -> Result<()> {
    let mut items: Vec<PlanBinding> = Vec::new();
    let mut query = PageQuery { page_size: Some(limit.min(200)), page_token: None };
    loop {
        let page = session.client.plan_bindings(plan, &query).await?;
        items.extend(page.items);
        query.page_token = page.next_page_token;
        if query.page_token.is_none() || items.len() >= usize::from(limit) {
            break;
        }
    }
    items.truncate(usize::from(limit));
    if session.output.format().is_document() {
        return session.output.document(&BTreeMap::from([("items", &items)]));
    }
    let now = jiff::Timestamp::now();
    let row = |item: &PlanBinding| {
        vec![
            item.version.to_string(),
            item.tenants.to_string(),
            item.policy.clone().unwrap_or_else(|| "removed".to_owned()),
            age(item.at, now),
            differences(item),
        ]
    };
    let headings = ["VERSION", "TENANTS", "TENANTS BEFORE IT", "MADE", "SAYS DIFFERENTLY"];
    session.output.table(&headings, items.iter().map(row).collect())?;
    if query.page_token.is_some() {
        session.output.note("there are more; raise --limit");
    }
    Ok(())
}

fn differences(item: &PlanBinding) -> String {
    let paths: Vec<&str> = item.changes.iter().map(|change| change.path.trim_start_matches("spec.")).collect();
    match paths.len() {
        0 => "-".to_owned(),
        count if count > TOLD => format!("{} and {} more", paths[..TOLD].join(", "), count - TOLD),
        _ => paths.join(", "),
    }
}

/// Everything that was done, for documents.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    plan: String,
    version: i64,
    dry_run: bool,
    moved: Vec<MovedTenant>,
    refused: Vec<RefusedTenant>,
    untouched: u64,
}

async fn upgrade(session: &Session, wanted: &Upgrade) -> Result<ExitCode> {
    let mut done = Done { plan: wanted.plan.clone(), dry_run: wanted.dry_run, ..Done::default() };
    let mut asked = PlanUpgradeRequest {
        to: wanted.to,
        from: wanted.from,
        share: wanted.share,
        dry_run: wanted.dry_run.then_some(true),
        ..PlanUpgradeRequest::default()
    };
    if wanted.tenants.is_empty() {
        while batch(session, &mut asked, &mut done).await? {}
    } else {
        for named in wanted.tenants.chunks(NAMED) {
            asked.tenants = Some(named.to_vec());
            batch(session, &mut asked, &mut done).await?;
        }
    }
    let code = if done.refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) };
    if session.output.format().is_document() {
        session.output.document(&done)?;
        return Ok(code);
    }
    let verb = if done.dry_run { "would be moved" } else { "moved" };
    let (moved, version, untouched) = (done.moved.len(), done.version, done.untouched);
    session.output.line(&clean(&format!("{moved} tenant(s) {verb} to version {version} of plan {}", done.plan)))?;
    if untouched > 0 {
        session.output.note(&format!("{untouched} other(s) are not in the share, or had it already"));
    }
    if !done.refused.is_empty() {
        let row = |one: &RefusedTenant| vec![one.slug.clone(), one.code.clone(), why(one)];
        session.output.table(&["REFUSED", "CODE", "WHY"], done.refused.iter().map(row).collect())?;
    }
    Ok(code)
}

/// What is wrong, with the fields that the detail does not tell of.
fn why(one: &RefusedTenant) -> String {
    let more = one.errors.iter().filter(|error| !one.detail.contains(&error.message));
    let more: Vec<String> = more.map(|error| format!("{} {}", error.field, error.message)).collect();
    if more.is_empty() { one.detail.clone() } else { format!("{}: {}", one.detail, more.join("; ")) }
}

/// Asks for one batch and says whether there is another one. The first answer says which version is meant, so that one that
/// appears meanwhile does not divide the tenants.
async fn batch(session: &Session, asked: &mut PlanUpgradeRequest, done: &mut Done) -> Result<bool> {
    let answer = session.client.upgrade_plan(&done.plan, asked).await?;
    done.version = answer.version;
    done.moved.extend(answer.moved);
    done.refused.extend(answer.refused);
    done.untouched += answer.untouched;
    asked.to = Some(answer.version);
    asked.after = answer.next;
    if asked.after.is_some() {
        let (moved, refused) = (done.moved.len(), done.refused.len());
        session.output.note(&format!("{moved} moved, {refused} refused, going on"));
    }
    Ok(asked.after.is_some())
}
