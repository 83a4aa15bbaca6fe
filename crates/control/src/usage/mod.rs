//! Usage of tenants: events that count, reports of what they came to, and telling the world when an hour has closed.
//!
//! Counting is no decision about anybody, so it asks no governance rule and leaves no audit entry; whose usage a caller may
//! send is judged for each event. What is told of an hour is an event with an entry, like all others.

mod ingest;
mod quota;
mod report;
mod told;

pub use ingest::{Counted, Days, ingest};
pub(crate) use quota::settle;
pub use report::{Asked, Ranking, Report, ranking, report};
pub(crate) use told::tell;

/// How the doors read events; whoever measures counting does the same.
pub use tenantry_api::parse::usage::events as read_events;
use tenantry_domain::name::{EnvironmentName, MeterName};
use tenantry_domain::policy::{Actor, Rights};
use tenantry_domain::usage::MeterSpec;
use tenantry_store::{CatalogKind, WriteTx};
pub use tenantry_store::{UsageRow, UsageShare};

use crate::ctx::Ctx;
use crate::deps::{Deps, mint};
use crate::refusal::Refusal;
use crate::tenants::edit::refuse_store;

/// Insists that what was counted keeps its meaning.
pub(crate) async fn check_meter(tx: &mut WriteTx, name: &MeterName, spec: &MeterSpec) -> Result<(), Refusal> {
    let is_fixed = tx.usage().counts_otherwise(name, spec.aggregation).await.map_err(refuse_store)?;
    if is_fixed { Err(Refusal::MeterFixed(name.to_string())) } else { Ok(()) }
}

/// The circumstances of what the controller does by itself.
fn ours(deps: &Deps, environment: &EnvironmentName) -> Ctx {
    let request_id = mint::request();
    Ctx {
        actor: Actor::controller("usage"),
        person: None,
        rights: Rights::all(),
        environment: environment.clone(),
        request_id,
        correlation_id: request_id.to_string(),
        now: deps.now(),
        idempotency: None,
    }
}

/// A meter of the environment.
async fn meter(cx: &Ctx, deps: &Deps, name: &MeterName) -> Result<MeterSpec, Refusal> {
    let found = deps.store().read(&cx.environment).catalog(CatalogKind::Meter, name.as_str()).await;
    let absent = || Refusal::NoMeter(name.to_string());
    let row = found.map_err(refuse_store)?.ok_or_else(absent)?;
    serde_json::from_value(row.spec).map_err(|_| absent())
}
