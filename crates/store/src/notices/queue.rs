//! Notifications on their way: taken, sent, tried again, given up, shown and forgotten.
//!
//! The queue is no evidence, so it is worked off without [`crate::WriteTx`]. An attempt's number is its fence: whoever was asleep
//! for longer than the lease cannot settle what another one has taken over.
//!
//! Long because the statements that move one row through its life are read together.

use std::time::Duration;

use tenantry_domain::Timestamp;
use tenantry_domain::event::Type;
use tenantry_domain::id::{EventId, IncidentId, NotificationId, TenantId};
use tenantry_domain::incident::{Phase, Severity};
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::notice::Kind;
use tenantry_domain::tenant::lifecycle;
use tenantry_pg::{Row, ToSql};
use uuid::Uuid;

use crate::columns::{get, json, parse, parse_opt};
use crate::cursor::Binding;
use crate::{Page, PageRequest, Reader, Store, StoreError};

/// A notification that somebody is to send now, with what its text is made of.
#[derive(Clone, PartialEq)]
pub struct OutgoingRow {
    /// Which; the same in all attempts.
    pub id: NotificationId,
    /// The partition.
    pub environment: EnvironmentName,
    /// What it is told as.
    pub kind: Kind,
    /// Whether it goes to the chat, and not by mail.
    pub is_chat: bool,
    /// To whom; empty for chat.
    pub address: String,
    /// The type of the event.
    pub event: Type,
    /// When it happened.
    pub at: Timestamp,
    /// The event's payload.
    pub data: serde_json::Value,
    /// The tenant that it is about; absent when that is more than one.
    pub about: Option<TenantId>,
    /// Name and display name of that tenant.
    pub tenant: Option<(String, String)>,
    /// How far that tenant is in its life.
    pub phase: Option<lifecycle::Phase>,
    /// How far it is wanted to be.
    pub requested: Option<lifecycle::Phase>,
    /// Before when that tenant is not deleted.
    pub delete_not_before: Option<Timestamp>,
    /// The update of the incident that it is about.
    pub incident: Option<Told>,
    /// Which attempt this is, from 1.
    pub attempt: i32,
    /// What was noted of the attempt before.
    pub cause: Option<String>,
    /// When it was queued.
    pub created_at: Timestamp,
}

/// What a claim took.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outgoing {
    /// What can be sent.
    pub rows: Vec<OutgoingRow>,
    /// How many there were, with those that this release cannot read. They are left to a release that can, until they are old.
    pub taken: usize,
}

/// An update of an incident, as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Which incident.
    pub id: IncidentId,
    /// In a line.
    pub title: String,
    /// How bad.
    pub severity: Severity,
    /// How far, by this update.
    pub phase: Phase,
    /// What is known.
    pub message: String,
    /// Whether there is a newer update: then this one is not worth telling any more.
    pub is_old: bool,
}

impl std::fmt::Debug for OutgoingRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("OutgoingRow");
        shown.field("id", &self.id).field("kind", &self.kind).field("attempt", &self.attempt).finish_non_exhaustive()
    }
}

/// How a notification stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotificationState {
    /// It is on its way.
    Waiting,
    /// A server took it.
    Sent,
    /// It was given up.
    Dropped,
}

impl NotificationState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Sent, Self::Dropped];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Dropped => "dropped",
        }
    }

    /// The state of a word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// A notification as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationRow {
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
    /// Whether it goes to the chat, and not by mail.
    pub is_chat: bool,
    /// To whom; empty for chat.
    pub address: String,
    /// Attempts made.
    pub attempts: i32,
    /// When it was queued.
    pub created_at: Timestamp,
    /// When it is tried next, if it is.
    pub due_at: Option<Timestamp>,
    /// When a server took it.
    pub sent_at: Option<Timestamp>,
    /// When it was given up.
    pub dropped_at: Option<Timestamp>,
    /// Why the last attempt failed, or why it was dropped.
    pub cause: Option<String>,
}

impl NotificationRow {
    /// How it stands.
    #[must_use]
    pub const fn state(&self) -> NotificationState {
        match (self.sent_at, self.dropped_at) {
            (Some(_), _) => NotificationState::Sent,
            (None, Some(_)) => NotificationState::Dropped,
            (None, None) => NotificationState::Waiting,
        }
    }
}

/// Which notifications. All that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotificationFilter {
    /// About this tenant.
    pub tenant: Option<TenantId>,
    /// About this incident.
    pub incident: Option<IncidentId>,
    /// Of this kind.
    pub kind: Option<Kind>,
    /// That stand like this.
    pub state: Option<NotificationState>,
}

/// What waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Events that nobody looked at yet.
    pub notes: i64,
    /// Notifications that were not sent yet.
    pub queued: i64,
    /// Since when the oldest of both waits.
    pub since: Option<Timestamp>,
}

/// What belongs to a row is looked up for each row by itself, by key, and the rows are changed where they lie: such a statement has
/// one good plan, also when the tables were empty when it was made. See [`crate::webhooks`] for what happens otherwise.
const CLAIM: &str = "
    WITH due AS MATERIALIZED (
        SELECT ctid AS place FROM tenantry.notification
        WHERE due_at <= $1::timestamptz AND sent_at IS NULL AND dropped_at IS NULL AND (channel = 'mail' AND $4 OR channel = 'chat' AND $5)
        ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED
    ), taken AS MATERIALIZED (
        UPDATE tenantry.notification SET attempts = attempts + 1, due_at = $1::timestamptz + $2 * interval '1 second'
        WHERE ctid = ANY (ARRAY (SELECT place FROM due)) RETURNING *
    )
    SELECT n.id, n.env, n.kind, n.channel, n.address, n.attempts, n.cause, n.created_at, n.tenant, n.incident, o.type, o.at, o.data,
        t.slug, t.display_name, t.phase AS tenant_phase, t.requested, t.delete_not_before,
        i.title, i.severity, u.phase, u.message, coalesce(i.updates > n.number, false) AS is_old
    FROM taken AS n
    LEFT JOIN LATERAL (
        SELECT id, type, at, data FROM tenantry.outbox WHERE id >= n.event ORDER BY id LIMIT 1
    ) AS o ON o.id = n.event
    LEFT JOIN LATERAL (
        SELECT env, id, slug, display_name, phase, requested, delete_not_before FROM tenantry.tenant
        WHERE n.tenant IS NOT NULL AND (env, id) >= (n.env, n.tenant) ORDER BY env, id LIMIT 1
    ) AS t ON t.env = n.env AND t.id = n.tenant
    LEFT JOIN LATERAL (
        SELECT env, id, title, severity, updates FROM tenantry.incident
        WHERE n.incident IS NOT NULL AND (env, id) >= (n.env, n.incident) ORDER BY env, id LIMIT 1
    ) AS i ON i.env = n.env AND i.id = n.incident
    LEFT JOIN LATERAL (
        SELECT env, incident, number, phase, message FROM tenantry.incident_update
        WHERE n.incident IS NOT NULL AND (env, incident, number) >= (n.env, n.incident, n.number)
        ORDER BY env, incident, number LIMIT 1
    ) AS u ON u.env = n.env AND u.incident = n.incident AND u.number = n.number
    ORDER BY n.created_at";

/// The place of the row that a key names. The condition on the key itself is repeated by whoever uses it.
macro_rules! place {
    () => {
        "ctid = (
            SELECT ctid FROM tenantry.notification WHERE (env, id) >= ($1::text, $2::uuid) ORDER BY env, id LIMIT 1
        ) AND env = $1 AND id = $2 AND attempts = $3 "
    };
}

/// The one statement of these whose commit waits for the disk: what is lost of it is sent once more.
const SENT: &str = concat!(
    "WITH durable AS MATERIALIZED (SELECT set_config('synchronous_commit', 'on', true))
    UPDATE tenantry.notification SET sent_at = $4, cause = NULL WHERE ",
    place!(),
    "AND dropped_at IS NULL AND EXISTS (SELECT FROM durable)"
);

const LATER: &str = concat!(
    "UPDATE tenantry.notification SET due_at = $4, cause = $5 WHERE ",
    place!(),
    "AND sent_at IS NULL AND dropped_at IS NULL"
);

const DROPPED: &str =
    concat!("UPDATE tenantry.notification SET dropped_at = $4, cause = $5 WHERE ", place!(), "AND sent_at IS NULL");

/// What is somebody's for the time of an attempt is left to them.
const DROP_OLD: &str = "
    WITH gone AS (
        UPDATE tenantry.notification SET dropped_at = $1, cause = $4
        WHERE ctid = ANY (ARRAY (
            SELECT ctid FROM tenantry.notification
            WHERE due_at <= $1::timestamptz AND sent_at IS NULL AND dropped_at IS NULL AND created_at < $2
            ORDER BY due_at LIMIT $3
        )) AND sent_at IS NULL AND dropped_at IS NULL
        RETURNING channel
    )
    SELECT count(*) FILTER (WHERE channel = 'mail') AS mail, count(*) FILTER (WHERE channel = 'chat') AS chat FROM gone";

const LIST: &str = "
    SELECT id, event, kind, tenant, incident, channel, address, attempts, created_at, due_at, sent_at, dropped_at, cause
    FROM tenantry.notification
    WHERE env = $1 AND ($2::uuid IS NULL OR tenant = $2) AND ($3::uuid IS NULL OR incident = $3) AND ($4::text IS NULL OR kind = $4)
        AND CASE $5::text WHEN 'waiting' THEN sent_at IS NULL AND dropped_at IS NULL WHEN 'sent' THEN sent_at IS NOT NULL
            WHEN 'dropped' THEN sent_at IS NULL AND dropped_at IS NOT NULL ELSE true END
        AND id < $6
    ORDER BY id DESC LIMIT $7";

const WAITING: &str = "
    SELECT notes.count AS notes, queued.count AS queued, least(notes.since, queued.since) AS since
    FROM (SELECT count(*) AS count, min(at) AS since FROM tenantry.notice) AS notes,
        (SELECT count(*) AS count, min(created_at) AS since FROM tenantry.notification
            WHERE sent_at IS NULL AND dropped_at IS NULL) AS queued";

const FORGET: &str = "
    WITH gone AS (
        DELETE FROM tenantry.notification WHERE ctid = ANY (ARRAY (
            SELECT ctid FROM tenantry.notification WHERE created_at < $1 ORDER BY created_at LIMIT $2
        )) RETURNING 1
    )
    SELECT count(*) AS count FROM gone";

fn outgoing(row: &Row) -> Result<OutgoingRow, StoreError> {
    let incident: Option<Uuid> = get(row, "incident")?;
    let phase: Option<Phase> = parse_opt(row, "phase")?;
    let incident = match incident.zip(phase) {
        Some((id, phase)) => Some(Told {
            id: IncidentId::from_uuid(id),
            title: get(row, "title")?,
            severity: parse(row, "severity")?,
            phase,
            message: get(row, "message")?,
            is_old: get(row, "is_old")?,
        }),
        None => None,
    };
    let event: Option<&str> = get(row, "type")?;
    let event = Type::ALL.iter().copied().find(|kind| event == Some(kind.as_str()));
    let slug: Option<String> = get(row, "slug")?;
    let name: Option<String> = get(row, "display_name")?;
    Ok(OutgoingRow {
        id: NotificationId::from_uuid(get(row, "id")?),
        environment: parse(row, "env")?,
        kind: parse(row, "kind")?,
        is_chat: get::<&str>(row, "channel")? == "chat",
        address: get(row, "address")?,
        event: event.ok_or(StoreError::Unreadable { what: "type" })?,
        at: get(row, "at")?,
        data: json(row, "data")?,
        about: get::<Option<Uuid>>(row, "tenant")?.map(TenantId::from_uuid),
        tenant: slug.zip(name),
        phase: parse_opt(row, "tenant_phase")?,
        requested: parse_opt(row, "requested")?,
        delete_not_before: get(row, "delete_not_before")?,
        incident,
        attempt: get(row, "attempts")?,
        cause: get(row, "cause")?,
        created_at: get(row, "created_at")?,
    })
}

fn shown(row: &Row) -> Result<NotificationRow, StoreError> {
    let (sent_at, dropped_at): (Option<Timestamp>, Option<Timestamp>) = (get(row, "sent_at")?, get(row, "dropped_at")?);
    let due_at: Timestamp = get(row, "due_at")?;
    Ok(NotificationRow {
        id: NotificationId::from_uuid(get(row, "id")?),
        event: EventId::from_uuid(get(row, "event")?),
        kind: parse(row, "kind")?,
        tenant: get::<Option<Uuid>>(row, "tenant")?.map(TenantId::from_uuid),
        incident: get::<Option<Uuid>>(row, "incident")?.map(IncidentId::from_uuid),
        is_chat: get::<&str>(row, "channel")? == "chat",
        address: get(row, "address")?,
        attempts: get(row, "attempts")?,
        created_at: get(row, "created_at")?,
        due_at: (sent_at.is_none() && dropped_at.is_none()).then_some(due_at),
        sent_at,
        dropped_at,
        cause: get(row, "cause")?,
    })
}

impl Store {
    /// Takes notifications that are due, for the length of the lease: of the ways that the caller has. One that cannot be read is
    /// nobody else's trouble.
    ///
    /// # Errors
    /// The database's.
    pub async fn claim_notifications(
        &self,
        now: Timestamp,
        lease: Duration,
        most: i64,
        (mail, chat): (bool, bool),
    ) -> Result<Outgoing, StoreError> {
        let seconds = lease.as_secs_f64();
        let params: [&(dyn ToSql + Sync); 5] = [&now, &seconds, &most, &mail, &chat];
        let found = self.queue_query(CLAIM, &params).await?;
        let mut rows = Vec::with_capacity(found.len());
        for row in &found {
            match outgoing(row) {
                Ok(one) => rows.push(one),
                Err(error) => {
                    let id = NotificationId::from_uuid(get(row, "id")?);
                    tracing::warn!(notification = %id, %error, "a notification cannot be read");
                }
            }
        }
        Ok(Outgoing { rows, taken: found.len() })
    }

    /// Remembers that a server took a notification.
    ///
    /// # Errors
    /// The database's.
    pub async fn notification_sent(&self, row: &OutgoingRow, at: Timestamp) -> Result<(), StoreError> {
        let params: [&(dyn ToSql + Sync); 4] = [&row.environment.as_str(), &row.id.uuid(), &row.attempt, &at];
        self.queue_query(SENT, &params).await.map(|_| ())
    }

    /// Lets a notification be tried again at a moment.
    ///
    /// # Errors
    /// The database's.
    pub async fn notification_later(&self, row: &OutgoingRow, due: Timestamp, cause: &str) -> Result<(), StoreError> {
        let params: [&(dyn ToSql + Sync); 5] = [&row.environment.as_str(), &row.id.uuid(), &row.attempt, &due, &cause];
        self.queue_query(LATER, &params).await.map(|_| ())
    }

    /// Gives a notification up.
    ///
    /// # Errors
    /// The database's.
    pub async fn notification_dropped(&self, row: &OutgoingRow, at: Timestamp, cause: &str) -> Result<(), StoreError> {
        let params: [&(dyn ToSql + Sync); 5] = [&row.environment.as_str(), &row.id.uuid(), &row.attempt, &at, &cause];
        self.queue_query(DROPPED, &params).await.map(|_| ())
    }

    /// Gives up what was queued before a moment and waits for no attempt, whatever way it was to go by; says how many by mail, and
    /// how many to the chat.
    ///
    /// # Errors
    /// The database's.
    pub async fn drop_notifications(
        &self,
        now: Timestamp,
        before: Timestamp,
        most: i64,
        cause: &str,
    ) -> Result<(i64, i64), StoreError> {
        let params: [&(dyn ToSql + Sync); 4] = [&now, &before, &most, &cause];
        let row = self.queue_query_opt(DROP_OLD, &params).await?.ok_or(StoreError::NotFound)?;
        Ok((get(&row, "mail")?, get(&row, "chat")?))
    }

    /// What waits, in all environments.
    ///
    /// # Errors
    /// The database's.
    pub async fn notifications_waiting(&self) -> Result<Waiting, StoreError> {
        let row = self.queue_query_opt(WAITING, &[]).await?.ok_or(StoreError::NotFound)?;
        Ok(Waiting { notes: get(&row, "notes")?, queued: get(&row, "queued")?, since: get(&row, "since")? })
    }

    /// Removes notifications that were queued before a moment; says how many.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_notifications(&self, before: Timestamp, most: i64) -> Result<i64, StoreError> {
        let row = self.queue_query_opt(FORGET, &[&before, &most]).await?.ok_or(StoreError::NotFound)?;
        get(&row, "count")
    }
}

impl Reader {
    /// Notifications, the newest first.
    ///
    /// # Errors
    /// The page token's, or the database's.
    pub async fn notifications(
        &self,
        filter: &NotificationFilter,
        page: &PageRequest<'_>,
    ) -> Result<Page<NotificationRow>, StoreError> {
        let binding = Binding::new(&self.store, "notifications", &self.environment, filter, page);
        let before = binding.open(page)?.map_or(Uuid::max(), Uuid::from_bytes);
        let limit = i64::from(page.size.get()) + 1;
        let params: [&(dyn ToSql + Sync); 7] = [
            &self.environment.as_str(),
            &filter.tenant.map(TenantId::uuid),
            &filter.incident.map(IncidentId::uuid),
            &filter.kind.map(Kind::as_str),
            &filter.state.map(NotificationState::as_str),
            &before,
            &limit,
        ];
        let found = self.store.query(LIST, &params).await?.iter().map(shown).collect::<Result<_, _>>()?;
        Ok(binding.page(found, page, |row: &NotificationRow| row.id.uuid().into_bytes()))
    }
}
