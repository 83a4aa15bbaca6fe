//! Notifications: which events people may have to be told of, who they are, what is on its way to them.
//!
//! A commit notes such events by the statement that writes them ([`crate::webhooks`]). Whoever takes a note ([`Store::notes`])
//! finds out who is to be told, and [`Store::note_told`] takes the note away and queues what is sent, in one statement: of any
//! number of processes that look at a note one queues, and one that dies before has done nothing.
//!
//! INVARIANT: for an event there is at most one row of a mailbox, however often the event is looked at. A row holds no text.

mod queue;

pub use queue::{NotificationFilter, NotificationRow, NotificationState, Outgoing, OutgoingRow, Told, Waiting};

use tenantry_domain::Timestamp;
use tenantry_domain::id::{EventId, IncidentId, NotificationId, TenantId};
use tenantry_domain::incident::Scope;
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::notice::Kind;
use tenantry_domain::tenant::contact::Contacts;
use tenantry_pg::{Row, ToSql};
use uuid::Uuid;

use crate::columns::{get, json_opt};
use crate::outbox::{self, EventRow};
use crate::{Reader, Store, StoreError};

/// An event that nobody looked at yet.
#[derive(Debug, Clone, PartialEq)]
pub struct NoteRow {
    /// The event.
    pub event: EventRow,
    /// The last tenant that was looked at; absent before the first one.
    pub after: Option<TenantId>,
}

/// Notes as they were found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NotesFound {
    /// Those that this release can read.
    pub rows: Vec<NoteRow>,
    /// How many others there were: events of a type of a later release, for example.
    pub unreadable: usize,
}

/// A tenant with those who could be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudienceRow {
    /// Which.
    pub tenant: TenantId,
    /// Whether it is there for tests.
    pub is_synthetic: bool,
    /// Whether it was ever served.
    pub was_served: bool,
    /// The contacts that its manifest names; absent when this release cannot read them.
    pub contacts: Option<Contacts>,
    /// Addresses of its owners and admins.
    pub people: Vec<String>,
}

/// Which tenants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Among {
    /// This one, unless it is deleted.
    One(TenantId),
    /// Those of a cell, or of all cells, that are served or suspended: a draft has nothing that could be disturbed, and who
    /// is archived does not work with it.
    Serving(Option<String>),
}

impl From<&Scope> for Among {
    fn from(scope: &Scope) -> Self {
        match scope {
            Scope::Tenant(tenant) => Self::One(*tenant),
            Scope::Cell(cell) => Self::Serving(Some(cell.as_str().to_owned())),
            Scope::All => Self::Serving(None),
        }
    }
}

/// Something that somebody is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNotification {
    /// Its id.
    pub id: NotificationId,
    /// To whom; empty for chat.
    pub address: String,
    /// Two with the same are one mailbox.
    pub key: String,
    /// Whether it goes to the chat, and not by mail.
    pub is_chat: bool,
}

/// What all notifications of one event have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matter {
    /// The partition.
    pub environment: EnvironmentName,
    /// The event.
    pub event: EventId,
    /// What it is told as.
    pub kind: Kind,
    /// Whom it is about; absent when that is more than one.
    pub tenant: Option<TenantId>,
    /// The incident, and which update of it.
    pub incident: Option<(IncidentId, i32)>,
    /// What is told once in a while only.
    pub topic: Option<String>,
}

const NOTES: &str = "
    SELECT n.after, o.env, o.subject, o.sequence, o.id, o.type, o.at, o.version, o.correlation_id, o.causation_id, o.data
    FROM (SELECT env, id, at, after FROM tenantry.notice ORDER BY at LIMIT $1 OFFSET $2) AS n
    CROSS JOIN LATERAL (
        SELECT env, subject, sequence, id, type, at, version, correlation_id, causation_id, data FROM tenantry.outbox
        WHERE id >= n.id ORDER BY id LIMIT 1
    ) AS o
    WHERE o.id = n.id AND o.env = n.env
    ORDER BY n.at";

/// Of one tenant, and of many: two statements, so that each has a plan of its own.
macro_rules! audience {
    ($among:literal) => {
        concat!(
            "SELECT t.id, t.spec -> 'contacts' AS contacts, t.activated_at IS NOT NULL AS was_served,
                coalesce((t.spec -> 'business' ->> 'synthetic')::boolean, false) AS is_synthetic,
                ARRAY (
                    SELECT m.email FROM tenantry.member AS m
                    WHERE m.env = t.env AND m.tenant = t.id AND m.role IN ('owner', 'admin') ORDER BY m.role DESC, m.email LIMIT 100
                ) AS people
            FROM ",
            $among
        )
    };
}

const AUDIENCE_OF_ONE: &str = audience!(
    "(SELECT * FROM tenantry.tenant WHERE (env, id) >= ($1::text, $2::uuid) ORDER BY env, id LIMIT 1) AS t
    WHERE t.env = $1 AND t.id = $2 AND t.phase <> 'deleted'"
);

const AUDIENCE: &str = audience!(
    "tenantry.tenant AS t WHERE t.env = $1 AND t.id > $2 AND ($3::text IS NULL OR t.cell = $3) AND t.phase IN ('active', 'suspended')
    ORDER BY t.env, t.id LIMIT $4"
);

/// The note goes, or goes on, only for whoever saw it as it is: the one who comes second finds another `after`, or none. Its commit
/// waits for the disk: what was counted as queued stays so.
const TOLD: &str = "
    WITH durable AS MATERIALIZED (SELECT set_config('synchronous_commit', 'on', true)), gone AS (
        DELETE FROM tenantry.notice WHERE env = $1 AND id = $2 AND after = $3 AND $4::uuid IS NULL AND EXISTS (SELECT FROM durable)
        RETURNING id
    ), moved AS (
        UPDATE tenantry.notice SET after = $4
        WHERE env = $1 AND id = $2 AND after = $3 AND $4::uuid IS NOT NULL AND EXISTS (SELECT FROM durable) RETURNING id
    ), mine AS (SELECT id FROM gone UNION ALL SELECT id FROM moved), queued AS (
        INSERT INTO tenantry.notification (env, id, event, kind, tenant, incident, number, channel, address, address_key, topic,
            due_at, created_at)
        SELECT $1, n.id, mine.id, $5, $6, $7, $8, CASE WHEN n.is_chat THEN 'chat' ELSE 'mail' END, n.address, n.key, $9, $10, $10
        FROM mine, unnest($11::uuid[], $12::text[], $13::text[], $14::boolean[]) AS n (id, address, key, is_chat)
        ON CONFLICT (env, event, channel, address_key) DO NOTHING
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM queued) AS queued, EXISTS (SELECT FROM mine) AS is_mine";

const TOLD_LATELY: &str = "
    SELECT EXISTS (
        SELECT FROM tenantry.notification WHERE env = $1 AND tenant = $2 AND topic = $3 AND created_at > $4 AND event <> $5
    ) AS is_known";

fn note(row: &Row) -> Result<NoteRow, StoreError> {
    let after: Uuid = get(row, "after")?;
    Ok(NoteRow { event: outbox::read(row)?, after: (!after.is_nil()).then(|| TenantId::from_uuid(after)) })
}

/// Those of a manifest of a later release may be of another form: then its people are told, and those nobody knows of are not.
fn contacts(row: &Row) -> Result<Option<Contacts>, StoreError> {
    match json_opt::<Contacts>(row, "contacts") {
        Ok(contacts) => Ok(Some(contacts.unwrap_or_default())),
        Err(error) => {
            let tenant = TenantId::from_uuid(get(row, "id")?);
            tracing::warn!(%tenant, %error, "a tenant's contacts cannot be read");
            Ok(None)
        }
    }
}

fn audience(row: &Row) -> Result<AudienceRow, StoreError> {
    Ok(AudienceRow {
        tenant: TenantId::from_uuid(get(row, "id")?),
        is_synthetic: get(row, "is_synthetic")?,
        was_served: get(row, "was_served")?,
        contacts: contacts(row)?,
        people: get(row, "people")?,
    })
}

impl Store {
    /// Events that nobody looked at yet, the oldest first, behind so many that are passed over. Nothing is taken:
    /// [`Self::note_told`] says who was the one.
    ///
    /// # Errors
    /// The database's.
    pub async fn notes(&self, most: i64, passed: i64) -> Result<NotesFound, StoreError> {
        let found = self.queue_query(NOTES, &[&most, &passed]).await?;
        let rows: Vec<NoteRow> = found.iter().filter_map(|row| note(row).ok()).collect();
        Ok(NotesFound { unreadable: found.len() - rows.len(), rows })
    }

    /// Queues what is to be told of a note as it was seen, and takes it away; or moves it on behind a tenant, where more are to
    /// be looked at. Gives how many were queued, or nothing when somebody else was faster; then nothing was done.
    ///
    /// # Errors
    /// The database's.
    pub async fn note_told(
        &self,
        matter: &Matter,
        seen: Option<TenantId>,
        next: Option<TenantId>,
        new: &[NewNotification],
        now: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        let ids: Vec<Uuid> = new.iter().map(|one| one.id.uuid()).collect();
        let addresses: Vec<&str> = new.iter().map(|one| one.address.as_str()).collect();
        let keys: Vec<&str> = new.iter().map(|one| one.key.as_str()).collect();
        let chats: Vec<bool> = new.iter().map(|one| one.is_chat).collect();
        let params: [&(dyn ToSql + Sync); 14] = [
            &matter.environment.as_str(),
            &matter.event.uuid(),
            &seen.map_or(Uuid::nil(), TenantId::uuid),
            &next.map(TenantId::uuid),
            &matter.kind.as_str(),
            &matter.tenant.map(TenantId::uuid),
            &matter.incident.map(|(id, _)| id.uuid()),
            &matter.incident.map(|(_, number)| number),
            &matter.topic,
            &now,
            &ids,
            &addresses,
            &keys,
            &chats,
        ];
        let row = self.queue_query_opt(TOLD, &params).await?.ok_or(StoreError::NotFound)?;
        Ok(if get(&row, "is_mine")? { Some(get(&row, "queued")?) } else { None })
    }

    /// Takes a note away of which nobody is to be told.
    ///
    /// # Errors
    /// The database's.
    pub async fn note_dropped(&self, environment: &EnvironmentName, event: EventId) -> Result<(), StoreError> {
        let sql = "DELETE FROM tenantry.notice WHERE env = $1 AND id = $2";
        self.queue_query(sql, &[&environment.as_str(), &event.uuid()]).await.map(|_| ())
    }

    /// Whether a tenant was told of another event with the same topic since a moment.
    ///
    /// # Errors
    /// The database's.
    pub async fn told_lately(
        &self,
        environment: &EnvironmentName,
        (tenant, event): (TenantId, EventId),
        topic: &str,
        since: Timestamp,
    ) -> Result<bool, StoreError> {
        let params: [&(dyn ToSql + Sync); 5] = [&environment.as_str(), &tenant.uuid(), &topic, &since, &event.uuid()];
        let row = self.queue_query_opt(TOLD_LATELY, &params).await?.ok_or(StoreError::NotFound)?;
        get(&row, "is_known")
    }

    /// Takes notes away that are from before a moment: nobody was to be told in time.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_notes(&self, before: Timestamp, most: i64) -> Result<i64, StoreError> {
        let sql = "
            WITH gone AS (
                DELETE FROM tenantry.notice WHERE ctid = ANY (ARRAY (
                    SELECT ctid FROM tenantry.notice WHERE at < $1 ORDER BY at LIMIT $2
                )) RETURNING 1
            )
            SELECT count(*) AS count FROM gone";
        let row = self.queue_query_opt(sql, &[&before, &most]).await?.ok_or(StoreError::NotFound)?;
        get(&row, "count")
    }
}

impl Reader {
    /// Tenants behind one, by id, with those who could be told.
    ///
    /// # Errors
    /// The database's.
    pub async fn audience(
        &self,
        among: &Among,
        after: Option<TenantId>,
        most: i64,
    ) -> Result<Vec<AudienceRow>, StoreError> {
        let after = after.map_or(Uuid::nil(), TenantId::uuid);
        let rows = match among {
            Among::One(tenant) if tenant.uuid() <= after => Vec::new(),
            Among::One(tenant) => {
                self.store.queue_query(AUDIENCE_OF_ONE, &[&self.environment.as_str(), &tenant.uuid()]).await?
            }
            Among::Serving(cell) => {
                let params: [&(dyn ToSql + Sync); 4] = [&self.environment.as_str(), &after, &cell.as_deref(), &most];
                self.store.queue_query(AUDIENCE, &params).await?
            }
        };
        rows.iter().map(audience).collect()
    }
}
