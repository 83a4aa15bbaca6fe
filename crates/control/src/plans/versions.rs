//! The versions of a plan with the tenants that have them.

use serde_json::Value;
use tenantry_domain::diff::{FieldChange, diff};
use tenantry_domain::name::PlanCode;
use tenantry_domain::plan::Tenants;
use tenantry_store::{CatalogKind, PlanVersionRow};

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::refuse_store;

/// The most differences of one version that are told.
const MOST_CHANGES: usize = 100;

/// A version with the tenants that have it.
#[derive(Debug, Clone, PartialEq)]
pub struct Versions {
    /// Its number.
    pub version: i64,
    /// How many living tenants have it.
    pub tenants: u64,
    /// What it means to tenants that had an older one; absent in a version that removed the plan.
    pub policy: Option<Tenants>,
    /// What it says differently from the version before; at most a hundred, nothing for the first.
    pub changes: Vec<FieldChange>,
    /// Who made it.
    pub author: String,
    /// When.
    pub at: tenantry_domain::Timestamp,
}

/// At most `limit` versions of a plan below a number, newest first.
///
/// # Errors
/// There is no such plan.
pub async fn versions(
    cx: &Ctx,
    deps: &Deps,
    plan: &PlanCode,
    below: i64,
    limit: i64,
) -> Result<Vec<Versions>, Refusal> {
    cx.permit_environment("catalog.read")?;
    let reader = deps.store().read(&cx.environment);
    let absent = || Refusal::NoObject { kind: "plan".to_owned(), name: plan.to_string() };
    reader.catalog(CatalogKind::Plan, plan.as_str()).await.map_err(refuse_store)?.ok_or_else(absent)?;
    // One more, for the last one's differences.
    let rows = reader.plan_versions(plan.as_str(), below, limit.saturating_add(1)).await.map_err(refuse_store)?;
    let befores = rows.iter().skip(1).map(Some).chain(std::iter::once(None));
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(rows.iter().zip(befores).take(most).map(|(row, before)| view(row, before)).collect())
}

fn view(row: &PlanVersionRow, before: Option<&PlanVersionRow>) -> Versions {
    let said = |row: &PlanVersionRow| row.spec.clone().unwrap_or_else(|| serde_json::json!({}));
    let mut changes = before.map(|before| diff(&said(before), &said(row))).unwrap_or_default();
    changes.truncate(MOST_CHANGES);
    let policy = row.spec.as_ref().map(|spec| match spec.get("tenants").and_then(Value::as_str) {
        Some("keep") => Tenants::Keep,
        _ => Tenants::Follow,
    });
    Versions {
        version: row.version,
        tenants: u64::try_from(row.tenants).unwrap_or(0),
        policy,
        changes,
        author: row.author.clone(),
        at: row.at,
    }
}
