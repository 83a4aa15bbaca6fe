//! Incidents and their updates.

use tenantry_domain::Timestamp;
use tenantry_domain::id::{IncidentId, TenantId};
use tenantry_domain::incident::{Phase, Scope, Severity};
use tenantry_domain::name::CellName;
use tenantry_pg::{Row, ToSql};
use uuid::Uuid;

use crate::columns::{get, parse, parse_opt};
use crate::cursor::Binding;
use crate::line::Statement;
use crate::{Page, PageRequest, Reader, StoreError, WriteTx};

/// An incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentRow {
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
    /// The number of its newest update, from 1.
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

/// What is said of an incident at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentUpdateRow {
    /// Its number, from 1.
    pub number: i32,
    /// How far it was.
    pub phase: Phase,
    /// What was known.
    pub message: String,
    /// When.
    pub at: Timestamp,
    /// Who said so.
    pub author: String,
}

/// How many notifications of an incident stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IncidentProgress {
    /// On their way.
    pub waiting: i64,
    /// Taken by a server.
    pub sent: i64,
    /// Given up.
    pub dropped: i64,
}

/// Which incidents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IncidentFilter {
    /// Only those that are not over.
    pub is_open: bool,
    /// Only those that concern this tenant, in this cell.
    pub concerning: Option<(TenantId, Option<CellName>)>,
}

macro_rules! incident_columns {
    () => {
        "id, tenant, cell, severity, title, phase, updates, created_at, created_by, updated_at, resolved_at "
    };
}

const OPEN: &str = "
    WITH made AS (
        INSERT INTO tenantry.incident (env, id, tenant, cell, severity, title, phase, updates, created_at, created_by, updated_at,
            resolved_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $9, $8, CASE WHEN $7 = 'resolved' THEN $8::timestamptz END)
    )
    INSERT INTO tenantry.incident_update (env, incident, number, phase, message, at, author) VALUES ($1, $2, 1, $7, $10, $8, $9)";

const UPDATE: &str = "
    WITH made AS (
        UPDATE tenantry.incident SET phase = $4, updates = $3, updated_at = $6,
            resolved_at = CASE WHEN $4 = 'resolved' THEN $6::timestamptz END
        WHERE env = $1 AND id = $2
    )
    INSERT INTO tenantry.incident_update (env, incident, number, phase, message, at, author) VALUES ($1, $2, $3, $4, $5, $6, $7)";

const GET: &str = concat!("SELECT ", incident_columns!(), "FROM tenantry.incident WHERE env = $1 AND id = $2");

const LOCK: &str =
    concat!("SELECT ", incident_columns!(), "FROM tenantry.incident WHERE env = $1 AND id = $2 FOR NO KEY UPDATE");

const LIST: &str = concat!(
    "SELECT ",
    incident_columns!(),
    "FROM tenantry.incident
    WHERE env = $1 AND (NOT $2::boolean OR resolved_at IS NULL)
        AND ($3::uuid IS NULL OR tenant = $3 OR cell = $4::text OR tenant IS NULL AND cell IS NULL)
        AND id < $5 ORDER BY id DESC LIMIT $6"
);

const UPDATES: &str = "
    SELECT number, phase, message, at, author FROM tenantry.incident_update WHERE env = $1 AND incident = $2 ORDER BY number";

const PROGRESS: &str = "
    SELECT count(*) FILTER (WHERE sent_at IS NULL AND dropped_at IS NULL) AS waiting,
        count(*) FILTER (WHERE sent_at IS NOT NULL) AS sent,
        count(*) FILTER (WHERE sent_at IS NULL AND dropped_at IS NOT NULL) AS dropped
    FROM tenantry.notification WHERE env = $1 AND incident = $2";

fn scope(row: &Row) -> Result<Scope, StoreError> {
    let tenant: Option<Uuid> = get(row, "tenant")?;
    Ok(match (tenant, parse_opt(row, "cell")?) {
        (Some(tenant), _) => Scope::Tenant(TenantId::from_uuid(tenant)),
        (None, Some(cell)) => Scope::Cell(cell),
        (None, None) => Scope::All,
    })
}

fn read(row: &Row) -> Result<IncidentRow, StoreError> {
    Ok(IncidentRow {
        id: IncidentId::from_uuid(get(row, "id")?),
        scope: scope(row)?,
        severity: parse(row, "severity")?,
        title: get(row, "title")?,
        phase: parse(row, "phase")?,
        updates: get(row, "updates")?,
        created_at: get(row, "created_at")?,
        created_by: get(row, "created_by")?,
        updated_at: get(row, "updated_at")?,
        resolved_at: get(row, "resolved_at")?,
    })
}

impl WriteTx {
    /// Incidents.
    pub fn incidents(&mut self) -> Incidents<'_> {
        Incidents { tx: self }
    }
}

/// Incidents inside a transaction.
pub struct Incidents<'a> {
    tx: &'a mut WriteTx,
}

impl Incidents<'_> {
    /// Locks an incident, if there is such a one.
    ///
    /// # Errors
    /// The database's.
    pub async fn lock(&mut self, id: IncidentId) -> Result<Option<IncidentRow>, StoreError> {
        let lock = Statement::new(LOCK).bind(self.tx.env()).bind(id.uuid());
        self.tx.rows(lock).await?.first().map(read).transpose()
    }

    /// Records an incident with its first update.
    pub fn open(&mut self, new: &IncidentRow, message: &str) {
        let (tenant, cell) = match &new.scope {
            Scope::Tenant(tenant) => (Some(tenant.uuid()), None),
            Scope::Cell(cell) => (None, Some(cell.as_str().to_owned())),
            Scope::All => (None, None),
        };
        let open = Statement::new(OPEN)
            .bind(self.tx.env())
            .bind(new.id.uuid())
            .bind(tenant)
            .bind(cell)
            .bind(new.severity.as_str())
            .bind(new.title.clone())
            .bind(new.phase.as_str())
            .bind(new.created_at)
            .bind(new.created_by.clone())
            .bind(message.to_owned());
        self.tx.queue(open);
    }

    /// Records the next update of a locked incident, which has its phase and number already.
    pub fn update(&mut self, incident: &IncidentRow, message: &str, author: &str) {
        let update = Statement::new(UPDATE)
            .bind(self.tx.env())
            .bind(incident.id.uuid())
            .bind(incident.updates)
            .bind(incident.phase.as_str())
            .bind(message.to_owned())
            .bind(incident.updated_at)
            .bind(author.to_owned());
        self.tx.queue(update);
    }
}

impl Reader {
    /// One incident, if there is such a one.
    ///
    /// # Errors
    /// The database's.
    pub async fn incident(&self, id: IncidentId) -> Result<Option<IncidentRow>, StoreError> {
        let params: [&(dyn ToSql + Sync); 2] = [&self.environment.as_str(), &id.uuid()];
        self.store.query_opt(GET, &params).await?.as_ref().map(read).transpose()
    }

    /// Incidents, the newest first.
    ///
    /// # Errors
    /// The page token's, or the database's.
    pub async fn incidents(
        &self,
        filter: &IncidentFilter,
        page: &PageRequest<'_>,
    ) -> Result<Page<IncidentRow>, StoreError> {
        let binding = Binding::new(&self.store, "incidents", &self.environment, filter, page);
        let before = binding.open(page)?.map_or(Uuid::max(), Uuid::from_bytes);
        let limit = i64::from(page.size.get()) + 1;
        let (tenant, cell) = filter.concerning.clone().unzip();
        let cell = cell.flatten();
        let params: [&(dyn ToSql + Sync); 6] = [
            &self.environment.as_str(),
            &filter.is_open,
            &tenant.map(TenantId::uuid),
            &cell.as_ref().map(CellName::as_str),
            &before,
            &limit,
        ];
        let found = self.store.query(LIST, &params).await?.iter().map(read).collect::<Result<_, _>>()?;
        Ok(binding.page(found, page, |row: &IncidentRow| row.id.uuid().into_bytes()))
    }

    /// What was said of an incident, in order.
    ///
    /// # Errors
    /// The database's.
    pub async fn incident_updates(&self, id: IncidentId) -> Result<Vec<IncidentUpdateRow>, StoreError> {
        let params: [&(dyn ToSql + Sync); 2] = [&self.environment.as_str(), &id.uuid()];
        let update = |row: &Row| {
            Ok(IncidentUpdateRow {
                number: get(row, "number")?,
                phase: parse(row, "phase")?,
                message: get(row, "message")?,
                at: get(row, "at")?,
                author: get(row, "author")?,
            })
        };
        self.store.query(UPDATES, &params).await?.iter().map(update).collect()
    }

    /// How far the notifications of an incident are.
    ///
    /// # Errors
    /// The database's.
    pub async fn incident_progress(&self, id: IncidentId) -> Result<IncidentProgress, StoreError> {
        let params: [&(dyn ToSql + Sync); 2] = [&self.environment.as_str(), &id.uuid()];
        let row = self.store.query_opt(PROGRESS, &params).await?.ok_or(StoreError::NotFound)?;
        Ok(IncidentProgress {
            waiting: get(&row, "waiting")?,
            sent: get(&row, "sent")?,
            dropped: get(&row, "dropped")?,
        })
    }
}
