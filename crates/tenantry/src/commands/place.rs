//! `tenantry place`: where a tenant is or would be put, and why; also one that nobody has written down yet.

use std::path::PathBuf;

use serde_json::{Value, json};
use tenantry_api::v1::placement::{Candidate, Decision, PlacementAnswer, PlacementRequest, PlacementView};
use tenantry_domain::code::Code;
use tenantry_domain::placement::{Refusal, Score};

use super::documents::Files;
use crate::exit::{Failure, Result};
use crate::globals::Session;

/// Show where a tenant is, or where the tenants of a file would be put
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tenantry place acme
  tenantry place --explain -f tenant.yaml
  tenantry place --explain --plan standard --regions eu-west,us-east --origin asia
  tenantry place acme --explain --regions us-east          # where it would be if that were its residency")]
pub struct Args {
    /// Name or id of a tenant
    #[arg(value_name = "TENANT", required_unless_present_any = ["file", "regions"], conflicts_with = "file")]
    tenant: Option<String>,
    /// File, folder or `-` with tenants that are not there yet
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    file: Option<PathBuf>,
    /// Show every cell with its score, or why it was refused
    #[arg(long)]
    explain: bool,
    /// What if: regions that may hold it, separated by commas
    #[arg(long, value_name = "REGION", value_delimiter = ',', conflicts_with = "file")]
    regions: Vec<String>,
    /// What if: bound to this plan
    #[arg(long, value_name = "PLAN", conflicts_with = "file")]
    plan: Option<String>,
    /// What if: at this level, whatever the plan says
    #[arg(long, value_name = "LEVEL", conflicts_with = "file")]
    level: Option<String>,
    /// What if: this region is its first choice, one of --regions
    #[arg(long, value_name = "REGION", requires = "regions")]
    prefer: Option<String>,
    /// What if: its users are in this region
    #[arg(long, value_name = "REGION", conflicts_with = "file")]
    origin: Option<String>,
    /// What if: of this size, small, medium or large
    #[arg(long, value_name = "SIZE", conflicts_with = "file")]
    size: Option<String>,
    /// What if: of this group, whose tenants never share a cell
    #[arg(long, value_name = "GROUP", conflicts_with = "file")]
    apart: Option<String>,
}

impl Args {
    /// The question, if it is one about what is not so.
    fn what_if(&self) -> Option<PlacementRequest> {
        let asked = PlacementRequest {
            tenant: self.tenant.clone(),
            plan: self.plan.clone(),
            isolation: self.level.clone(),
            allowed_regions: Some(self.regions.clone()).filter(|regions| !regions.is_empty()),
            preferred_region: self.prefer.clone(),
            size: self.size.clone(),
            origin: self.origin.clone(),
            apart: self.apart.clone(),
        };
        let plain = PlacementRequest { tenant: self.tenant.clone(), ..PlacementRequest::default() };
        (asked != plain).then_some(asked)
    }
}

/// Shows places. Puts nobody anywhere.
///
/// # Errors
/// There is no such tenant, no cell fits, or the documents are wrong.
pub async fn run(args: &Args, session: &Session) -> Result<()> {
    if let Some(asked) = args.what_if() {
        return answer(args, session, &session.client.explain_placement(&asked).await?);
    }
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

fn answer(args: &Args, session: &Session, answer: &PlacementAnswer) -> Result<()> {
    if session.output.format().is_document() {
        return session.output.document(answer);
    }
    let tenant = args.tenant.as_deref().unwrap_or("the tenant");
    session.output.note(&format!("regions in the order of choice: {}", answer.regions.join(", ")));
    match (&answer.decision, &answer.refusal) {
        (Some(decision), _) => decision_text(args, session, tenant, decision),
        (None, refusal) => {
            if args.explain {
                candidates(session, &answer.candidates)?;
            }
            let why = refusal.clone().unwrap_or_default();
            Err(Failure::new(Code::NoCapacity, format!("No cell can take {tenant} at level {}", answer.isolation))
                .hint(why))
        }
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
