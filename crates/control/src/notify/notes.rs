//! Finds out who is to be told of an event, and queues what is sent.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use tenantry_domain::id::{IncidentId, NotificationId, TenantId};
use tenantry_domain::incident::Scope;
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::notice::{self, Kind};
use tenantry_domain::tenant::contact::{Contacts, Email};
use tenantry_store::{Among, AudienceRow, Matter, NewNotification, NoteRow, StoreError};

use crate::controllers::driver::{Controller, Look};
use crate::deps::Deps;

/// The controller.
#[derive(Debug, Default)]
pub struct Notes {
    /// Notes that were seen in this round and are still there: the next ones are behind them.
    passed: usize,
    /// Whether one of them is to be looked at again at once.
    goes_on: bool,
    /// When it was said last that some cannot be read.
    warned: Option<Instant>,
}

/// Events that one look takes.
const BATCH: usize = 50;

/// Tenants of an incident that are looked at together.
const TENANTS: i64 = 200;

/// Between two warnings of the same.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// So long a topic is not told again: a quota that is crossed, freed and crossed must not fill a mailbox.
const QUIET: SignedDuration = SignedDuration::from_hours(24);

/// The ways on which this installation tells people: by mail, and by chat.
pub(super) fn ways(deps: &Deps) -> (bool, bool) {
    (deps.options().members.mail.is_some(), deps.options().notify.chat.is_some())
}

impl Controller for Notes {
    const NAME: &'static str = "notices";
    const IS_NUDGED: bool = true;

    fn every(&self, deps: &Deps) -> Duration {
        deps.options().tick
    }

    async fn look(&mut self, deps: &Deps) -> Result<Look, StoreError> {
        // A process without any way to tell leaves notes to others.
        if ways(deps) == (false, false) {
            return Ok(Look::Done);
        }
        let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let found = deps.store().notes(whole(BATCH), whole(self.passed)).await;
        let found = found.inspect_err(|_| self.passed = 0)?;
        self.warn(found.unreadable);
        let is_full = found.rows.len() + found.unreadable >= BATCH;
        let (mut left, mut failed) = (found.unreadable, None);
        for note in &found.rows {
            // One event's trouble is not that of the others.
            match tell(deps, note).await {
                Ok(false) => {}
                Ok(true) => {
                    left += 1;
                    self.goes_on = true;
                }
                Err(error) => {
                    tracing::warn!(event = %note.event.id, %error, "it is not known yet who is to be told of an event");
                    left += 1;
                    failed = Some(error);
                }
            }
        }
        // Behind those that stay there may be others: the next look passes over them, and the one at the end begins anew.
        self.passed = if is_full { self.passed + left } else { 0 };
        match failed {
            _ if is_full => Ok(Look::Again),
            Some(error) => Err(error),
            None if std::mem::take(&mut self.goes_on) => Ok(Look::Again),
            None => Ok(Look::Done),
        }
    }
}

impl Notes {
    /// An event of a later release stays until a process of that release comes by, or it is too old; it is said now and then.
    fn warn(&mut self, unreadable: usize) {
        if unreadable > 0 && self.warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            tracing::warn!(count = unreadable, "events that people may have to be told of cannot be read");
            self.warned = Some(Instant::now());
        }
    }
}

/// What a note leads to.
struct Plan {
    matter: Matter,
    among: Option<Among>,
}

async fn plan(deps: &Deps, note: &NoteRow) -> Result<Option<Plan>, StoreError> {
    let event = &note.event;
    let Some(kind) = notice::of(event.kind, &event.data).filter(|kind| deps.options().notify.kinds.has(*kind)) else {
        return Ok(None);
    };
    let mut matter = Matter {
        environment: event.environment.clone(),
        event: event.id,
        kind,
        tenant: event.subject.tenant(),
        incident: None,
        topic: notice::topic(event.kind, &event.data),
    };
    if kind != Kind::Incident {
        return Ok(Some(Plan { among: matter.tenant.map(Among::One), matter }));
    }
    let text = |name: &str| event.data.get(name).and_then(serde_json::Value::as_str);
    let Some(id) = text("incident").and_then(|id| id.parse::<IncidentId>().ok()) else { return Ok(None) };
    let Some(incident) = deps.store().read(&event.environment).incident(id).await? else { return Ok(None) };
    let number = event.data.get("update").and_then(serde_json::Value::as_i64);
    matter.incident = Some((id, number.and_then(|number| i32::try_from(number).ok()).unwrap_or(1)));
    let among = Among::from(&incident.scope);
    Ok(Some(Plan { matter, among: Some(among) }))
}

/// Queues what one event leads to; says whether more tenants are to be looked at.
async fn tell(deps: &Deps, note: &NoteRow) -> Result<bool, StoreError> {
    let (store, event) = (deps.store(), &note.event);
    let Some(Plan { matter, among }) = plan(deps, note).await? else {
        return store.note_dropped(&event.environment, event.id).await.map(|()| false);
    };
    if let (Some(topic), Some(tenant)) = (&matter.topic, matter.tenant) {
        let since = deps.now().saturating_sub(QUIET).unwrap_or_else(|_| deps.now());
        if store.told_lately(&event.environment, (tenant, event.id), topic, since).await? {
            return store.note_dropped(&event.environment, event.id).await.map(|()| false);
        }
    }
    let rows = match &among {
        Some(among) => store.read(&event.environment).audience(among, note.after, TENANTS).await?,
        None => Vec::new(),
    };
    let goes_on =
        matches!(among, Some(Among::Serving(_))) && i64::try_from(rows.len()).is_ok_and(|count| count == TENANTS);
    let next = rows.last().map(|row| row.tenant).filter(|_| goes_on);
    let (by_mail, by_chat) = ways(deps);
    let mut new = Vec::new();
    let mut seen = HashSet::new();
    let mut is_anybodys = among.is_none() || matter.kind == Kind::Incident;
    for row in rows.iter().filter(|row| is_told(matter.kind, row)) {
        is_anybodys = true;
        let addresses = addresses(matter.kind, row);
        let fresh = addresses.into_iter().filter(|email| by_mail && seen.insert(notice::key(email)));
        new.extend(fresh.map(|email| notification(email.as_str(), notice::key(&email), false)));
    }
    if by_chat && is_anybodys && note.after.is_none() {
        new.push(notification("", String::new(), true));
    }
    let queued = store.note_told(&matter, note.after, next, &new, deps.now()).await?;
    if queued.is_some() {
        let chats = new.iter().filter(|one| one.is_chat).count();
        let stats = deps.notified();
        stats.count(true, "queued", u64::try_from(chats).unwrap_or(0));
        stats.count(false, "queued", u64::try_from(new.len() - chats).unwrap_or(0));
    }
    Ok(next.is_some())
}

fn notification(address: &str, key: String, is_chat: bool) -> NewNotification {
    let id = NotificationId::from_uuid(uuid::Uuid::now_v7());
    NewNotification { id, address: address.to_owned(), key, is_chat }
}

/// Tests' tenants are nobody's; and of one that was never served only an incident of its own is news.
fn is_told(kind: Kind, row: &AudienceRow) -> bool {
    !row.is_synthetic && (row.was_served || kind == Kind::Incident)
}

/// An address of a member that contacts could not have is left out: nothing can be sent to it.
pub(super) fn addresses(kind: Kind, row: &AudienceRow) -> Vec<Email> {
    let people: Vec<Email> = row.people.iter().filter_map(|text| Email::parse(text).ok()).collect();
    match &row.contacts {
        Some(contacts) => notice::audience(kind, contacts, &people),
        None => notice::audience(kind, &Contacts::default(), &people),
    }
}

/// How many tenants an incident concerns, and how many mailboxes would be told of it now.
///
/// # Errors
/// Our database's.
pub(crate) async fn reached(
    deps: &Deps,
    environment: &EnvironmentName,
    scope: &Scope,
) -> Result<(usize, usize), StoreError> {
    let reader = deps.store().read(environment);
    let among = Among::from(scope);
    let (mut tenants, mut people): (usize, HashSet<String>) = (0, HashSet::new());
    let mut after: Option<TenantId> = None;
    loop {
        let rows = reader.audience(&among, after, TENANTS).await?;
        for row in rows.iter().filter(|row| is_told(Kind::Incident, row)) {
            tenants += 1;
            people.extend(addresses(Kind::Incident, row).iter().map(notice::key));
        }
        after = rows.last().map(|row| row.tenant);
        let is_last = !i64::try_from(rows.len()).is_ok_and(|count| count == TENANTS);
        if is_last || matches!(among, Among::One(_)) {
            return Ok((tenants, people.len()));
        }
    }
}
