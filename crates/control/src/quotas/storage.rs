//! Measures what tenants' data takes on their cells, and keeps the quota `storage` at that.
//!
//! One process at a time has a cell's turn, asks for some hundred tenants in one question, and writes what is news. A level that is
//! too high refuses nothing that the tenant writes on its cell; what the control plane gives out is refused then ([`held_up`]).
//! INVARIANT: the quota is what was found last; nothing is added up.

use std::collections::BTreeMap;

use serde_json::json;
use tenantry_domain::audit::Category;
use tenantry_domain::event;
use tenantry_domain::id::TenantId;
use tenantry_domain::limit::level::{STORAGE, is_news};
use tenantry_domain::limit::{Bound, Mode, QuotaName};
use tenantry_domain::name::{AppName, CellName, EnvironmentName};
use tenantry_domain::plan::entitlement::{self, Entitlements};
use tenantry_domain::policy::{self, Actor, Rights, Scope};
use tenantry_store::{CatalogKind, Entry, StoreError, StoredTenant, UsedUp, WriteTx};

use super::entitlements;
use crate::ctx::Ctx;
use crate::deps::{Deps, mint};
use crate::workflows::site;

/// Tenants that one question is about.
const BATCH: u32 = 200;

/// The bound by which a level is judged; absent where the plan does not name the quota, or says that it is off.
fn measured(all: &Entitlements) -> Option<Bound> {
    all.quotas.get(STORAGE).map(|derived| derived.value).filter(|bound| bound.mode != Mode::Off)
}

/// Measures the cells whose turn is due.
///
/// # Errors
/// Our database does not answer. A cell that does not is left for its next turn.
pub(crate) async fn measure(deps: &Deps) -> Result<(), StoreError> {
    let Some(every) = deps.options().storage else { return Ok(()) };
    for environment in deps.store().environments().await? {
        let reader = deps.store().read(&environment.name);
        for row in reader.catalog_list(CatalogKind::Cell).await? {
            let Ok(cell) = CellName::parse(&row.name) else { continue };
            if deps.store().storage_turn(&environment.name, &cell, deps.now(), every).await? {
                of_cell(deps, &environment.name, &cell).await?;
            }
        }
    }
    Ok(())
}

/// Measures the tenants of a cell; each is judged by the version of its plan that it has.
async fn of_cell(deps: &Deps, environment: &EnvironmentName, cell: &CellName) -> Result<(), StoreError> {
    let reader = deps.store().read(environment);
    let mut behind = None;
    loop {
        let page = reader.stored_tenants(cell, behind, BATCH).await?;
        let Some(last) = page.last() else { return Ok(()) };
        behind = Some(last.id);
        let mut apps: BTreeMap<AppName, Vec<(StoredTenant, Bound)>> = BTreeMap::new();
        for tenant in page {
            let text = tenant.text.as_ref();
            let all = text.map(|plan| entitlement::derive(&tenant.plan, plan, &tenant.overrides, deps.now()));
            if let Some(bound) = all.as_ref().and_then(measured) {
                apps.entry(tenant.app.clone()).or_default().push((tenant, bound));
            }
        }
        for (app, tenants) in apps {
            of_app(deps, environment, cell, &app, &tenants).await?;
        }
    }
}

async fn of_app(
    deps: &Deps,
    environment: &EnvironmentName,
    cell: &CellName,
    app: &AppName,
    tenants: &[(StoredTenant, Bound)],
) -> Result<(), StoreError> {
    let sizes = async {
        let target = site::app(deps.store(), environment, app, cell, None).await?;
        let wanted: Vec<_> = tenants.iter().map(|(tenant, _)| (tenant.id, tenant.isolation)).collect();
        let handle = site::cell(deps, environment, cell).await?;
        handle.sizes(&target, &wanted).await.map_err(crate::workflows::cause)
    };
    let sizes: BTreeMap<TenantId, u64> = match sizes.await {
        Ok(sizes) => sizes.into_iter().collect(),
        Err(cause) => {
            tracing::warn!(%cell, %app, code = cause.code, cause = cause.message, "what tenants' data takes is not measured now");
            return Ok(());
        }
    };
    for (tenant, bound) in tenants {
        let Some(found) = sizes.get(&tenant.id).copied() else { continue };
        if !is_news(bound, tenant.known, found) {
            continue;
        }
        // One tenant that cannot be written holds up nobody behind it.
        if let Err(error) = write(deps, environment, tenant.id, found).await {
            tracing::warn!(tenant = %tenant.id, %error, "what a tenant's data takes was not written yet");
        }
    }
    Ok(())
}

async fn write(deps: &Deps, environment: &EnvironmentName, tenant: TenantId, found: u64) -> Result<(), StoreError> {
    let request_id = mint::request();
    let cx = Ctx {
        actor: Actor::controller("storage"),
        person: None,
        rights: Rights::all(),
        environment: environment.clone(),
        request_id,
        correlation_id: request_id.to_string(),
        now: deps.now(),
        idempotency: None,
    };
    let permit = policy::controller("quota.set", Scope::tenant(environment.clone(), tenant));
    let mut tx = deps.store().write(&permit, cx.now).await?;
    let row = tx.tenants().lock(tenant).await?;
    let all = entitlements(&cx, &mut tx, &row).await.ok();
    let (Some(bound), Ok(quota)) = (all.as_ref().and_then(measured), QuotaName::parse(STORAGE)) else {
        tx.rollback().await;
        return Ok(());
    };
    let taken = tx.quotas().recount(tenant, &quota, found, &bound).await?;
    let events: Vec<event::Draft> = taken.events();
    let mut audit = cx.audit(&permit, Category::Transition, format!("tenant/{}", row.slug));
    audit.changes = json!({ "quota": quota, "used": taken.used });
    tx.commit(vec![Entry::tenant(tenant, audit, events)]).await?;
    deps.nudge();
    Ok(())
}

/// The hard storage of a tenant, where it has more than that: it is given nothing more until there is less.
///
/// # Errors
/// Our database's.
pub(super) async fn held_up(
    tx: &mut WriteTx,
    tenant: TenantId,
    all: &Entitlements,
) -> Result<Option<(Bound, UsedUp)>, StoreError> {
    let Some((bound, limit)) = measured(all).and_then(|bound| Some((bound, bound.most()?))) else { return Ok(None) };
    let stored = tx.quotas().list(tenant).await?;
    let found = stored.into_iter().find(|row| row.name.as_str() == STORAGE && row.used > limit);
    Ok(found.map(|row| (bound, UsedUp { quota: row.name, used: row.used, reserved: row.reserved, limit, asked: 0 })))
}
