//! The door of a feature: whoever has it is let in and counted, whoever has not is told why and which plan has it.

use std::collections::BTreeMap;

use tenantry_domain::code::FieldError;
use tenantry_domain::flag::{self, Feature, FlagName, Source};
use tenantry_domain::name::PlanCode;
use tenantry_domain::plan::PlanSpec;
use tenantry_store::{CatalogKind, CatalogRow, FeatureUse, WriteTx};

use super::{facts, feature};
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{TenantRef, refuse_store, require};

/// A use that was let in.
#[derive(Debug, Clone, PartialEq)]
pub struct Admitted {
    /// The tenant's plan.
    pub plan: PlanCode,
    /// What the feature is to the tenant.
    pub feature: Feature,
}

/// Uses a feature so many times.
///
/// # Errors
/// The tenant does not have it, or there is no such tenant.
pub async fn admit(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    name: &FlagName,
    count: u32,
) -> Result<Admitted, Refusal> {
    cx.may("flag.use")?;
    let facts = facts(cx, deps, tenant, Some(name)).await?;
    cx.permit("flag.use", facts.tenant)?;
    let found = feature(&facts, name, cx.now);
    if let Some(feature) = found.clone().filter(Feature::is_on) {
        deps.uses().add(deps.store(), &cx.environment, facts.tenant, name, count, cx.now).await;
        return Ok(Admitted { plan: facts.plan, feature });
    }
    let is_switched = found.as_ref().is_some_and(|feature| feature.source == Source::Switch);
    // Another plan would not help against the switch.
    let mut plans = if is_switched { Vec::new() } else { plans_with(cx, deps, name).await? };
    // A newer version of the own plan is no other plan.
    plans.retain(|plan| *plan != facts.plan);
    Err(Refusal::FeatureOff { feature: name.clone(), plan: facts.plan, found, plans })
}

async fn plans_with(cx: &Ctx, deps: &Deps, name: &FlagName) -> Result<Vec<PlanCode>, Refusal> {
    let plans = catalog(cx, deps).await?;
    Ok(flag::plans_with(name.as_str(), &plans))
}

/// All plans that this release can read.
pub(crate) async fn catalog(cx: &Ctx, deps: &Deps) -> Result<BTreeMap<PlanCode, PlanSpec>, Refusal> {
    let rows = deps.store().read(&cx.environment).catalog_list(CatalogKind::Plan).await.map_err(refuse_store)?;
    Ok(readable(rows))
}

/// The same as a transaction sees them.
pub(crate) async fn catalog_within(tx: &mut WriteTx) -> Result<BTreeMap<PlanCode, PlanSpec>, Refusal> {
    Ok(readable(tx.catalog().list(CatalogKind::Plan).await.map_err(refuse_store)?))
}

fn readable(rows: Vec<CatalogRow>) -> BTreeMap<PlanCode, PlanSpec> {
    let read = |row: CatalogRow| Some((PlanCode::parse(&row.name).ok()?, serde_json::from_value(row.spec).ok()?));
    rows.into_iter().filter_map(read).collect()
}

/// The most rows of one answer: a year of one feature, or a month of twelve.
const MOST: i64 = 2_000;

/// How often a tenant used its features from one day to another, both included; whether there is more. What this process has
/// counted is written first; what others have not written yet is up to two seconds of theirs.
///
/// # Errors
/// There is no such tenant, or a day is none.
pub async fn usage(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    from: Option<&str>,
    to: Option<&str>,
) -> Result<Usage, Refusal> {
    let row = require(cx, deps, tenant).await?;
    cx.permit("tenant.read", row.id)?;
    let wrong = |field, message: &str| Refusal::Request(vec![FieldError::new(field, message)]);
    let read = |field, text: Option<&str>| match text.map(str::parse::<jiff::civil::Date>) {
        None => Ok(None),
        Some(Ok(date)) if (1970..=9998).contains(&date.year()) => Ok(Some(date)),
        Some(_) => Err(wrong(field, "is not a day such as `2027-03-31`")),
    };
    let today = cx.now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let to = read("to", to)?.unwrap_or(today);
    let from = match read("from", from)? {
        Some(from) => from,
        None => to.saturating_sub(jiff::Span::new().days(30)),
    };
    if from > to {
        return Err(wrong("from", "must not be later than `to`"));
    }
    deps.uses().flush(deps.store(), cx.now).await;
    let (from, to) = (from.to_string(), to.to_string());
    let reader = deps.store().read(&cx.environment);
    let mut days = reader.feature_uses(row.id, &from, &to, MOST + 1).await.map_err(refuse_store)?;
    let is_cut = i64::try_from(days.len()).is_ok_and(|count| count > MOST);
    days.truncate(usize::try_from(MOST).unwrap_or(usize::MAX));
    Ok(Usage { from, to, days, is_cut })
}

/// How often a tenant used its features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// The first day.
    pub from: String,
    /// The last day.
    pub to: String,
    /// By day and feature.
    pub days: Vec<FeatureUse>,
    /// Whether there is more.
    pub is_cut: bool,
}

/// Writes what this process has counted; for its end.
pub async fn flush(deps: &Deps) {
    deps.uses().flush(deps.store(), deps.now()).await;
}
