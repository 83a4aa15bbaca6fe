//! `tenantry operations`: long work, seen and steered.

use serde_json::json;
use tenantry_api::client::{OperationQuery, PageQuery};
use tenantry_api::v1::operation::{Operation, Step};

use super::{follow, times};
use crate::exit::Result;
use crate::globals::Session;
use crate::output::{clean, duration};

/// See and steer long work
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tenantry operations list --status stuck
  tenantry operations watch op_01jd8x3v9mfk2t5h7q0w4z6y8c
  tenantry operations retry op_01jd8x3v9mfk2t5h7q0w4z6y8c")]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List operations, newest first
    List {
        /// Only those at this point: waiting, running, completed, failed, stuck
        #[arg(long, value_name = "STATUS")]
        status: Option<String>,
        /// Most items to show
        #[arg(long, default_value_t = 50, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=200))]
        limit: u16,
    },
    /// Show an operation with its workflows and steps
    Get {
        /// Its id, `op_…`
        id: String,
    },
    /// Follow an operation to its end
    Watch {
        /// Its id, `op_…`
        id: String,
    },
    /// Ask an operation to stop and undo what it did
    Cancel {
        /// Its id, `op_…`
        id: String,
    },
    /// Let a stuck operation try again
    Retry {
        /// Its id, `op_…`
        id: String,
    },
}

/// `tenantry operations`.
///
/// # Errors
/// There is no such operation, or it did not succeed where its end was waited for.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    match &args.verb {
        Verb::List { status, limit } => list(session, status.clone(), *limit).await,
        Verb::Get { id } => show(session, &session.client.operation(id, None).await?),
        Verb::Watch { id } => {
            let operation = follow::follow(session, id).await?;
            show(session, &operation)
        }
        Verb::Cancel { id } => {
            let mut operation = session.client.cancel(id).await?;
            if session.wait && !operation.has_ended() {
                operation = follow::watch(session, id).await?;
            }
            show(session, &operation)
        }
        Verb::Retry { id } => {
            let mut operation = session.client.retry(id).await?;
            if session.wait {
                operation = follow::follow(session, id).await?;
            }
            show(session, &operation)
        }
    }
}

async fn list(session: &Session, status: Option<String>, limit: u16) -> Result<()> {
    let page = PageQuery { page_size: Some(limit), page_token: None };
    let list = session.client.operations(&OperationQuery { status, page }).await?;
    if session.output.format().is_document() {
        return session.output.document(&list);
    }
    if list.next_page_token.is_some() {
        session.output.note("there are more; --limit shows up to 200 at a time");
    } else if list.items.is_empty() {
        session.output.note("none found");
    }
    if list.items.is_empty() { Ok(()) } else { super::get::operations(session, &list.items) }
}

/// Prints an operation with the steps of its workflows.
///
/// # Errors
/// It cannot be written.
pub fn show(session: &Session, operation: &Operation) -> Result<()> {
    let output = session.output;
    if output.format().is_document() {
        return output.document(&json!(operation));
    }
    let targets = operation.targets;
    let mut lines = vec![
        format!("Operation:  {}", operation.id),
        format!("Kind:       {}", clean(&operation.kind)),
        format!("Status:     {}", operation.status),
        format!("By:         {}", clean(&operation.requested_by)),
        format!("Accepted:   {}", times::moment(operation.created_at)),
    ];
    if let Some(at) = operation.ended_at {
        lines.push(format!("Ended:      {}", times::moment(at)));
    }
    lines.push(format!("Tenants:    {} of {} done, {} failed", targets.done, targets.total, targets.failed));
    for workflow in &operation.workflows {
        lines.push(format!("\n{} {} ({})", clean(&workflow.kind), clean(&workflow.slug), workflow.status));
        if let Some(cause) = &workflow.cause {
            lines.push(format!("  cause: {} {}", cause.code, clean(&cause.message)));
        }
        lines.extend(workflow.steps.iter().map(step));
    }
    output.line(&lines.join("\n"))
}

fn step(step: &Step) -> String {
    let took = match (step.started_at, step.ended_at) {
        (Some(from), Some(to)) => {
            std::time::Duration::try_from(to.duration_since(from)).map(duration).unwrap_or_default()
        }
        _ => String::new(),
    };
    let again = if step.attempts > 1 { format!("  attempt {}", step.attempts) } else { String::new() };
    format!("  {:<9} {:<16} {took}{again}", step.status, clean(&step.name.replace('_', " "))).trim_end().to_owned()
}
