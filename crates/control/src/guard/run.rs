//! Looks that somebody asks for: of a cell by its next turn, of one tenant at once.

use std::sync::Arc;

use serde_json::json;
use tenantry_dataplane::guard::Ward;
use tenantry_domain::audit::Category;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::CellName;
use tenantry_store::{Entry, LookKind};
use tokio::sync::Semaphore;

use super::read::{PlaceView, cell_name, home, tenant};
use super::record::{RecordError, Spot, record};
use super::{Guard, Inspect as _, Place};
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::governance::{self, About};
use crate::refusal::Refusal;
use crate::tenants::edit::{Opened, TenantRef, open, refuse_store, remember, require};
use crate::workflows::site;

/// Looks that one process does at a time because somebody asked for them.
static LOOKS: Semaphore = Semaphore::const_new(4);

/// Asks for a look at a cell that does not wait until it is due. The next free replica takes it within a second.
///
/// # Errors
/// There is no such cell.
pub async fn request(cx: &Ctx, deps: &Deps, name: &str) -> Result<(), Refusal> {
    let permit = cx.permit_environment("isolation.run")?;
    let cell = cell_name(cx, deps, name).await?;
    let mut tx = match open(cx, deps, &permit).await? {
        Opened::Replay(_) => return Ok(()),
        Opened::Fresh(tx) => tx,
    };
    tx.isolation().request(&cell, LookKind::Guard).await.map_err(refuse_store)?;
    remember(cx, &mut tx, &(), None);
    let mut audit = cx.audit(&permit, Category::Access, format!("cell/{cell}"));
    audit.changes = json!({ "kind": LookKind::Guard.as_str() });
    tx.commit(vec![Entry::environment(audit, Vec::new())]).await.map_err(refuse_store)?;
    deps.nudge();
    Ok(())
}

/// Whether a look that was asked for has not ended yet.
///
/// # Errors
/// Our database does not answer.
pub async fn is_pending(cx: &Ctx, deps: &Deps, name: &str) -> Result<bool, Refusal> {
    cx.permit_environment("isolation.read")?;
    let cell: CellName = cell_name(cx, deps, name).await?;
    let turn = deps.store().read(&cx.environment).isolation_turn(&cell, LookKind::Guard).await.map_err(refuse_store)?;
    Ok(turn.is_some_and(|turn| turn.requested_at.is_some()))
}

/// Looks at the database that a tenant's data is in, now, and gives what was found.
///
/// # Errors
/// There is no such tenant, it has no place, or its cell does not answer.
pub async fn look(cx: &Ctx, deps: &Deps, reference: &TenantRef) -> Result<PlaceView, Refusal> {
    let row = require(cx, deps, reference).await?;
    let permit = cx.permit("isolation.run", row.id)?;
    let Some(placement) = &row.placement else { return Err(Refusal::NoPlace(row.slug.to_string())) };
    let away = |_| Refusal::Cell(placement.cell.to_string());
    let cell = site::cell(deps, &cx.environment, &placement.cell).await.map_err(away)?;
    let space = site::space(deps.store(), &row, placement, cx.now).await.map_err(away)?;
    let (place, ward) = match placement.isolation {
        Isolation::Shared | Isolation::Schema => (home(&row), Ward::Home(Arc::clone(&space.app))),
        Isolation::Database | Isolation::Cluster => (Place::Own(row.id), Ward::Own(space)),
    };
    let mut tx = deps.store().write(&permit, cx.now).await.map_err(refuse_store)?;
    governance::rule(cx, deps, &permit, &mut tx, About::default()).await?;
    let mut audit = cx.audit(&permit, Category::Access, format!("tenant/{}", row.slug));
    audit.changes = json!({ "kind": LookKind::Guard.as_str(), "place": place.to_string() });
    tx.commit(vec![Entry::tenant(row.id, audit, Vec::new())]).await.map_err(refuse_store)?;
    // Waits for its turn: looks that people ask for must not add up to a load of their own.
    let _turn = LOOKS.acquire().await.ok();
    let found = Guard::look(deps, &cell, &ward).await;
    let report = found.map_err(|error| {
        tracing::warn!(cell = %placement.cell, %place, %error, "the place cannot be looked at");
        Refusal::Cell(placement.cell.to_string())
    })?;
    let report = report.ok_or_else(|| Refusal::NoPlace(row.slug.to_string()))?;
    let spot = Spot { environment: &cx.environment, cell: &placement.cell, kind: LookKind::Guard, place: &place };
    record(deps, spot, &report).await.map_err(|error| match error {
        RecordError::Store(error) => refuse_store(error),
        error @ (RecordError::Sign(_) | RecordError::NoKey) => {
            tracing::error!(%error, "a report was not kept");
            Refusal::Internal(tenantry_store::StoreError::Unreadable { what: "report" })
        }
    })?;
    tenant(cx, deps, reference).await
}
