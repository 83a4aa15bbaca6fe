//! Sends what is queued on one way: makes the text, hands it to the mail server or the chat, and notes what came of it.
//!
//! INVARIANT: what leaves is still true, and goes to somebody who is still told of this tenant, by what is known when the attempt
//! begins.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tenantry_domain::notice::{self, Kind};
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_store::{Among, OutgoingRow, StoreError};

use super::templates::Text;
use super::{NEWS, OLD, chat, facts, notes, templates};
use crate::controllers::driver::{Controller, Look};
use crate::controllers::in_hand::InHand;
use crate::deps::Deps;
use crate::members::mail::{self, Fate, Letter, Mailer, SendError};

/// Notifications that are sent at the same time.
const AT_ONCE: usize = 16;

/// A way on which people are told. Each has a courier of its own, so that one that hangs holds up no other.
pub trait Way: Send + Sync + 'static {
    /// The courier's name in logs.
    const NAME: &'static str;
    /// Whether it is mail, and whether it is the chat.
    const IS: (bool, bool);
    /// How long a notification is one replica's: longer than an attempt can take.
    const LEASE: Duration;

    /// Sends a text. It is sent when somebody else has taken responsibility for it.
    fn send(&self, deps: &Deps, row: &OutgoingRow, text: Text) -> impl Future<Output = Result<(), SendError>> + Send;
}

/// By a mail server.
#[derive(Debug)]
pub struct ByMail<M>(pub M);

impl<M: Mailer> Way for ByMail<M> {
    const NAME: &'static str = "notifications by mail";
    const IS: (bool, bool) = (true, false);
    const LEASE: Duration = mail::LEASE;

    async fn send(&self, deps: &Deps, row: &OutgoingRow, text: Text) -> Result<(), SendError> {
        let Some(options) = &deps.options().members.mail else {
            return Err(SendError::Later("mail is not configured here".to_owned()));
        };
        let letter = Letter::plain(&options.from, row.id.uuid(), &row.address, text.subject, text.body, deps.now());
        self.0.send(letter).await
    }
}

/// By the operator's chat.
#[derive(Debug)]
pub struct ByChat;

impl Way for ByChat {
    const NAME: &'static str = "notifications by chat";
    const IS: (bool, bool) = (false, true);
    const LEASE: Duration = Duration::from_secs(90);

    async fn send(&self, deps: &Deps, row: &OutgoingRow, text: Text) -> Result<(), SendError> {
        chat::send(deps, row, &text).await
    }
}

/// Sends what is due on its way.
pub struct Courier<W> {
    way: Arc<W>,
    in_hand: InHand,
}

impl<W> Courier<W> {
    /// One of a way.
    pub fn new(way: W) -> Self {
        Self { way: Arc::new(way), in_hand: InHand::new(AT_ONCE) }
    }
}

impl<W: Way> fmt::Debug for Courier<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Courier({})", W::NAME)
    }
}

impl<W: Way> Controller for Courier<W> {
    const NAME: &'static str = W::NAME;
    const IS_NUDGED: bool = true;

    fn every(&self, deps: &Deps) -> Duration {
        deps.options().tick
    }

    async fn look(&mut self, deps: &Deps) -> Result<Look, StoreError> {
        let room = self.in_hand.room().await;
        let most = i64::try_from(room).unwrap_or(1);
        let claimed = deps.store().claim_notifications(deps.now(), W::LEASE, most, W::IS).await?;
        for row in claimed.rows {
            self.in_hand.take(one(deps.clone(), Arc::clone(&self.way), row));
        }
        Ok(if claimed.taken >= room { Look::Again } else { Look::Done })
    }

    async fn end(&mut self) {
        self.in_hand.end().await;
    }
}

/// What came of an attempt.
enum Outcome {
    Sent,
    Void(&'static str),
    Failed(SendError),
}

async fn one<W: Way>(deps: Deps, way: Arc<W>, row: OutgoingRow) -> Result<(), StoreError> {
    let (store, stats, row) = (deps.store(), deps.notified(), &row);
    let error = match attempt(&deps, &*way, row).await? {
        Outcome::Sent => {
            stats.count(row.is_chat, "sent", 1);
            return store.notification_sent(row, deps.now()).await;
        }
        Outcome::Void(why) => {
            stats.count(row.is_chat, "dropped", 1);
            return store.notification_dropped(row, deps.now(), why).await;
        }
        Outcome::Failed(error) => error,
    };
    let (cause, attempt) = (error.to_string(), row.attempt);
    match Fate::of(error, row.cause.as_deref()) {
        Fate::Dropped(why) => {
            tracing::warn!(notification = %row.id, kind = %row.kind, attempt, cause, "a notification was given up");
            stats.count(row.is_chat, "dropped", 1);
            store.notification_dropped(row, deps.now(), &why).await
        }
        Fate::Again(why) => {
            tracing::warn!(notification = %row.id, kind = %row.kind, attempt, cause, "a notification was not sent");
            stats.count(row.is_chat, "failed", 1);
            let due = mail::next(deps.now(), deps.options().notify.pause, row.attempt);
            store.notification_later(row, due, &why).await
        }
    }
}

async fn attempt<W: Way>(deps: &Deps, way: &W, row: &OutgoingRow) -> Result<Outcome, StoreError> {
    if let Some(why) = overtaken(row) {
        return Ok(Outcome::Void(why));
    }
    if deps.now().duration_since(row.created_at) > NEWS {
        return Ok(Outcome::Void(OLD));
    }
    if row.attempt > 1 && !is_still_told(deps, row).await? {
        return Ok(Outcome::Void("whoever it was for is not told of this tenant any more"));
    }
    let name = templates::name(row.kind, row.incident.as_ref().map(|told| told.phase));
    let text = match deps.options().notify.templates.fill(name, &facts::of(row)) {
        Ok(text) => text,
        // A template can be mended while the notification waits.
        Err(error) => return Ok(Outcome::Failed(SendError::Later(error.to_string()))),
    };
    Ok(way.send(deps, row, text).await.map_or_else(Outcome::Failed, |()| Outcome::Sent))
}

/// Why a notification would not be true any more.
fn overtaken(row: &OutgoingRow) -> Option<&'static str> {
    let is = |phase: Option<Phase>, expected: Phase| phase.is_none_or(|phase| phase == expected);
    match row.kind {
        // Also of one that is erased by now: whoever was not told of it yet has to be.
        Kind::Deletion if !is(row.requested, Phase::Deleted) => Some("the deletion was taken back"),
        Kind::Deletion => None,
        _ if row.phase == Some(Phase::Deleted) => Some("the tenant is deleted"),
        Kind::Suspended if !is(row.phase, Phase::Suspended) => Some("the tenant is not suspended any more"),
        Kind::Reactivated if !is(row.phase, Phase::Active) => Some("the tenant is not served any more"),
        Kind::Incident if row.incident.as_ref().is_some_and(|told| told.is_old) => {
            Some("there is newer word of the incident")
        }
        _ => None,
    }
}

/// Whether a mail that was not sent at once would still be queued for this address: people leave while it waits. What is about
/// many tenants, or one that is erased, says nothing of a tenant's people.
async fn is_still_told(deps: &Deps, row: &OutgoingRow) -> Result<bool, StoreError> {
    let Some(tenant) = row.about.filter(|_| !row.is_chat) else { return Ok(true) };
    let found = deps.store().read(&row.environment).audience(&Among::One(tenant), None, 1).await?;
    let key = row.address.to_lowercase();
    let is_there = found.first().is_none_or(|audience| {
        // Contacts that this release cannot read may be the ones.
        audience.contacts.is_none()
            || notes::addresses(row.kind, audience).iter().any(|email| notice::key(email) == key)
    });
    Ok(is_there)
}
