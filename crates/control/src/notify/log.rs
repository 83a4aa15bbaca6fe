//! What was sent to whom, as the operator looks it up.

use tenantry_domain::Timestamp;
use tenantry_domain::id::{EventId, IncidentId, NotificationId, TenantId};
use tenantry_domain::notice::{self, Kind};
use tenantry_domain::page::PageSize;
use tenantry_store::{NotificationFilter, NotificationRow, NotificationState, Page, Waiting};

use super::notes::ways;
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{TenantRef, refuse_store, require};
use crate::tenants::read::request;

/// A notification. Of an address only so much is shown that whoever knows it recognises it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Its id.
    pub id: NotificationId,
    /// The event.
    pub event: EventId,
    /// What it is told as.
    pub kind: Kind,
    /// Whom it is about.
    pub tenant: Option<TenantId>,
    /// The incident that it is about.
    pub incident: Option<IncidentId>,
    /// `mail` or `chat`.
    pub channel: &'static str,
    /// The masked address; absent for chat.
    pub to: Option<String>,
    /// How it stands.
    pub state: NotificationState,
    /// Attempts made.
    pub attempts: i32,
    /// When it was queued.
    pub created_at: Timestamp,
    /// When it is tried next.
    pub due_at: Option<Timestamp>,
    /// When a server took it, or it was given up.
    pub ended_at: Option<Timestamp>,
    /// Why the last attempt failed, or why it was given up.
    pub cause: Option<String>,
}

fn view(row: NotificationRow) -> Notification {
    let state = row.state();
    let to = (!row.is_chat).then(|| notice::mask(&row.address));
    // It is masked when it is written down; earlier releases did not.
    let cause = row.cause.as_deref().map(notice::masked);
    Notification {
        id: row.id,
        event: row.event,
        kind: row.kind,
        tenant: row.tenant,
        incident: row.incident,
        channel: if row.is_chat { "chat" } else { "mail" },
        to,
        state,
        attempts: row.attempts,
        created_at: row.created_at,
        due_at: row.due_at,
        ended_at: row.sent_at.or(row.dropped_at),
        cause,
    }
}

/// A page of notifications, the newest first. They are kept for 30 days.
///
/// # Errors
/// There is no such tenant, or the page token is of no use here.
pub async fn list(
    cx: &Ctx,
    deps: &Deps,
    tenant: Option<&TenantRef>,
    filter: NotificationFilter,
    size: PageSize,
    token: Option<&str>,
) -> Result<Page<Notification>, Refusal> {
    cx.permit_environment("notification.read")?;
    let tenant = match tenant {
        Some(tenant) => Some(require(cx, deps, tenant).await?.id),
        None => None,
    };
    let filter = NotificationFilter { tenant, ..filter };
    let principal = cx.actor.to_string();
    let page = deps.store().read(&cx.environment).notifications(&filter, &request(cx, &principal, size, token)).await;
    let page = page.map_err(refuse_store)?;
    Ok(Page { items: page.items.into_iter().map(view).collect(), next: page.next })
}

/// What waits, and for how many seconds the oldest of it does; nothing while the database is away, and where there is no way to
/// tell anybody: nobody has to be called because of what cannot leave.
pub async fn waiting(deps: &Deps) -> Option<(Waiting, f64)> {
    if ways(deps) == (false, false) {
        return None;
    }
    let waiting = deps.store().notifications_waiting().await.ok()?;
    let seconds = waiting.since.map_or(0.0, |since| deps.now().duration_since(since).as_secs_f64().max(0.0));
    Some((waiting, seconds))
}
