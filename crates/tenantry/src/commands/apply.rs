//! `tenantry apply`: files become the desired state, and the world follows.

use serde_json::json;
use tenantry_api::v1::change::AppliedObject;

use super::documents::Files;
use super::{changes, follow};
use crate::exit::Result;
use crate::globals::Session;
use crate::output::{Paint, clean};

/// Apply manifests: all documents or none, then wait until their tenants have converged
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Folders of migrations (`migrations: { path: … }`) are read here. They are looked for in the current
folder, then beside the manifest, then one folder above it.

Examples:
  tenantry apply -f tenant.yaml
  tenantry apply -f manifests -R --no-wait
  cat tenant.yaml | tenantry apply -f -
  tenantry apply -f manifests --dry-run"
)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// Only show what would happen
    #[arg(long)]
    dry_run: bool,
}

/// Applies and waits.
///
/// # Errors
/// Everything that is wrong with the documents, or the operation does not succeed.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    let documents = args.files.read(session.client.environment())?;
    if args.dry_run {
        let plan = session.client.plan(&documents).await?;
        if session.output.format().is_document() {
            return session.output.document(&plan);
        }
        return session.output.line(&changes::text(session.output, &plan));
    }
    let answer = session.client.apply(&documents, None).await?;
    let applied = answer.value;
    let is_document = session.output.format().is_document();
    if !is_document {
        for object in &applied.objects {
            session.output.line(&line(session, object))?;
        }
        // Its tenants follow by themselves, in waves, and nobody waits for that here.
        let is_changed = |object: &&AppliedObject| object.kind == "App" && object.outcome == "changed";
        for app in applied.objects.iter().filter(is_changed) {
            let name = clean(&app.name);
            session.output.note(&format!("a rollout of {name} has begun: `tenantry migrations watch {name}`"));
        }
    }
    let operation = applied.operation.clone().or(answer.operation);
    let ended = match &operation {
        Some(operation) if session.wait => {
            let ended = follow::follow(session, operation).await;
            Some(ended.map_err(|failure| failure.correlation(answer.correlation_id.clone()))?)
        }
        Some(operation) => {
            session.output.note(&format!("follow it with `tenantry operations watch {operation}`"));
            None
        }
        None => None,
    };
    if is_document {
        let operation = ended.map_or_else(|| json!(operation), |ended| json!(ended));
        return session
            .output
            .document(&json!({ "objects": applied.objects, "operation": operation, "receipt": answer.receipt }));
    }
    match ended.map(|ended| ended.targets.done) {
        None => Ok(()),
        Some(1) => session.output.line("1 tenant converged"),
        Some(count) => session.output.line(&format!("{count} tenants converged")),
    }
}

fn line(session: &Session, object: &AppliedObject) -> String {
    let (word, paint) = match object.outcome.as_str() {
        "create" | "created" => ("created", Paint::Good),
        "change" | "changed" => ("changed", Paint::Warn),
        other => (other, Paint::Faint),
    };
    let name = clean(&format!("{}/{}", object.kind.to_lowercase(), object.name));
    format!("{name} {} (version {})", session.output.paint(paint, &clean(word)), object.version)
}
