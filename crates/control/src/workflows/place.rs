//! Step `place`: choose a cell, count the tenant in, and the way back.

use serde_json::{Value, json};
use tenantry_domain::cell::CellLoad;
use tenantry_domain::code::Code;
use tenantry_domain::placement::{self, Placement};
use tenantry_domain::plan::{PlanSpec, entitlement, promise};
use tenantry_domain::workflow::{Cause, StepName};
use tenantry_domain::{app, audit, event};
use tenantry_store::{CatalogKind, Entry, WriteTx};

use crate::deps::Deps;
use crate::engine::{Call, Local};
use crate::governance::{self, About};
use crate::guard::probe::CELL;
use crate::refusal::Refusal;
use crate::tenants::{demand, promises};
use crate::workflows::records::draft;
use crate::workflows::{refused, store_cause};

/// Decides under the lock of the cells' counters, so that parallel placements cannot overfill a cell.
pub(super) async fn choose(deps: &Deps, call: &Call, tx: &mut WriteTx) -> Result<Local, Cause> {
    tx.cells().regions_stay().await.map_err(store_cause)?;
    let row = tx.tenants().lock(call.tenant).await.map_err(store_cause)?;
    let missing =
        |kind: &str, name: &str| refused(Code::InvalidReference, format_args!("{kind} `{name}` does not exist"));
    let plan = tx.catalog().plan_of(&row).await.map_err(store_cause)?;
    let plan = plan.ok_or_else(|| missing("plan", row.spec.plan.as_str()))?;
    let plan: PlanSpec = serde_json::from_value(plan.spec).map_err(|error| refused(Code::Internal, error))?;
    let app = tx.catalog().get(CatalogKind::App, row.spec.app.as_str()).await.map_err(store_cause)?;
    let app = app.ok_or_else(|| missing("app", row.spec.app.as_str()))?;
    let app: app::Spec = serde_json::from_value(app.spec).map_err(|error| refused(Code::Internal, error))?;
    let entitled = entitlement::derive(&row.spec.plan, &plan, &row.spec.overrides, call.now);
    let level = entitled.isolation.value;
    app.fits(level).map_err(|unfit| refused(Code::AppUnfit, unfit))?;
    let mut loads: Vec<CellLoad> = tx.cells().loads().await.map_err(store_cause)?;
    // Canary tenants try one cell; a customer's place is chosen by the rules alone.
    if let Some(only) = row.spec.labels.get(CELL).filter(|_| row.spec.business.synthetic) {
        loads.retain(|load| load.name.as_str() == only);
    }
    promises::held(tx, &mut loads, Some(row.id), call.now).await.map_err(store_cause)?;
    let demand = demand::held(tx, level, &row.spec, row.id).await.map_err(store_cause)?;
    let demand = demand.promising(promise::of(&entitled));
    let decision = placement::decide(&demand, &loads)
        .map_err(|error| refused(Code::NoCapacity, format_args!("{error}: {}", error.hint())))?;
    let chosen = loads.iter().find(|load| load.name == decision.cell).map(|load| &load.spec);
    let about = chosen.into_iter().fold(About::default().level(level), About::at);
    governance::rule_ours(deps, "placement.decide", &row, about, call.now).await.map_err(ruled_out)?;
    let capacity = chosen.map_or(0, |cell| cell.capacity.of(level));
    tx.cells().take(&decision.cell, level, demand.size.weight(), capacity).await.map_err(store_cause)?;
    let generation = row.placement_generation + 1;
    let placement =
        Placement { region: decision.region.clone(), cell: decision.cell.clone(), isolation: level, generation };
    tx.tenants().set_placement(call.tenant, Some(&placement)).map_err(store_cause)?;
    let mut audit = draft(call, "placement.decide", audit::Category::Transition, row.slug.as_str());
    audit.changes =
        json!({ "cell": placement.cell, "region": placement.region, "isolation": level, "generation": generation });
    let data =
        json!({ "cell": placement.cell, "region": placement.region, "isolation": level, "generation": generation });
    let entry = Entry::tenant(call.tenant, audit, vec![event::Draft::new(event::Type::PlacementDecided, data)]);
    let output = json!({ "placement": placement, "decision": decision, "weight": demand.size.weight() });
    Ok(Local { output, entries: vec![entry] })
}

/// What becomes of a workflow whose next step the rules do not allow. Who cannot be asked is asked again.
fn ruled_out(refusal: Refusal) -> Cause {
    let message = format!("{refusal}: {}", refusal.hint());
    let retryable = matches!(refusal, Refusal::NoPolicy(_));
    Cause { code: refusal.code().to_string(), message, retryable }
}

/// Gives the places back.
pub(super) async fn release(call: &Call, tx: &mut WriteTx) -> Result<Local, Cause> {
    let row = tx.tenants().lock(call.tenant).await.map_err(store_cause)?;
    let mut audit = draft(call, "placement.release", audit::Category::Transition, row.slug.as_str());
    // Without an output the step never committed, so nothing was taken.
    if let Some(output) = call.outputs.get(&StepName::Place) {
        let placement: Placement = output
            .get("placement")
            .cloned()
            .map(serde_json::from_value)
            .transpose()
            .ok()
            .flatten()
            .ok_or_else(|| refused(Code::Internal, "the journal holds no readable placement"))?;
        // The size of now: whoever changed it meanwhile has changed the count of the cell with it.
        let weight = row.spec.business.size.weight();
        tx.cells().release(&placement.cell, placement.isolation, weight).await.map_err(store_cause)?;
        tx.tenants().set_placement(call.tenant, None).map_err(store_cause)?;
        audit.changes = json!({ "cell": placement.cell, "isolation": placement.isolation });
    }
    Ok(Local { output: Value::Null, entries: vec![Entry::tenant(call.tenant, audit, Vec::new())] })
}
