//! `tenantry plan` and `tenantry diff`: what applying files would do. Neither changes anything.
//!
//! Both leave exit code 10 when something would change, so that a pipeline can tell.

use std::process::ExitCode;

use super::changes;
use super::documents::Files;
use crate::exit::{CHANGES, Result};
use crate::globals::Session;

/// Show what applying manifests would do: fields, placement and steps
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code: 0 when nothing would change, 10 when something would (see --exit-code).

Examples:
  tenantry plan -f manifests
  tenantry plan -f manifests -o json")]
pub struct PlanArgs {
    #[command(flatten)]
    files: Files,
    /// Leave exit code 10 when there are changes
    #[arg(long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set, value_name = "BOOL")]
    exit_code: bool,
}

/// Show which fields manifests would change
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit code: 0 when nothing would change, 10 when something would (see --exit-code).

Examples:
  tenantry diff -f tenant.yaml
  tenantry diff -f manifests --exit-code=false")]
pub struct DiffArgs {
    #[command(flatten)]
    files: Files,
    /// Leave exit code 10 when there are changes
    #[arg(long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set, value_name = "BOOL")]
    exit_code: bool,
}

/// `tenantry plan`.
///
/// # Errors
/// Everything that is wrong with the documents.
pub async fn plan(args: &PlanArgs, session: &Session) -> Result<ExitCode> {
    let documents = args.files.read(session.client.environment())?;
    let plan = session.client.plan(&documents).await?;
    if session.output.format().is_document() {
        session.output.document(&plan)?;
    } else {
        session.output.line(&changes::text(session.output, &plan))?;
    }
    Ok(code(args.exit_code && changes::has_changes(&plan)))
}

/// `tenantry diff`.
///
/// # Errors
/// Everything that is wrong with the documents.
pub async fn diff(args: &DiffArgs, session: &Session) -> Result<ExitCode> {
    let documents = args.files.read(session.client.environment())?;
    let mut plan = session.client.plan(&documents).await?;
    plan.objects.retain(|object| object.outcome != "unchanged");
    if session.output.format().is_document() {
        session.output.document(&plan)?;
    } else {
        for object in &mut plan.objects {
            (object.steps, object.placement, object.hold) = (Vec::new(), None, None);
        }
        if !plan.objects.is_empty() {
            let text = changes::text(session.output, &plan);
            // The counts below a diff say nothing that the diff does not.
            let fields = text.rsplit_once('\n').map_or("", |(fields, _)| fields);
            session.output.line(fields)?;
        }
    }
    Ok(code(args.exit_code && !plan.objects.is_empty()))
}

fn code(has_changes: bool) -> ExitCode {
    if has_changes { ExitCode::from(CHANGES) } else { ExitCode::SUCCESS }
}
