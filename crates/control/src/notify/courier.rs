//! Sends what is queued: makes the text, hands it to the mail server or the chat, and notes what came of it.

use std::fmt;
use std::time::{Duration, Instant};

use tenantry_domain::notice::Kind;
use tenantry_store::{OutgoingRow, StoreError};

use super::{KEPT, NEWS, chat, facts, notes, templates};
use crate::controllers::driver::{Controller, Look};
use crate::deps::Deps;
use crate::members::mail::{self, Letter, MailOptions, Mailer, SendError};

/// Notifications of one look; all at the same time.
const AT_ONCE: i64 = 16;

/// How long a notification is one replica's: longer than an attempt can take.
const LEASE: Duration = Duration::from_secs(90);

/// Between two looks for what is kept for no longer.
const FORGET_EVERY: Duration = Duration::from_secs(600);

/// Notifications that are forgotten together.
const FORGOTTEN: i64 = 5000;

/// Sends what is due. Mail needs a mailer; without one only the chat is told.
pub struct Courier<M> {
    mailer: Option<M>,
    forgotten: Option<Instant>,
}

impl<M> Courier<M> {
    /// One that sends by a mailer, if there is one.
    pub const fn new(mailer: Option<M>) -> Self {
        Self { mailer, forgotten: None }
    }
}

impl<M> fmt::Debug for Courier<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Courier")
    }
}

impl<M: Mailer> Controller for Courier<M> {
    const NAME: &'static str = "notifications";
    const IS_NUDGED: bool = true;

    fn every(&self, deps: &Deps) -> Duration {
        deps.options().tick
    }

    async fn look(&mut self, deps: &Deps) -> Result<Look, StoreError> {
        if self.forgotten.is_none_or(|at| at.elapsed() >= FORGET_EVERY) {
            let before = deps.now().saturating_sub(KEPT).unwrap_or_else(|_| deps.now());
            if deps.store().forget_notifications(before, FORGOTTEN).await? < FORGOTTEN {
                self.forgotten = Some(Instant::now());
            }
        }
        let (by_mail, by_chat) = notes::ways(deps);
        let ways = (by_mail && self.mailer.is_some(), by_chat);
        if ways == (false, false) {
            return Ok(Look::Done);
        }
        let due = deps.store().claim_notifications(deps.now(), LEASE, AT_ONCE, ways).await?;
        let is_full = i64::try_from(due.len()).is_ok_and(|count| count == AT_ONCE);
        let sent = due.iter().map(|row| self.one(deps, row));
        for done in futures_util::future::join_all(sent).await {
            done?;
        }
        Ok(if is_full { Look::Again } else { Look::Done })
    }
}

/// What came of an attempt.
enum Outcome {
    Sent,
    Void(&'static str),
    Failed(SendError),
}

impl<M: Mailer> Courier<M> {
    async fn one(&self, deps: &Deps, row: &OutgoingRow) -> Result<(), StoreError> {
        let (store, stats) = (deps.store(), deps.notified());
        match self.attempt(deps, row).await {
            Outcome::Sent => {
                stats.count(row.is_chat, "sent", 1);
                store.notification_sent(row, deps.now()).await
            }
            Outcome::Void(why) => {
                stats.count(row.is_chat, "dropped", 1);
                store.notification_dropped(row, deps.now(), why).await
            }
            Outcome::Failed(SendError::Refused(cause)) => {
                tracing::warn!(notification = %row.id, kind = %row.kind, cause, "a notification was refused for good");
                stats.count(row.is_chat, "dropped", 1);
                store.notification_dropped(row, deps.now(), &cause).await
            }
            Outcome::Failed(SendError::Later(cause)) => {
                let attempt = row.attempt;
                tracing::warn!(notification = %row.id, kind = %row.kind, attempt, cause, "a notification was not sent");
                stats.count(row.is_chat, "failed", 1);
                let due = mail::next(deps.now(), deps.options().notify.pause, row.attempt);
                store.notification_later(row, due, &cause).await
            }
        }
    }

    async fn attempt(&self, deps: &Deps, row: &OutgoingRow) -> Outcome {
        if row.is_gone && row.kind != Kind::Deletion {
            return Outcome::Void("the tenant is deleted");
        }
        if row.incident.as_ref().is_some_and(|told| told.is_old) {
            return Outcome::Void("there is newer word of the incident");
        }
        if deps.now().duration_since(row.created_at) > NEWS {
            return Outcome::Void("it could not be sent in time and is not news any more");
        }
        let name = templates::name(row.kind, row.incident.as_ref().map(|told| told.phase));
        let text = match deps.options().notify.templates.fill(name, &facts::of(row)) {
            Ok(text) => text,
            // A template can be mended while the notification waits.
            Err(error) => return Outcome::Failed(SendError::Later(error.to_string())),
        };
        let sent = if row.is_chat {
            chat::send(deps, row, &text).await
        } else {
            self.mail(deps.options().members.mail.as_ref(), deps, row, text).await
        };
        match sent {
            Ok(()) => Outcome::Sent,
            Err(error) => Outcome::Failed(error),
        }
    }

    async fn mail(
        &self,
        options: Option<&MailOptions>,
        deps: &Deps,
        row: &OutgoingRow,
        text: templates::Text,
    ) -> Result<(), SendError> {
        let (Some(options), Some(mailer)) = (options, &self.mailer) else {
            return Err(SendError::Later("mail is not configured here".to_owned()));
        };
        let letter = Letter::plain(&options.from, row.id.uuid(), &row.address, text.subject, text.body, deps.now());
        mailer.send(letter).await
    }
}
