//! `tenantry delete`: tenants by name and typed confirmation, catalog objects when nothing uses them.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use tenantry_api::client::{Deleted, Deletion, Expected};
use tenantry_api::v1::change::Plan;
use tenantry_domain::code::{Code, FieldError};

use super::changes;
use super::kind::Declared;
use super::settle::{expected, settle};
use super::times::moment;
use crate::exit::{Failure, Result};
use crate::globals::Session;
use crate::output::clean;

/// Delete a tenant for good, or an object that nothing uses
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A tenant must be archived (or a draft). Its data is erased when the grace period ends; until then
`tenantry undelete` takes the deletion back.

Examples:
  tenantry delete tenant acme --dry-run
  tenantry delete tenant acme --confirm acme --reason \"removal request 2026-118\"
  tenantry delete tenant trial-7 --confirm trial-7 --grace 0s
  tenantry delete plan legacy --yes"
)]
pub struct Args {
    /// What is deleted
    #[arg(value_enum)]
    kind: Declared,
    /// Its name; for tenants also the id
    #[arg(value_name = "NAME")]
    name: String,
    /// The tenant's name once more; asked for on a terminal
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
    /// The removal request; tenants that are not synthetic need one
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// How long the deletion can be taken back, `7d`; absent means as short as the installation allows
    #[arg(long, value_name = "DURATION")]
    grace: Option<String>,
    /// Only show what would happen
    #[arg(long)]
    dry_run: bool,
    /// Act on whatever version is current, even if somebody changed the object meanwhile
    #[arg(long)]
    force: bool,
}

/// Deletes, after the confirmation that the kind of thing deserves.
///
/// # Errors
/// The confirmation is missing or wrong, or the API refuses.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let Some(kind) = args.kind.catalog() else { return tenant(args, session).await };
    let current = session.client.object(kind, &args.name).await?;
    let wanted = format!("{} {}", kind.as_str(), clean(&args.name));
    if args.dry_run {
        return session.output.line(&format!("{wanted} would be deleted, if nothing uses it"));
    }
    if !session.yes && !agrees(&format!("Delete {wanted}? [y/N] "))? {
        return Err(Failure::usage("Nothing was deleted").hint("Answer with y, or give --yes."));
    }
    let version = current.version.unwrap_or(current.value.status.version);
    let expected = if args.force { Expected::Any } else { Expected::Version(version) };
    let answer = session.client.delete_object(kind, &args.name, expected).await?;
    if session.output.format().is_document() {
        return session.output.document(&serde_json::json!({ "deleted": current.value, "receipt": answer.receipt }));
    }
    session.output.line(&format!("{wanted} is deleted"))
}

async fn tenant(args: &Args, session: &Session) -> Result<()> {
    let expected = expected(session, &args.name, args.force).await?;
    let confirm = match &args.confirm {
        Some(confirm) => confirm.clone(),
        // Nobody has to confirm a question.
        None if args.dry_run => session.client.tenant(&args.name).await?.value.metadata.name,
        None => ask(&format!("Type the tenant's name to delete {}: ", clean(&args.name)))?.ok_or_else(|| {
            let field = FieldError::new("confirm", "repeat the tenant's name");
            Failure::new(Code::ConfirmationMismatch, "nobody confirmed the deletion")
                .fields(vec![field])
                .hint(format!("Give `--confirm {}`; --yes is not enough for a tenant.", args.name))
        })?,
    };
    let deletion = Deletion { confirm, reason: args.reason.clone(), grace: args.grace.clone(), dry_run: args.dry_run };
    match session.client.delete_tenant(&args.name, expected, &deletion, None).await? {
        Deleted::Planned(object) => {
            let plan = Plan { objects: vec![*object] };
            if session.output.format().is_document() {
                return session.output.document(&plan);
            }
            session.output.line(&changes::text(session.output, &plan))
        }
        Deleted::Accepted(answer) => {
            let until = answer.value.status.deletion.as_ref().map(|wait| wait.not_before);
            if let Some(until) = until.filter(|until| *until > jiff::Timestamp::now()) {
                let (name, until) = (clean(&args.name), moment(until));
                session.output.note(&format!("`tenantry undelete {name}` takes it back until {until}"));
                // The operation ends when the grace period does: nobody waits for that.
                let patient = Session { wait: false, ..session.clone() };
                return settle(&patient, *answer).await;
            }
            settle(session, *answer).await
        }
    }
}

pub(super) fn agrees(question: &str) -> Result<bool> {
    Ok(ask(question)?.is_some_and(|answer| matches!(answer.as_str(), "y" | "Y" | "yes")))
}

/// An answer typed by a person; `None` where there is nobody to ask.
fn ask(question: &str) -> Result<Option<String>> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Ok(None);
    }
    let broken = |error: std::io::Error| Failure::broken("The question cannot be asked", error);
    let mut screen = std::io::stderr();
    write!(screen, "{question}").and_then(|()| screen.flush()).map_err(broken)?;
    let mut line = String::new();
    input.lock().read_line(&mut line).map_err(broken)?;
    Ok(Some(line.trim().to_owned()))
}
