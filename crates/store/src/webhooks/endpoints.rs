//! Endpoints: where they are and what they want. Keys are made of nonces and a key of the installation, so that whoever reads
//! the database can sign nothing.

use tenantry_domain::Timestamp;
use tenantry_domain::id::{TenantId, WebhookId};
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::tenant::Slug;
use tenantry_domain::webhook::{Pattern, Scheme, Terms, Why};
use tenantry_pg::{Row, ToSql};
use uuid::Uuid;

use crate::columns::{digest, get, parse, parse_opt};
use crate::cursor::Binding;
use crate::line::Statement;
use crate::scope::Subject;
use crate::{Page, PageRequest, Reader, StoreError, WriteTx};

/// What the keys of an endpoint are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookKeys {
    /// Which kind.
    pub scheme: Scheme,
    /// Of the newest.
    pub nonce: [u8; 32],
    /// Of the one before, and until when it signs.
    pub old: Option<([u8; 32], Timestamp)>,
}

/// An endpoint as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointRow {
    /// The partition.
    pub environment: EnvironmentName,
    /// Its id.
    pub id: WebhookId,
    /// Whose it is.
    pub subject: Subject,
    /// The name of the tenant whose it is; absent for the environment's.
    pub slug: Option<Slug>,
    /// Its URL.
    pub target: String,
    /// What it wants.
    pub terms: Terms,
    /// Version of its payloads.
    pub payload: i16,
    /// What its keys are made of.
    pub keys: WebhookKeys,
    /// Since when it is disabled, and why; absent while it is active.
    pub disabled: Option<(Timestamp, Why)>,
    /// Rises with every change; the first is 1.
    pub version: i64,
    /// Since when it exists.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// Its last change.
    pub updated_at: Timestamp,
    /// When it got another key last; absent for its first one.
    pub rotated_at: Option<Timestamp>,
    /// Since when there were nothing but failures; absent when the last attempt was none.
    pub failing_since: Option<Timestamp>,
    /// When something was delivered last.
    pub delivered_at: Option<Timestamp>,
}

/// An endpoint that is to be.
#[derive(Debug, Clone)]
pub struct NewEndpoint {
    /// Its id.
    pub id: WebhookId,
    /// Whose it is to be.
    pub subject: Subject,
    /// Its URL.
    pub target: String,
    /// What it wants.
    pub terms: Terms,
    /// Kind of its keys.
    pub scheme: Scheme,
    /// What its first key is made of.
    pub nonce: [u8; 32],
    /// Version of its payloads.
    pub payload: i16,
}

/// Which endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointFilter {
    /// Of this subject; absent for all.
    pub subject: Option<Subject>,
}

macro_rules! endpoint_columns {
    () => {
        "e.env, e.id, e.subject, e.target, e.description, e.types, e.only_tenants, e.is_fifo, e.rate, e.concurrency, e.region, e.scheme, \
         e.payload, e.nonce, e.old_nonce, e.old_until, e.disabled_at, e.disabled_why, e.version, e.created_at, e.created_by, \
         e.updated_at, e.rotated_at, l.failing_since, l.delivered_at, t.slug "
    };
}
pub(super) use endpoint_columns;

macro_rules! endpoint_from {
    () => {
        "FROM tenantry.webhook_endpoint AS e JOIN tenantry.webhook_lane AS l ON l.env = e.env AND l.endpoint = e.id \
         LEFT JOIN tenantry.tenant AS t ON t.env = e.env AND t.id = e.subject "
    };
}
pub(super) use endpoint_from;

const GET: &str = concat!("SELECT ", endpoint_columns!(), endpoint_from!(), "WHERE e.env = $1 AND e.id = $2");

const LOCK: &str =
    concat!("SELECT ", endpoint_columns!(), endpoint_from!(), "WHERE e.env = $1 AND e.id = $2 FOR NO KEY UPDATE OF e");

const LIST: &str = concat!(
    "SELECT ",
    endpoint_columns!(),
    endpoint_from!(),
    "WHERE e.env = $1 AND ($2::uuid IS NULL OR e.subject = $2) AND e.id > $3 ORDER BY e.id LIMIT $4"
);

const CREATE: &str = "
    WITH made AS (
        INSERT INTO tenantry.webhook_endpoint (env, id, subject, target, description, types, only_tenants, is_fifo, rate,
            concurrency, region, scheme, payload, nonce, is_listening, version, created_at, created_by, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, true, 1, $15, $16, $15)
    )
    INSERT INTO tenantry.webhook_lane (env, endpoint) VALUES ($1, $2)";

const UPDATE: &str = "
    UPDATE tenantry.webhook_endpoint SET target = $3, description = $4, types = $5, only_tenants = $6, is_fifo = $7,
        rate = $8, concurrency = $9, region = $10, version = version + 1, updated_at = $11
    WHERE env = $1 AND id = $2";

const ROTATE: &str = "
    UPDATE tenantry.webhook_endpoint SET old_nonce = CASE WHEN $4::timestamptz > $5::timestamptz THEN nonce END,
        old_until = CASE WHEN $4::timestamptz > $5::timestamptz THEN $4::timestamptz END, nonce = $3,
        version = version + 1, rotated_at = $5, updated_at = $5
    WHERE env = $1 AND id = $2";

const DISABLE: &str = "
    WITH ended AS (
        UPDATE tenantry.webhook_replay SET ended_at = $3 WHERE env = $1 AND endpoint = $2 AND ended_at IS NULL
    )
    UPDATE tenantry.webhook_endpoint SET is_listening = false, disabled_at = $3, disabled_why = $4, version = version + 1,
        updated_at = $3
    WHERE env = $1 AND id = $2";

const ENABLE: &str = "
    WITH awake AS (
        UPDATE tenantry.webhook_lane SET paused_until = NULL, failing_since = NULL, failures = 0 WHERE env = $1 AND endpoint = $2
    )
    UPDATE tenantry.webhook_endpoint SET is_listening = true, disabled_at = NULL, disabled_why = NULL, version = version + 1,
        updated_at = $3
    WHERE env = $1 AND id = $2";

const DELETE: &str = "
    WITH dead AS (DELETE FROM tenantry.webhook_dead WHERE env = $1 AND endpoint = $2)
    DELETE FROM tenantry.webhook_endpoint WHERE env = $1 AND id = $2";

const COUNT: &str = "SELECT count(*) AS count FROM tenantry.webhook_endpoint WHERE env = $1 AND subject = $2";

pub(super) fn read(row: &Row) -> Result<EndpointRow, StoreError> {
    let old_until: Option<Timestamp> = get(row, "old_until")?;
    let old = match get::<Option<&[u8]>>(row, "old_nonce")? {
        Some(_) => Some(digest(row, "old_nonce")?).zip(old_until),
        None => None,
    };
    let disabled_at: Option<Timestamp> = get(row, "disabled_at")?;
    let only: Option<Vec<Uuid>> = get(row, "only_tenants")?;
    let whole = |name| -> Result<Option<u32>, StoreError> {
        let number: Option<i32> = get(row, name)?;
        number.map(|number| u32::try_from(number).map_err(|_| StoreError::Unreadable { what: name })).transpose()
    };
    let slug: Option<&str> = get(row, "slug")?;
    let unreadable = |_| StoreError::Unreadable { what: "concurrency" };
    Ok(EndpointRow {
        environment: parse(row, "env")?,
        id: WebhookId::from_uuid(get(row, "id")?),
        subject: Subject::from_uuid(get(row, "subject")?),
        slug: slug
            .map(|slug| Slug::stored(slug.to_owned()).map_err(|_| StoreError::Unreadable { what: "slug" }))
            .transpose()?,
        target: get(row, "target")?,
        terms: Terms {
            description: get(row, "description")?,
            types: get::<Vec<String>>(row, "types")?.into_iter().map(Pattern::stored).collect(),
            only: only.map(|only| only.into_iter().map(TenantId::from_uuid).collect()),
            fifo: get(row, "is_fifo")?,
            rate: whole("rate")?,
            concurrency: u16::try_from(get::<i16>(row, "concurrency")?).map_err(unreadable)?,
            region: parse_opt(row, "region")?,
        },
        payload: get(row, "payload")?,
        keys: WebhookKeys { scheme: parse(row, "scheme")?, nonce: digest(row, "nonce")?, old },
        disabled: disabled_at.zip(parse_opt(row, "disabled_why")?),
        version: get(row, "version")?,
        created_at: get(row, "created_at")?,
        created_by: get(row, "created_by")?,
        updated_at: get(row, "updated_at")?,
        rotated_at: get(row, "rotated_at")?,
        failing_since: get(row, "failing_since")?,
        delivered_at: get(row, "delivered_at")?,
    })
}

/// Endpoints inside a transaction. Lock the tenant of a tenant's endpoint first, as whoever deletes it does.
pub struct Webhooks<'a> {
    pub(crate) tx: &'a mut WriteTx,
}

impl WriteTx {
    /// Endpoints of webhooks.
    pub fn webhooks(&mut self) -> Webhooks<'_> {
        Webhooks { tx: self }
    }
}

impl Webhooks<'_> {
    /// Locks an endpoint, if there is such a one.
    ///
    /// # Errors
    /// The database's.
    pub async fn lock(&mut self, id: WebhookId) -> Result<Option<EndpointRow>, StoreError> {
        let statement = self.of(LOCK, id);
        self.tx.rows(statement).await?.first().map(read).transpose()
    }

    /// How many endpoints a subject has. Exact under the lock of the subject.
    ///
    /// # Errors
    /// The database's.
    pub async fn count(&mut self, subject: Subject) -> Result<i64, StoreError> {
        let statement = Statement::new(COUNT).bind(self.tx.env()).bind(subject.uuid());
        let rows = self.tx.rows(statement).await?;
        rows.first().map_or(Ok(0), |row| get(row, "count"))
    }

    /// Locks the environment, so that its endpoints are counted exactly.
    ///
    /// # Errors
    /// The database's.
    pub async fn lock_environment(&mut self) -> Result<(), StoreError> {
        let sql = "SELECT FROM tenantry.environment WHERE name = $1 FOR NO KEY UPDATE";
        let statement = Statement::new(sql).bind(self.tx.env());
        self.tx.rows(statement).await.map(|_| ())
    }

    /// Makes an endpoint.
    ///
    /// # Errors
    /// The database's.
    pub async fn create(&mut self, new: &NewEndpoint) -> Result<EndpointRow, StoreError> {
        let (now, actor) = (self.tx.now, self.tx.actor.to_string());
        let statement = self.of(CREATE, new.id).bind(new.subject.uuid()).bind(new.target.clone());
        let statement = terms(statement, &new.terms)
            .bind(new.scheme.as_str())
            .bind(new.payload)
            .bind(new.nonce.to_vec())
            .bind(now)
            .bind(actor);
        self.change(statement, new.id).await
    }

    /// Gives a locked endpoint another address and other terms.
    ///
    /// # Errors
    /// The database's.
    pub async fn update(&mut self, id: WebhookId, target: &str, wanted: &Terms) -> Result<EndpointRow, StoreError> {
        let statement = terms(self.of(UPDATE, id).bind(target.to_owned()), wanted).bind(self.tx.now);
        self.change(statement, id).await
    }

    /// Gives a locked endpoint another key. The one before signs until a moment; one that has passed ends it at once.
    ///
    /// # Errors
    /// The database's.
    pub async fn rotate(
        &mut self,
        id: WebhookId,
        nonce: [u8; 32],
        until: Timestamp,
    ) -> Result<EndpointRow, StoreError> {
        let statement = self.of(ROTATE, id).bind(nonce.to_vec()).bind(until).bind(self.tx.now);
        self.change(statement, id).await
    }

    /// Ends deliveries to a locked endpoint, and its replays as far as they are. What waits for it is given up little by little, by
    /// whoever has its lane.
    ///
    /// # Errors
    /// The database's.
    pub async fn disable(&mut self, id: WebhookId, why: Why) -> Result<EndpointRow, StoreError> {
        let statement = self.of(DISABLE, id).bind(self.tx.now).bind(why.as_str());
        self.change(statement, id).await
    }

    /// Lets events go to a locked endpoint again, from now on.
    ///
    /// # Errors
    /// The database's.
    pub async fn enable(&mut self, id: WebhookId) -> Result<EndpointRow, StoreError> {
        let statement = self.of(ENABLE, id).bind(self.tx.now);
        self.change(statement, id).await
    }

    /// Removes a locked endpoint with what was given up for it. What still waits, and its log, go little by little.
    ///
    /// # Errors
    /// The database's.
    pub async fn delete(&mut self, id: WebhookId) -> Result<(), StoreError> {
        let statement = self.of(DELETE, id);
        self.tx.rows(statement).await?;
        self.tx.wrote = true;
        Ok(())
    }

    pub(super) fn of(&self, sql: &'static str, id: WebhookId) -> Statement {
        Statement::new(sql).bind(self.tx.env()).bind(id.uuid())
    }

    async fn change(&mut self, statement: Statement, id: WebhookId) -> Result<EndpointRow, StoreError> {
        self.tx.wrote = true;
        self.tx.rows(statement).await?;
        let get = self.of(GET, id);
        self.tx.rows(get).await?.first().map(read).transpose()?.ok_or(StoreError::NotFound)
    }
}

/// Adds the columns of terms.
fn terms(statement: Statement, terms: &Terms) -> Statement {
    let types: Vec<String> = terms.types.iter().map(|kind| kind.as_str().to_owned()).collect();
    let only = terms.only.as_ref().map(|only| only.iter().map(|id| id.uuid()).collect::<Vec<_>>());
    statement
        .bind(terms.description.clone())
        .bind(types)
        .bind(only)
        .bind(terms.fifo)
        .bind(terms.rate.map(|rate| i32::try_from(rate).unwrap_or(i32::MAX)))
        .bind(i16::try_from(terms.concurrency).unwrap_or(i16::MAX))
        .bind(terms.region.as_ref().map(|region| region.as_str().to_owned()))
}

impl Reader {
    /// One endpoint, if there is such a one.
    ///
    /// # Errors
    /// The database's.
    pub async fn webhook(&self, id: WebhookId) -> Result<Option<EndpointRow>, StoreError> {
        let params: [&(dyn ToSql + Sync); 2] = [&self.environment.as_str(), &id.uuid()];
        self.store.query_opt(GET, &params).await?.as_ref().map(read).transpose()
    }

    /// Endpoints, in the order of their making.
    ///
    /// # Errors
    /// The page token's, or the database's.
    pub async fn webhooks(
        &self,
        filter: &EndpointFilter,
        page: &PageRequest<'_>,
    ) -> Result<Page<EndpointRow>, StoreError> {
        let binding = Binding::new(&self.store, "webhooks", &self.environment, filter, page);
        let after = binding.open(page)?.map_or(Uuid::nil(), Uuid::from_bytes);
        let (subject, limit) = (filter.subject.map(Subject::uuid), i64::from(page.size.get()) + 1);
        let params: [&(dyn ToSql + Sync); 4] = [&self.environment.as_str(), &subject, &after, &limit];
        let rows = self.store.query(LIST, &params).await?;
        let found = rows.iter().map(read).collect::<Result<_, _>>()?;
        Ok(binding.page(found, page, |row: &EndpointRow| row.id.uuid().into_bytes()))
    }
}
