//! Incidents: something is wrong with the service, and whom it concerns is told, update by update.
//!
//! An incident of one tenant is a fact of that tenant's sequence; one of a cell or of all is a fact of the environment's, so that
//! opening it costs one commit however many it concerns. Who is told is found out by [`crate::notify`], for each update anew.
//!
//! INVARIANT: nothing follows an update that says `resolved`.

mod read;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_domain::Timestamp;
use tenantry_domain::audit::Category;
use tenantry_domain::code::FieldError;
use tenantry_domain::event::{self, Type};
use tenantry_domain::id::IncidentId;
use tenantry_domain::incident::{self, Phase, Scope, Severity};
use tenantry_domain::name::CellName;
use tenantry_domain::policy::Permit;
use tenantry_store::{CatalogKind, Entry, IncidentRow, WriteTx};

pub use read::{Detail, Preview, get, list, preview, preview_update};

use crate::ctx::Ctx;
use crate::deps::{Deps, mint};
use crate::refusal::Refusal;
use crate::tenants::edit::{Opened, TenantRef, open as begin, refuse_store, remember, replayed, require};

/// An incident, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    /// Its id.
    pub id: IncidentId,
    /// Whom it concerns.
    pub scope: Scope,
    /// How bad it is.
    pub severity: Severity,
    /// In a line.
    pub title: String,
    /// How far it is.
    pub phase: Phase,
    /// How many updates there are.
    pub updates: i32,
    /// When it was opened.
    pub created_at: Timestamp,
    /// Who opened it.
    pub created_by: String,
    /// When there was news.
    pub updated_at: Timestamp,
    /// Since when it is over.
    pub resolved_at: Option<Timestamp>,
}

impl From<IncidentRow> for Incident {
    fn from(row: IncidentRow) -> Self {
        Self {
            id: row.id,
            scope: row.scope,
            severity: row.severity,
            title: row.title,
            phase: row.phase,
            updates: row.updates,
            created_at: row.created_at,
            created_by: row.created_by,
            updated_at: row.updated_at,
            resolved_at: row.resolved_at,
        }
    }
}

/// Whom an incident is to concern, as a caller names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// A tenant.
    Tenant(TenantRef),
    /// The tenants of a cell.
    Cell(CellName),
    /// All.
    All,
}

/// An incident that is to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Whom it concerns.
    pub whom: Whom,
    /// How bad it is.
    pub severity: Severity,
    /// In a line.
    pub title: String,
    /// How far it is.
    pub phase: Phase,
    /// What is known.
    pub message: String,
}

/// What is to be said of an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// How far it is.
    pub phase: Phase,
    /// What is known.
    pub message: String,
}

/// Opens an incident and tells whom it concerns.
///
/// # Errors
/// A text is not acceptable, or there is no such tenant or cell.
pub async fn open(cx: &Ctx, deps: &Deps, wanted: Wanted) -> Result<Incident, Refusal> {
    cx.may("incident.open")?;
    check(Some(&wanted.title), &wanted.message)?;
    let scope = scope(cx, deps, &wanted.whom).await?;
    let permit = permit(cx, "incident.open", &scope)?;
    let mut tx = match begin(cx, deps, &permit).await? {
        Opened::Replay(answer) => return replayed(answer),
        Opened::Fresh(tx) => tx,
    };
    let now = tx.now();
    let row = IncidentRow {
        id: mint::incident(),
        scope,
        severity: wanted.severity,
        title: wanted.title,
        phase: wanted.phase,
        updates: 1,
        created_at: now,
        created_by: cx.actor.to_string(),
        updated_at: now,
        resolved_at: (wanted.phase == Phase::Resolved).then_some(now),
    };
    tx.incidents().open(&row, &wanted.message);
    finish(cx, deps, &permit, tx, row, &wanted.message, Type::IncidentOpened).await
}

/// Says what is new, and tells whom it concerns.
///
/// # Errors
/// There is no such incident, it is over, or the text is not acceptable.
pub async fn update(cx: &Ctx, deps: &Deps, id: IncidentId, said: Said) -> Result<Incident, Refusal> {
    cx.may("incident.update")?;
    check(None, &said.message)?;
    let found = read::known(cx, deps, id).await?;
    let permit = permit(cx, "incident.update", &found.scope)?;
    let mut tx = match begin(cx, deps, &permit).await? {
        Opened::Replay(answer) => return replayed(answer),
        Opened::Fresh(tx) => tx,
    };
    let found = tx.incidents().lock(id).await.map_err(refuse_store)?;
    let mut row = found.ok_or_else(|| Refusal::NoIncident(id.to_string()))?;
    may_follow(&row)?;
    let now = tx.now();
    row.updates += 1;
    row.phase = said.phase;
    row.updated_at = now;
    row.resolved_at = (said.phase == Phase::Resolved).then_some(now);
    tx.incidents().update(&row, &said.message, &cx.actor.to_string());
    let kind = said.phase.event();
    finish(cx, deps, &permit, tx, row, &said.message, kind).await
}

fn may_follow(row: &IncidentRow) -> Result<(), Refusal> {
    if row.phase == Phase::Resolved {
        return Err(Refusal::IncidentOver(row.id.to_string()));
    }
    if row.updates >= incident::UPDATES {
        let message = format!("an incident has at most {} updates; open another one", incident::UPDATES);
        return Err(Refusal::Request(vec![FieldError::new("message", message)]));
    }
    Ok(())
}

fn check(title: Option<&str>, message: &str) -> Result<(), Refusal> {
    let title = title.map_or(Ok(()), incident::check_title).map_err(|why| FieldError::new("title", why));
    let message = incident::check_message(message).map_err(|why| FieldError::new("message", why));
    let wrong: Vec<FieldError> = [title.err(), message.err()].into_iter().flatten().collect();
    if wrong.is_empty() { Ok(()) } else { Err(Refusal::Request(wrong)) }
}

async fn scope(cx: &Ctx, deps: &Deps, whom: &Whom) -> Result<Scope, Refusal> {
    Ok(match whom {
        Whom::All => Scope::All,
        Whom::Tenant(tenant) => Scope::Tenant(require(cx, deps, tenant).await?.id),
        Whom::Cell(cell) => {
            let reader = deps.store().read(&cx.environment);
            let found = reader.catalog(CatalogKind::Cell, cell.as_str()).await.map_err(refuse_store)?;
            let missing = || Refusal::NoObject { kind: "cell".to_owned(), name: cell.to_string() };
            found.map(|_| Scope::Cell(cell.clone())).ok_or_else(missing)?
        }
    })
}

fn permit(cx: &Ctx, action: &'static str, scope: &Scope) -> Result<Permit, Refusal> {
    Ok(match scope {
        Scope::Tenant(tenant) => cx.permit(action, *tenant)?,
        Scope::Cell(_) | Scope::All => cx.permit_environment(action)?,
    })
}

fn told(row: &IncidentRow, message: &str) -> Value {
    let cell = match &row.scope {
        Scope::Cell(cell) => Some(cell),
        Scope::Tenant(_) | Scope::All => None,
    };
    json!({
        "incident": row.id, "scope": row.scope.as_str(), "cell": cell, "severity": row.severity, "title": row.title,
        "phase": row.phase, "update": row.updates, "message": message,
    })
}

/// Records a change, and makes it last.
async fn finish(
    cx: &Ctx,
    deps: &Deps,
    permit: &Permit,
    mut tx: WriteTx,
    row: IncidentRow,
    message: &str,
    kind: Type,
) -> Result<Incident, Refusal> {
    let data = told(&row, message);
    let scope = row.scope.clone();
    let shown = Incident::from(row);
    remember(cx, &mut tx, &shown, None);
    let mut audit = cx.audit(permit, Category::Workflow, format!("incident/{}", shown.id));
    audit.changes = data.clone();
    let events = vec![event::Draft::new(kind, data)];
    let entry = match scope {
        Scope::Tenant(tenant) => Entry::tenant(tenant, audit, events),
        Scope::Cell(_) | Scope::All => Entry::environment(audit, events),
    };
    tx.commit(vec![entry]).await.map_err(refuse_store)?;
    deps.nudge();
    Ok(shown)
}
