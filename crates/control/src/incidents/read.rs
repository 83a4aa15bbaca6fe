//! Incidents as callers see them, and what telling of one would look like.

use tenantry_domain::id::{IncidentId, TenantId};
use tenantry_domain::incident::Scope;
use tenantry_domain::name::CellName;
use tenantry_domain::notice::Kind;
use tenantry_domain::page::PageSize;
use tenantry_store::{IncidentFilter, IncidentProgress, IncidentRow, IncidentUpdateRow, Page, TenantKey, Told};

use super::{Incident, Said, Wanted, check, may_follow, permit, scope};
use crate::ctx::Ctx;
use crate::deps::{Deps, mint};
use crate::notify::{self, templates};
use crate::refusal::Refusal;
use crate::tenants::edit::{TenantRef, refuse_store, require};
use crate::tenants::read::request;

/// An incident with all that was said of it, and how far telling is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    /// The incident.
    pub incident: Incident,
    /// What was said, in order.
    pub updates: Vec<IncidentUpdateRow>,
    /// How many were told; absent for a caller of one tenant, who learns nothing of others.
    pub progress: Option<IncidentProgress>,
}

/// What telling would look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The subject of the mail.
    pub subject: String,
    /// Its text.
    pub body: String,
    /// How many tenants it concerns.
    pub tenants: usize,
    /// How many mailboxes would get it.
    pub people: usize,
    /// Whether mail is configured and incidents are told of.
    pub by_mail: bool,
    /// Whether the operator's chat is told.
    pub by_chat: bool,
}

fn cell_of(row: &tenantry_store::TenantRow) -> Option<CellName> {
    row.placement.as_ref().map(|placement| placement.cell.clone())
}

/// The cell that the caller's own tenant is in, if the caller is bound to one.
async fn own(cx: &Ctx, deps: &Deps) -> Result<Option<(TenantId, Option<CellName>)>, Refusal> {
    let Some(own) = cx.rights.tenant else { return Ok(None) };
    let row = deps.store().read(&cx.environment).tenant(TenantKey::Id(own)).await.map_err(refuse_store)?;
    Ok(Some((own, row.as_ref().and_then(cell_of))))
}

/// Finds an incident. One that does not concern the caller's tenant is none.
pub(super) async fn known(cx: &Ctx, deps: &Deps, id: IncidentId) -> Result<IncidentRow, Refusal> {
    let row = deps.store().read(&cx.environment).incident(id).await.map_err(refuse_store)?;
    let own = own(cx, deps).await?;
    let concerns = |scope: &Scope| own.as_ref().is_none_or(|(tenant, cell)| scope.concerns(*tenant, cell.as_ref()));
    row.filter(|row| concerns(&row.scope)).ok_or_else(|| Refusal::NoIncident(id.to_string()))
}

/// One incident.
///
/// # Errors
/// There is none, or it does not concern the caller's tenant.
pub async fn get(cx: &Ctx, deps: &Deps, id: IncidentId) -> Result<Detail, Refusal> {
    cx.may("incident.read")?;
    let row = known(cx, deps, id).await?;
    let reader = deps.store().read(&cx.environment);
    let updates = reader.incident_updates(id).await.map_err(refuse_store)?;
    let progress = match cx.rights.tenant {
        None => Some(reader.incident_progress(id).await.map_err(refuse_store)?),
        Some(_) => None,
    };
    Ok(Detail { incident: row.into(), updates, progress })
}

/// A page of incidents, the newest first: all, or those that concern a tenant as it is placed now.
///
/// # Errors
/// There is no such tenant, or the page token is of no use here.
pub async fn list(
    cx: &Ctx,
    deps: &Deps,
    (tenant, is_open): (Option<&TenantRef>, bool),
    size: PageSize,
    token: Option<&str>,
) -> Result<Page<Incident>, Refusal> {
    cx.may("incident.read")?;
    let concerning = match tenant {
        Some(tenant) => {
            let row = require(cx, deps, tenant).await?;
            Some((row.id, cell_of(&row)))
        }
        None => own(cx, deps).await?,
    };
    let filter = IncidentFilter { is_open, concerning };
    let principal = cx.actor.to_string();
    let page = deps.store().read(&cx.environment).incidents(&filter, &request(cx, &principal, size, token)).await;
    let page = page.map_err(refuse_store)?;
    Ok(Page { items: page.items.into_iter().map(Incident::from).collect(), next: page.next })
}

/// What opening an incident would tell, and how many. Nothing is changed.
///
/// # Errors
/// As [`super::open`], and a template that is broken.
pub async fn preview(cx: &Ctx, deps: &Deps, wanted: &Wanted) -> Result<Preview, Refusal> {
    cx.may("incident.open")?;
    check(Some(&wanted.title), &wanted.message)?;
    let scope = scope(cx, deps, &wanted.whom).await?;
    permit(cx, "incident.open", &scope)?;
    let told = Told {
        id: mint::incident(),
        title: wanted.title.clone(),
        severity: wanted.severity,
        phase: wanted.phase,
        message: wanted.message.clone(),
        is_old: false,
    };
    show(cx, deps, &scope, &told).await
}

/// What an update of an incident would tell, and how many. Nothing is changed.
///
/// # Errors
/// As [`super::update`], and a template that is broken.
pub async fn preview_update(cx: &Ctx, deps: &Deps, id: IncidentId, said: &Said) -> Result<Preview, Refusal> {
    cx.may("incident.update")?;
    check(None, &said.message)?;
    let row = known(cx, deps, id).await?;
    permit(cx, "incident.update", &row.scope)?;
    may_follow(&row)?;
    let told = Told {
        id,
        title: row.title,
        severity: row.severity,
        phase: said.phase,
        message: said.message.clone(),
        is_old: false,
    };
    show(cx, deps, &row.scope, &told).await
}

async fn show(cx: &Ctx, deps: &Deps, scope: &Scope, told: &Told) -> Result<Preview, Refusal> {
    let (tenants, people) = notify::reached(deps, &cx.environment, scope).await.map_err(refuse_store)?;
    let whose = match scope {
        Scope::Tenant(tenant) => {
            let row = require(cx, deps, &TenantRef::Id(*tenant)).await?;
            Some((row.slug.to_string(), row.spec.display_name))
        }
        Scope::Cell(_) | Scope::All => None,
    };
    let options = &deps.options().notify;
    let is_told = options.kinds.has(Kind::Incident);
    let name = templates::name(Kind::Incident, Some(told.phase));
    let facts = notify::of_incident(cx.environment.as_str(), told, whose.as_ref(), cx.now);
    let text = options.templates.fill(name, &facts).map_err(Refusal::Template)?;
    Ok(Preview {
        subject: text.subject,
        body: text.body,
        tenants,
        people,
        by_mail: is_told && deps.options().members.mail.is_some(),
        by_chat: is_told && options.chat.is_some(),
    })
}
