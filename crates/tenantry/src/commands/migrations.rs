//! `tenantry migrations`: an app's new versions on their way to all tenants, seen and steered.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::json;
use tenantry_api::ClientError;
use tenantry_api::client::{Kind as Catalog, PageQuery, RolloutQuery, TargetQuery};
use tenantry_api::v1::rollout::{Addition, Progress, Rollout, Target};
use tenantry_domain::code::Kind;

use super::times;
use crate::exit::{FAILED, Failure, Result};
use crate::globals::Session;
use crate::output::{clean, duration};

/// Bring apps' new versions to all tenants, in waves
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Applying a changed app begins a rollout by itself; how it goes is in the manifest, `spec.rollout`.

Examples:
  tenantry migrations plan chat
  tenantry migrations run chat
  tenantry migrations status chat --targets failed
  tenantry migrations continue chat
  tenantry migrations additions acme
  tenantry migrations cancel rol_01jd8x3v9mfk2t5h7q0w4z6y8c"
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

/// Which rollout.
#[derive(Debug, clap::Args)]
struct Which {
    /// An app, for its newest rollout, or a rollout's id, `rol_…`
    #[arg(value_name = "APP|ROLLOUT")]
    which: String,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Show what bringing everybody to an app's newest version would do now
    Plan {
        /// The app
        app: String,
    },
    /// Bring whoever is behind to an app's newest version, those that failed before included
    Run {
        /// The app
        app: String,
    },
    /// List rollouts, newest first
    List {
        /// Only those of this app
        #[arg(long, value_name = "APP")]
        app: Option<String>,
        /// Most items to show
        #[arg(long, default_value_t = 20, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=200))]
        limit: u16,
    },
    /// Show a rollout, its waves and what became of its targets
    Status {
        #[command(flatten)]
        which: Which,
        /// List the targets that stand like this: waiting, running, done, current, failed, skipped, or all
        #[arg(long, value_name = "STATUS", default_value = "failed")]
        targets: String,
    },
    /// Follow a rollout until it stands still or is over
    Watch(Which),
    /// Let nobody else begin; who is at work ends
    Pause(Which),
    /// Let a rollout go on: behind a pause, a wave that waits for approval, or a failure
    Continue {
        #[command(flatten)]
        which: Which,
        /// Leave failed targets as they are instead of trying them again
        #[arg(long)]
        skip_failed: bool,
    },
    /// Give a rollout up: who has not begun keeps its version
    Cancel(Which),
    /// List what a tenant added to its own schema or database, and the files that cannot run because of it
    Additions {
        /// The tenant: its slug or id
        tenant: String,
    },
}

/// How often the server is asked while a rollout is followed.
const LOOK: Duration = Duration::from_millis(300);

/// `tenantry migrations`.
///
/// # Errors
/// There is no such app or rollout, or the rollout does not allow what was asked for.
pub async fn run(args: &Args, session: &Session) -> Result<ExitCode> {
    let client = &session.client;
    match &args.verb {
        Verb::Plan { app } => plan(session, app).await,
        Verb::Run { app } => {
            let rollout = client.run_rollout(app).await?;
            follow(session, rollout).await
        }
        Verb::List { app, limit } => list(session, app.clone(), *limit).await,
        Verb::Status { which, targets } => status(session, &which.find(session).await?, targets).await,
        Verb::Watch(which) => {
            let rollout = which.find(session).await?;
            watched(session, rollout).await
        }
        Verb::Pause(which) => {
            let rollout = client.pause_rollout(&which.find(session).await?.id).await?;
            show(session, &rollout, &[])?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Continue { which, skip_failed } => {
            let rollout = client.continue_rollout(&which.find(session).await?.id, *skip_failed).await?;
            follow(session, rollout).await
        }
        Verb::Cancel(which) => {
            let rollout = client.cancel_rollout(&which.find(session).await?.id).await?;
            show(session, &rollout, &[])?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Additions { tenant } => additions(session, tenant).await,
    }
}

impl Which {
    async fn find(&self, session: &Session) -> Result<Rollout> {
        if self.which.starts_with("rol_") {
            return Ok(session.client.rollout(&self.which).await?);
        }
        let page = PageQuery { page_size: Some(1), page_token: None };
        let query = RolloutQuery { app: Some(self.which.clone()), page };
        let newest = session.client.rollouts(&query).await?.items.into_iter().next();
        if let Some(newest) = newest {
            return Ok(newest);
        }
        // An app that does not exist is told of as what it is.
        if let Err(error) = session.client.object(Catalog::App, &self.which).await
            && error.kind() == Kind::NotFound
        {
            return Err(error.into());
        }
        let title = format!("App `{}` never had a rollout", clean(&self.which));
        let hint = "A changed app begins one when it is applied; `tenantry migrations run <app>` begins one by hand.";
        Err(Failure::local(Kind::NotFound, title, "").hint(hint))
    }
}

async fn plan(session: &Session, app: &str) -> Result<ExitCode> {
    let plan = session.client.rollout_plan(app).await?;
    if session.output.format().is_document() {
        session.output.document(&plan)?;
        return Ok(ExitCode::SUCCESS);
    }
    let due: u64 = plan.waves.iter().sum();
    let mut lines = vec![format!(
        "App {} version {}: {due} target(s) to migrate, {} current",
        plan.app, plan.version, plan.current
    )];
    for (place, count) in plan.waves.iter().enumerate() {
        lines.push(format!("  wave {}: {count}", place + 1));
    }
    for (version, count) in &plan.behind {
        lines.push(format!("  from version {version}: {count}"));
    }
    for cell in &plan.unseen_cells {
        lines.push(format!("  cell {} does not answer; what is on it counts as behind", clean(cell)));
    }
    session.output.line(&lines.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Exit code 1 where files cannot run.
async fn additions(session: &Session, tenant: &str) -> Result<ExitCode> {
    let found = session.client.tenant_additions(tenant).await?;
    if session.output.format().is_document() {
        session.output.document(&found)?;
    } else if found.items.is_empty() {
        session.output.note("none found: the place has what the app's files made, and nothing else");
    } else {
        let row = |one: &Addition| {
            let table = one.table.as_deref().map(clean).unwrap_or_default();
            vec![one.kind.clone(), table, clean(&one.name), clean(&one.needs.join(", "))]
        };
        session.output.table(&["KIND", "TABLE", "NAME", "NEEDS"], found.items.iter().map(row).collect())?;
        for clash in &found.clashes {
            let (object, statement) = (clean(&clash.object), clean(&clash.statement));
            let line = format!("clash: {object} {} at {}: `{statement}`", clean(&clash.reason), clean(&clash.place));
            session.output.line(&line)?;
        }
    }
    Ok(if found.clashes.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

async fn list(session: &Session, app: Option<String>, limit: u16) -> Result<ExitCode> {
    let page = PageQuery { page_size: Some(limit), page_token: None };
    let list = session.client.rollouts(&RolloutQuery { app, page }).await?;
    if session.output.format().is_document() {
        session.output.document(&list)?;
    } else if list.items.is_empty() {
        session.output.note("none found");
    } else {
        let row = |rollout: &Rollout| {
            vec![
                rollout.id.clone(),
                clean(&rollout.app),
                rollout.version.to_string(),
                rollout.status.clone(),
                format!("{}/{}", rollout.wave, rollout.waves.len()),
                counted(rollout.targets),
                times::moment(rollout.created_at),
            ]
        };
        let headings = ["ROLLOUT", "APP", "VERSION", "STATUS", "WAVE", "TARGETS", "BEGAN"];
        session.output.table(&headings, list.items.iter().map(row).collect())?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn status(session: &Session, rollout: &Rollout, wanted: &str) -> Result<ExitCode> {
    let status = (wanted != "all").then(|| wanted.to_owned());
    let page = PageQuery { page_size: Some(200), page_token: None };
    let mut query = TargetQuery { status, page };
    let mut targets = Vec::new();
    loop {
        let page = session.client.rollout_targets(&rollout.id, &query).await?;
        targets.extend(page.items);
        match page.next_page_token {
            Some(token) => query.page.page_token = Some(token),
            None => break,
        }
    }
    show(session, rollout, &targets)?;
    Ok(ending(rollout))
}

/// Waits where that was asked for, and shows where it stands.
async fn follow(session: &Session, rollout: Rollout) -> Result<ExitCode> {
    if session.wait {
        return watched(session, rollout).await;
    }
    show(session, &rollout, &[])?;
    Ok(ExitCode::SUCCESS)
}

async fn watched(session: &Session, mut rollout: Rollout) -> Result<ExitCode> {
    let began = Instant::now();
    let mut told = None;
    while !rollout.stands() {
        let now = (rollout.wave, rollout.targets.done, rollout.targets.failed);
        if told != Some(now) {
            let (wave, waves) = (rollout.wave, rollout.waves.len());
            session.output.note(&format!("wave {wave} of {waves}: {}", counted(rollout.targets)));
            told = Some(now);
        }
        if began.elapsed() >= session.timeout {
            return Err(ClientError::Patience { operation: rollout.id, waited: session.timeout }.into());
        }
        tokio::time::sleep(LOOK).await;
        rollout = session.client.rollout(&rollout.id).await?;
    }
    status(session, &rollout, "failed").await
}

/// Not a success: something failed, or somebody has to act.
fn ending(rollout: &Rollout) -> ExitCode {
    let is_fine = rollout.targets.failed == 0 && rollout.status != "halted";
    if is_fine { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn counted(targets: Progress) -> String {
    let parts = [
        (targets.done, "done"),
        (targets.current, "current"),
        (targets.running, "running"),
        (targets.waiting, "waiting"),
        (targets.failed, "failed"),
        (targets.skipped, "skipped"),
    ];
    let shown: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}

fn show(session: &Session, rollout: &Rollout, targets: &[Target]) -> Result<()> {
    let output = session.output;
    if output.format().is_document() {
        return output.document(&json!({ "rollout": rollout, "targets": targets }));
    }
    let mut lines = vec![
        format!("Rollout:  {}", rollout.id),
        format!("App:      {} version {} (from {})", clean(&rollout.app), rollout.version, rollout.base_version),
        format!("Status:   {}", rollout.status),
        format!("Began:    {} by {}", times::moment(rollout.created_at), clean(&rollout.created_by)),
    ];
    if let Some(at) = rollout.ended_at {
        let took = Duration::try_from(at.duration_since(rollout.created_at)).map(duration).unwrap_or_default();
        lines.push(format!("Ended:    {} after {took}", times::moment(at)));
    }
    if let Some(reason) = &rollout.reason {
        lines.push(format!("Reason:   {}", clean(reason)));
    }
    lines.push(format!("Targets:  {}", counted(rollout.targets)));
    for wave in &rollout.waves {
        let here = if wave.number == rollout.wave && rollout.ended_at.is_none() { "  <" } else { "" };
        lines.push(format!("  wave {:<3} {}{here}", wave.number, counted(wave.targets)));
    }
    for target in targets {
        let who = target.slug.as_deref().map_or_else(|| "shared tables".to_owned(), clean);
        lines.push(format!(
            "\n{who} on {} ({}, from version {})",
            clean(&target.cell),
            target.status,
            target.from_version
        ));
        if let Some(cause) = &target.cause {
            lines.push(format!("  cause: {} {}", cause.code, clean(&cause.message)));
        }
    }
    output.line(&lines.join("\n"))
}
