//! `tenantry place`: where a tenant is or would be put, and why.

use std::path::PathBuf;

use serde_json::{Value, json};
use tenantry_api::v1::placement::{Candidate, Decision, PlacementView};
use tenantry_domain::placement::{Refusal, Score};

use super::documents::Files;
use crate::exit::{Failure, Result};
use crate::globals::Session;

/// Show where a tenant is, or where the tenants of a file would be put
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tenantry place acme
  tenantry place --explain -f tenant.yaml")]
pub struct Args {
    /// Name or id of a tenant
    #[arg(value_name = "TENANT", required_unless_present = "file", conflicts_with = "file")]
    tenant: Option<String>,
    /// File, folder or `-` with tenants that are not there yet
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    file: Option<PathBuf>,
    /// Show every cell with its score, or why it was refused
    #[arg(long)]
    explain: bool,
}

/// Shows places. Puts nobody anywhere.
///
/// # Errors
/// There is no such tenant, no cell fits, or the documents are wrong.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    if let Some(tenant) = &args.tenant {
        let view = session.client.tenant_placement(tenant).await?;
        return present(args, session, tenant, &view);
    }
    let files = Files::of(args.file.iter().cloned().collect());
    let plan = session.client.plan(&files.read(session.client.environment())?).await?;
    let decided: Vec<_> =
        plan.objects.iter().filter_map(|object| Some((object.name.as_str(), object.placement.as_ref()?))).collect();
    if session.output.format().is_document() {
        let all: Vec<Value> =
            decided.iter().map(|(name, decision)| json!({ "tenant": name, "decision": decision })).collect();
        return session.output.document(&all);
    }
    if decided.is_empty() {
        session.output.note("the documents place no tenant anew");
    }
    for (name, decision) in decided {
        decision_text(args, session, name, decision)?;
    }
    Ok(())
}

fn present(args: &Args, session: &Session, tenant: &str, view: &PlacementView) -> Result<()> {
    if session.output.format().is_document() {
        return session.output.document(view);
    }
    let Some(placement) = &view.placement else {
        return match &view.decision {
            Some(decision) => decision_text(args, session, tenant, decision),
            None => Err(Failure::ended(format!("Tenant {tenant} has no place"), "nothing is provisioned for it")
                .hint("A draft gets its place when it is activated.")),
        };
    };
    session.output.line(&format!(
        "{tenant} is in {} ({}) as {}, generation {}",
        placement.cell, placement.region, placement.isolation, placement.generation
    ))?;
    match (&view.decision, args.explain) {
        (Some(decision), true) => candidates(session, &decision.candidates),
        _ => Ok(()),
    }
}

fn decision_text(args: &Args, session: &Session, tenant: &str, decision: &Decision) -> Result<()> {
    let Decision { cell, region, isolation, .. } = decision;
    session.output.line(&format!("{tenant} would be put in {cell} ({region}) as {isolation}"))?;
    if args.explain { candidates(session, &decision.candidates) } else { Ok(()) }
}

fn candidates(session: &Session, candidates: &[Candidate]) -> Result<()> {
    let rows = candidates.iter().map(|candidate| {
        let read = |value: &Option<Value>| value.clone().unwrap_or_default();
        let score = serde_json::from_value::<Score>(read(&candidate.score)).ok();
        let refusal = serde_json::from_value::<Refusal>(read(&candidate.refusal)).ok();
        let (rank, fill) = score.as_ref().map_or_else(
            || ("-".to_owned(), "-".to_owned()),
            |score| (score.region_rank.to_string(), format!("{:.1} %", f64::from(score.fill_permille) / 10.0)),
        );
        let verdict = match (&refusal, &candidate.refusal) {
            (Some(refusal), _) => format!("refused: {refusal}"),
            (None, Some(unknown)) => format!("refused: {unknown}"),
            (None, None) => "fits".to_owned(),
        };
        vec![candidate.cell.clone(), rank, fill, verdict]
    });
    session.output.table(&["CELL", "REGION RANK", "FILL", "VERDICT"], rows.collect())
}
