//! Emergency access to tenants: who asked, who agreed, until when.

use tenantry_domain::Timestamp;
use tenantry_domain::gateway::{Access, LoginName};
use tenantry_domain::id::{GrantId, TenantId};
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::policy::grant::Grant;
use tenantry_pg::{Row, ToSql};
use uuid::Uuid;

use crate::columns::{get, parse, parse_opt};
use crate::cursor::Binding;
use crate::line::Statement;
use crate::{Page, PageRequest, Reader, StoreError, WriteTx};

/// A request for access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGrant {
    /// Its id.
    pub id: GrantId,
    /// To whose data.
    pub tenant: TenantId,
    /// The principal who asks.
    pub requested_by: String,
    /// The person behind it.
    pub person: String,
    /// Why.
    pub reason: String,
    /// Where that is discussed.
    pub ticket: Option<String>,
    /// Whether it is to write, too.
    pub access: Access,
    /// For how long, 1 to 60.
    pub minutes: u32,
    /// Nobody agrees from then on.
    pub lapses_at: Timestamp,
}

/// A grant as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRow {
    /// The partition.
    pub environment: EnvironmentName,
    /// Its id.
    pub id: GrantId,
    /// To whose data.
    pub tenant: TenantId,
    /// The principal who asked.
    pub requested_by: String,
    /// Why.
    pub reason: String,
    /// Where that is discussed.
    pub ticket: Option<String>,
    /// Whether it is to write, too.
    pub access: Access,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// What decisions are made on.
    pub grant: Grant,
    /// The principal and the person who answered.
    pub answered: Option<(String, String)>,
    /// The login of the gateway that was made for it.
    pub login: Option<LoginName>,
    /// Who ended it early.
    pub ended_by: Option<String>,
    /// Who looked at what was done, and said what.
    pub review: Option<(String, String)>,
}

/// Which grants to list.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct GrantFilter {
    /// Only those of this tenant.
    pub tenant: Option<TenantId>,
    /// Only those that wait or hold.
    pub only_current: bool,
}

macro_rules! grant_columns {
    () => {
        "env, id, tenant, requested_by, person, reason, ticket, access, minutes, requested_at, lapses_at, approved_by, approver, \
         approved_at, refused_at, ends_at, ended_at, ended_by, login, reviewed_by, reviewed_at, review"
    };
}

const CREATE: &str = concat!(
    "INSERT INTO tenantry.access_grant (env, id, tenant, requested_by, person, reason, ticket, access, minutes, requested_at,
        lapses_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING ",
    grant_columns!()
);
const GET: &str = concat!("SELECT ", grant_columns!(), " FROM tenantry.access_grant WHERE env = $1 AND id = $2");
const LOCK: &str =
    concat!("SELECT ", grant_columns!(), " FROM tenantry.access_grant WHERE env = $1 AND id = $2 FOR NO KEY UPDATE");
const LIST: &str = concat!(
    "SELECT ",
    grant_columns!(),
    " FROM tenantry.access_grant
    WHERE env = $1 AND ($2::uuid IS NULL OR tenant = $2) AND id < $5
        AND (NOT $3::boolean OR (refused_at IS NULL AND ended_at IS NULL AND coalesce(ends_at, lapses_at) > $4))
    ORDER BY id DESC LIMIT $6"
);
// A person's minutes within a day bound how many there are.
const OPEN_OF: &str = "
    SELECT tenant, id FROM tenantry.access_grant
    WHERE env = $1 AND (requested_by = $2 OR approved_by = $2) AND ends_at > $3 AND ended_at IS NULL
    ORDER BY tenant, id";
// Whoever sums waits for whoever is summing: two answers at once must not both find room.
const USED_LOCK: &str =
    "SELECT pg_advisory_xact_lock(hashtextextended('tenantry.access.' || $1 || '.' || lower(trim($2)), 0))";
const USED: &str = "
    SELECT coalesce(sum(minutes), 0)::bigint AS used FROM tenantry.access_grant
    WHERE env = $1 AND lower(trim(person)) = lower(trim($2)) AND approved_at > $3::timestamptz - interval '24 hours'";
const APPROVE: &str = concat!(
    "UPDATE tenantry.access_grant SET approved_by = $3, approver = $4, approved_at = $5, ends_at = $6
    WHERE env = $1 AND id = $2 RETURNING ",
    grant_columns!()
);
const REFUSE: &str = concat!(
    "UPDATE tenantry.access_grant SET approved_by = $3, refused_at = $4 WHERE env = $1 AND id = $2 RETURNING ",
    grant_columns!()
);
const OPEN: &str =
    concat!("UPDATE tenantry.access_grant SET login = $3 WHERE env = $1 AND id = $2 RETURNING ", grant_columns!());
const END: &str = concat!(
    "UPDATE tenantry.access_grant SET ended_by = $3, ended_at = $4 WHERE env = $1 AND id = $2 RETURNING ",
    grant_columns!()
);
const REVIEW: &str = concat!(
    "UPDATE tenantry.access_grant SET reviewed_by = $3, review = $4, reviewed_at = $5 WHERE env = $1 AND id = $2 RETURNING ",
    grant_columns!()
);

fn read(row: &Row) -> Result<GrantRow, StoreError> {
    let approved_at: Option<Timestamp> = get(row, "approved_at")?;
    let ends_at: Option<Timestamp> = get(row, "ends_at")?;
    let answered_by: Option<String> = get(row, "approved_by")?;
    let approver: Option<String> = get(row, "approver")?;
    let review: Option<String> = get(row, "review")?;
    let minutes: i32 = get(row, "minutes")?;
    Ok(GrantRow {
        environment: parse(row, "env")?,
        id: GrantId::from_uuid(get(row, "id")?),
        tenant: TenantId::from_uuid(get(row, "tenant")?),
        requested_by: get(row, "requested_by")?,
        reason: get(row, "reason")?,
        ticket: get(row, "ticket")?,
        access: parse(row, "access")?,
        requested_at: get(row, "requested_at")?,
        grant: Grant {
            person: get(row, "person")?,
            minutes: u32::try_from(minutes).map_err(|_| StoreError::Unreadable { what: "minutes" })?,
            lapses_at: get(row, "lapses_at")?,
            refused_at: get(row, "refused_at")?,
            span: approved_at.zip(ends_at),
            ended_at: get(row, "ended_at")?,
            reviewed_at: get(row, "reviewed_at")?,
        },
        answered: answered_by.map(|by| (by, approver.unwrap_or_default())),
        login: parse_opt(row, "login")?,
        ended_by: get(row, "ended_by")?,
        review: get::<Option<String>>(row, "reviewed_by")?.zip(review),
    })
}

/// Grants inside a transaction.
pub struct Grants<'a> {
    pub(crate) tx: &'a mut WriteTx,
}

impl Grants<'_> {
    async fn one(&mut self, statement: Statement) -> Result<GrantRow, StoreError> {
        let rows = self.tx.rows(statement).await?;
        let row = rows.first().map(read).transpose()?.ok_or(StoreError::NotFound)?;
        self.tx.wrote = true;
        Ok(row)
    }

    fn of(&self, sql: &'static str, id: GrantId) -> Statement {
        Statement::new(sql).bind(self.tx.env()).bind(id.uuid())
    }

    /// Stores a request.
    ///
    /// # Errors
    /// The database's.
    pub async fn create(&mut self, new: &NewGrant) -> Result<GrantRow, StoreError> {
        let now = self.tx.now;
        let statement = self
            .of(CREATE, new.id)
            .bind(new.tenant.uuid())
            .bind(new.requested_by.clone())
            .bind(new.person.clone())
            .bind(new.reason.clone())
            .bind(new.ticket.clone())
            .bind(new.access.to_string())
            .bind(i32::try_from(new.minutes).unwrap_or(i32::MAX))
            .bind(now)
            .bind(new.lapses_at);
        self.one(statement).await
    }

    /// A grant, which no other transaction changes until this one is over.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn lock(&mut self, id: GrantId) -> Result<GrantRow, StoreError> {
        let statement = self.of(LOCK, id);
        self.tx.rows(statement).await?.first().map(read).transpose()?.ok_or(StoreError::NotFound)
    }

    /// How many minutes a person was granted within 24 hours; nobody else sums for it until the transaction is over.
    ///
    /// # Errors
    /// The database's.
    pub async fn used(&mut self, person: &str) -> Result<u32, StoreError> {
        let lock = Statement::new(USED_LOCK).bind(self.tx.env()).bind(person.to_owned());
        self.tx.rows(lock).await?;
        let sum = Statement::new(USED).bind(self.tx.env()).bind(person.to_owned()).bind(self.tx.now);
        let rows = self.tx.rows(sum).await?;
        let used: i64 = rows.first().map_or(Ok(0), |row| get(row, "used"))?;
        Ok(u32::try_from(used).unwrap_or(u32::MAX))
    }

    /// Grants that hold now and that a principal asked for or agreed to, by tenant, not locked.
    ///
    /// # Errors
    /// The database's.
    pub async fn open_of(&mut self, principal: &str) -> Result<Vec<(TenantId, GrantId)>, StoreError> {
        let statement = Statement::new(OPEN_OF).bind(self.tx.env()).bind(principal.to_owned()).bind(self.tx.now);
        let rows = self.tx.rows(statement).await?;
        let one = |row: &Row| Ok((TenantId::from_uuid(get(row, "tenant")?), GrantId::from_uuid(get(row, "id")?)));
        rows.iter().map(one).collect()
    }

    /// Somebody agrees.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn approve(
        &mut self,
        id: GrantId,
        by: &str,
        person: &str,
        until: Timestamp,
    ) -> Result<GrantRow, StoreError> {
        let now = self.tx.now;
        let statement = self.of(APPROVE, id).bind(by.to_owned()).bind(person.to_owned()).bind(now).bind(until);
        self.one(statement).await
    }

    /// Somebody says no.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn refuse(&mut self, id: GrantId, by: &str) -> Result<GrantRow, StoreError> {
        let now = self.tx.now;
        let statement = self.of(REFUSE, id).bind(by.to_owned()).bind(now);
        self.one(statement).await
    }

    /// Remembers the login that was made for it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn open(&mut self, id: GrantId, login: &LoginName) -> Result<GrantRow, StoreError> {
        let statement = self.of(OPEN, id).bind(login.to_string());
        self.one(statement).await
    }

    /// It is ended early.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn end(&mut self, id: GrantId, by: &str) -> Result<GrantRow, StoreError> {
        let now = self.tx.now;
        let statement = self.of(END, id).bind(by.to_owned()).bind(now);
        self.one(statement).await
    }

    /// Somebody looked at what was done.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn review(&mut self, id: GrantId, by: &str, text: &str) -> Result<GrantRow, StoreError> {
        let now = self.tx.now;
        let statement = self.of(REVIEW, id).bind(by.to_owned()).bind(text.to_owned()).bind(now);
        self.one(statement).await
    }
}

impl Reader {
    /// A grant, if there is such a one.
    ///
    /// # Errors
    /// The database's.
    pub async fn grant(&self, id: GrantId) -> Result<Option<GrantRow>, StoreError> {
        let params: [&(dyn ToSql + Sync); 2] = [&self.environment.as_str(), &id.uuid()];
        self.store.query_opt(GET, &params).await?.as_ref().map(read).transpose()
    }

    /// A page of grants, the newest first.
    ///
    /// # Errors
    /// The page token is of no use here.
    pub async fn grants(&self, filter: &GrantFilter, page: &PageRequest<'_>) -> Result<Page<GrantRow>, StoreError> {
        let binding = Binding::new(&self.store, "grants", &self.environment, filter, page);
        let before = binding.open(page)?.map_or(Uuid::max(), Uuid::from_bytes);
        let (tenant, limit) = (filter.tenant.map(TenantId::uuid), i64::from(page.size.get()) + 1);
        let params: [&(dyn ToSql + Sync); 6] =
            [&self.environment.as_str(), &tenant, &filter.only_current, &page.now, &before, &limit];
        let rows = self.store.query(LIST, &params).await?;
        let found = rows.iter().map(read).collect::<Result<_, _>>()?;
        Ok(binding.page(found, page, |row: &GrantRow| row.id.uuid().into_bytes()))
    }
}
