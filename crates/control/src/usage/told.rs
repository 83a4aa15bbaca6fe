//! Telling the world what an hour came to, for billing: once when it has closed, and once more for each look that finds it
//! changed by late events. Each telling has a revision; the highest is the truth.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tenantry_domain::audit::Category;
use tenantry_domain::event::{self, Type};
use tenantry_domain::id::TenantId;
use tenantry_domain::name::{EnvironmentName, MeterName};
use tenantry_domain::policy::{self, Scope};
use tenantry_domain::usage::{self, MeterSpec, Window};
use tenantry_store::{CatalogKind, Entry, StoreError, UsageDue, UsageReport};

use crate::deps::Deps;

/// Hours of tenants' meters that one look takes.
const BATCH: i64 = 500;

/// Most parts by dimensions that one event carries.
const PARTS: usize = 100;

/// Tells what has closed; gives whether there may be more.
///
/// # Errors
/// Our database's.
pub(crate) async fn tell(deps: &Deps) -> Result<bool, StoreError> {
    let due = deps.store().usage_due(usage::closed_before(deps.now()), BATCH).await?;
    let is_full = i64::try_from(due.len()).is_ok_and(|count| count == BATCH);
    let mut by_tenant: BTreeMap<(EnvironmentName, TenantId), Vec<UsageDue>> = BTreeMap::new();
    for hour in due {
        by_tenant.entry((hour.environment.clone(), hour.tenant)).or_default().push(hour);
    }
    let mut failed = None;
    for ((environment, tenant), hours) in by_tenant {
        // One tenant's trouble is not that of the others.
        if let Err(error) = of_tenant(deps, &environment, tenant, &hours).await {
            tracing::warn!(%tenant, %error, "what a tenant used was not told yet");
            failed = Some(error);
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(is_full),
    }
}

async fn of_tenant(
    deps: &Deps,
    environment: &EnvironmentName,
    tenant: TenantId,
    hours: &[UsageDue],
) -> Result<(), StoreError> {
    let cx = super::ours(deps, environment);
    let permit = policy::controller("usage.report", Scope::tenant(environment.clone(), tenant));
    let mut tx = deps.store().write(&permit, cx.now).await?;
    let row = tx.tenants().lock(tenant).await?;
    let (mut told, mut events) = (Vec::new(), Vec::new());
    for due in hours {
        let Some(report) = tx.usage().tell(tenant, &due.meter, due.hour).await? else { continue };
        let meter = tx.catalog().get(CatalogKind::Meter, due.meter.as_str()).await?;
        let meter = meter.and_then(|row| serde_json::from_value::<MeterSpec>(row.spec).ok());
        told.push(json!({ "meter": due.meter, "hour": due.hour.to_string(), "revision": report.revision }));
        events.push(event::Draft::new(Type::UsageReported, data(&due.meter, meter.as_ref(), due, &report)));
    }
    if events.is_empty() {
        tx.rollback().await;
        return Ok(());
    }
    let mut audit = cx.audit(&permit, Category::Transition, format!("tenant/{}", row.slug));
    audit.changes = Value::Array(told);
    tx.commit(vec![Entry::tenant(tenant, audit, events)]).await?;
    Ok(())
}

fn data(name: &MeterName, meter: Option<&MeterSpec>, due: &UsageDue, report: &UsageReport) -> Value {
    let part = |part: &tenantry_store::UsageHour| {
        let dimensions: Value = serde_json::from_str(&part.dimensions).unwrap_or_default();
        json!({ "dimensions": dimensions, "value": part.value.to_string(), "events": part.events })
    };
    // Without dimensions the whole says it all.
    let parts = report.parts.iter().filter(|part| part.dimensions != "{}").take(PARTS).map(part).collect::<Vec<_>>();
    json!({
        "meter": name, "unit": meter.map(|meter| meter.unit.as_str()), "aggregation": report.aggregation.as_str(),
        "window": Window::Hour.as_str(), "from": due.hour.to_string(), "to": Window::Hour.end(due.hour).to_string(),
        "value": report.value.to_string(), "events": report.events, "revision": report.revision,
        "parts": parts, "partsCut": report.parts.len() > PARTS,
    })
}
