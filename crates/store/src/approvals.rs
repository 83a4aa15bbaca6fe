//! Approvals: somebody's word that somebody else may do one thing, once.

use tenantry_domain::Timestamp;
use tenantry_domain::id::{ApprovalId, TenantId};
use tenantry_domain::name::EnvironmentName;
use tenantry_pg::{Row, ToSql};
use uuid::Uuid;

use crate::columns::{get, parse};
use crate::cursor::Binding;
use crate::line::Statement;
use crate::{Page, PageRequest, Reader, StoreError, WriteTx};

/// An approval to be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApproval {
    /// Its id.
    pub id: ApprovalId,
    /// What may be done.
    pub action: String,
    /// To which tenant, in which version of it; absent for the environment.
    pub tenant: Option<(TenantId, i64)>,
    /// Which principal may do it.
    pub holder: String,
    /// The principal who agrees.
    pub given_by: String,
    /// The person behind it.
    pub person: String,
    /// Why.
    pub reason: String,
    /// It is void from then on.
    pub expires_at: Timestamp,
}

/// An approval as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRow {
    /// The partition.
    pub environment: EnvironmentName,
    /// What was given.
    pub given: NewApproval,
    /// When.
    pub given_at: Timestamp,
    /// When what it allows was done.
    pub used_at: Option<Timestamp>,
    /// When it was taken back.
    pub withdrawn_at: Option<Timestamp>,
}

/// Which approvals to list.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct ApprovalFilter {
    /// Only those about this tenant.
    pub tenant: Option<TenantId>,
    /// Only those that can be used.
    pub only_current: bool,
}

macro_rules! approval_columns {
    () => {
        "env, id, action, tenant, tenant_version, holder, given_by, person, reason, given_at, expires_at, used_at, withdrawn_at"
    };
}

const GIVE: &str = concat!(
    "INSERT INTO tenantry.approval
        (env, id, action, tenant, tenant_version, holder, given_by, person, reason, given_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING ",
    approval_columns!()
);
const GET: &str = concat!("SELECT ", approval_columns!(), " FROM tenantry.approval WHERE env = $1 AND id = $2");
const LOCK: &str =
    concat!("SELECT ", approval_columns!(), " FROM tenantry.approval WHERE env = $1 AND id = $2 FOR NO KEY UPDATE");
// Two uses at once wait for each other: one word is good for one deed. Of each giver the newest, so that many words of one
// do not hide another's.
macro_rules! open {
    () => {
        concat!(
            "SELECT ",
            approval_columns!(),
            " FROM tenantry.approval
    WHERE env = $1 AND used_at IS NULL AND withdrawn_at IS NULL AND id IN (
        SELECT DISTINCT ON (given_by) id FROM tenantry.approval
        WHERE env = $1 AND holder = $2 AND action = $3 AND tenant IS NOT DISTINCT FROM $4::uuid
            AND tenant_version IS NOT DISTINCT FROM $5::bigint AND expires_at > $6 AND used_at IS NULL AND withdrawn_at IS NULL
        ORDER BY given_by, id DESC
    )
    ORDER BY id LIMIT 100"
        )
    };
}
const OPEN: &str = concat!(open!(), " FOR NO KEY UPDATE");
const SEE_OPEN: &str = open!();
const GIVE_WAY: &str = "
    UPDATE tenantry.approval SET withdrawn_at = $7
    WHERE env = $1 AND holder = $2 AND action = $3 AND tenant IS NOT DISTINCT FROM $4::uuid
        AND tenant_version IS NOT DISTINCT FROM $5::bigint AND given_by = $6 AND used_at IS NULL AND withdrawn_at IS NULL
        AND expires_at > $7
    RETURNING id";
const USE: &str = "UPDATE tenantry.approval SET used_at = $3 WHERE env = $1 AND id = ANY($2::uuid[])";
const WITHDRAW: &str = concat!(
    "UPDATE tenantry.approval SET withdrawn_at = $3 WHERE env = $1 AND id = $2 RETURNING ",
    approval_columns!()
);
const LIST: &str = concat!(
    "SELECT ",
    approval_columns!(),
    " FROM tenantry.approval
    WHERE env = $1 AND ($2::uuid IS NULL OR tenant = $2) AND id < $5
        AND (NOT $3::boolean OR (used_at IS NULL AND withdrawn_at IS NULL AND expires_at > $4))
    ORDER BY id DESC LIMIT $6"
);

fn read(row: &Row) -> Result<ApprovalRow, StoreError> {
    let tenant = get::<Option<Uuid>>(row, "tenant")?.map(TenantId::from_uuid);
    Ok(ApprovalRow {
        environment: parse(row, "env")?,
        given: NewApproval {
            id: ApprovalId::from_uuid(get(row, "id")?),
            action: get(row, "action")?,
            tenant: tenant.zip(get(row, "tenant_version")?),
            holder: get(row, "holder")?,
            given_by: get(row, "given_by")?,
            person: get(row, "person")?,
            reason: get(row, "reason")?,
            expires_at: get(row, "expires_at")?,
        },
        given_at: get(row, "given_at")?,
        used_at: get(row, "used_at")?,
        withdrawn_at: get(row, "withdrawn_at")?,
    })
}

/// Approvals inside a transaction.
pub struct Approvals<'a> {
    pub(crate) tx: &'a mut WriteTx,
}

impl Approvals<'_> {
    async fn one(&mut self, statement: Statement) -> Result<ApprovalRow, StoreError> {
        let rows = self.tx.rows(statement).await?;
        rows.first().map(read).transpose()?.ok_or(StoreError::NotFound)
    }

    /// Stores one.
    ///
    /// # Errors
    /// The database's.
    pub async fn give(&mut self, new: &NewApproval) -> Result<ApprovalRow, StoreError> {
        let statement = Statement::new(GIVE)
            .bind(self.tx.env())
            .bind(new.id.uuid())
            .bind(new.action.clone())
            .bind(new.tenant.map(|(id, _)| id.uuid()))
            .bind(new.tenant.map(|(_, version)| version))
            .bind(new.holder.clone())
            .bind(new.given_by.clone())
            .bind(new.person.clone())
            .bind(new.reason.clone())
            .bind(self.tx.now)
            .bind(new.expires_at);
        let row = self.one(statement).await?;
        self.tx.wrote = true;
        Ok(row)
    }

    /// Takes back what the same principal gave for the same before, and says what that was.
    ///
    /// # Errors
    /// The database's.
    pub async fn give_way(&mut self, new: &NewApproval) -> Result<Vec<ApprovalId>, StoreError> {
        let statement = Statement::new(GIVE_WAY)
            .bind(self.tx.env())
            .bind(new.holder.clone())
            .bind(new.action.clone())
            .bind(new.tenant.map(|(id, _)| id.uuid()))
            .bind(new.tenant.map(|(_, version)| version))
            .bind(new.given_by.clone())
            .bind(self.tx.now);
        let rows = self.tx.rows(statement).await?;
        rows.iter().map(|row| get(row, "id").map(ApprovalId::from_uuid)).collect()
    }

    /// One that no other transaction changes until this one is over.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn lock(&mut self, id: ApprovalId) -> Result<ApprovalRow, StoreError> {
        let statement = Statement::new(LOCK).bind(self.tx.env()).bind(id.uuid());
        self.one(statement).await
    }

    /// Takes one back.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn withdraw(&mut self, id: ApprovalId) -> Result<ApprovalRow, StoreError> {
        let statement = Statement::new(WITHDRAW).bind(self.tx.env()).bind(id.uuid()).bind(self.tx.now);
        let row = self.one(statement).await?;
        self.tx.wrote = true;
        Ok(row)
    }

    /// Those that a principal can use for an action now, one of each giver, at most 100, locked.
    ///
    /// # Errors
    /// The database's.
    pub async fn open(
        &mut self,
        holder: &str,
        action: &str,
        tenant: Option<(TenantId, i64)>,
    ) -> Result<Vec<ApprovalRow>, StoreError> {
        let statement = Statement::new(self.tx.text(OPEN, SEE_OPEN))
            .bind(self.tx.env())
            .bind(holder.to_owned())
            .bind(action.to_owned())
            .bind(tenant.map(|(id, _)| id.uuid()))
            .bind(tenant.map(|(_, version)| version))
            .bind(self.tx.now);
        let mut rows: Vec<ApprovalRow> = self.tx.rows(statement).await?.iter().map(read).collect::<Result<_, _>>()?;
        if let Some(ahead) = &self.tx.ahead {
            rows.retain(|row| !ahead.spent.contains(&row.given.id.uuid()));
        }
        Ok(rows)
    }

    /// Uses them up; it leaves with the commit.
    pub fn spend(&mut self, rows: &[ApprovalRow]) {
        let ids: Vec<Uuid> = rows.iter().map(|row| row.given.id.uuid()).collect();
        if let Some(ahead) = &mut self.tx.ahead {
            ahead.spent.extend(&ids);
        }
        let statement = Statement::new(USE).bind(self.tx.env()).bind(ids).bind(self.tx.now);
        self.tx.queue(statement);
    }
}

impl Reader {
    /// An approval, if there is such a one.
    ///
    /// # Errors
    /// The database's.
    pub async fn approval(&self, id: ApprovalId) -> Result<Option<ApprovalRow>, StoreError> {
        let params: [&(dyn ToSql + Sync); 2] = [&self.environment.as_str(), &id.uuid()];
        self.store.query_opt(GET, &params).await?.as_ref().map(read).transpose()
    }

    /// A page of approvals, the newest first.
    ///
    /// # Errors
    /// The page token is of no use here.
    pub async fn approvals(
        &self,
        filter: &ApprovalFilter,
        page: &PageRequest<'_>,
    ) -> Result<Page<ApprovalRow>, StoreError> {
        let binding = Binding::new(&self.store, "approvals", &self.environment, filter, page);
        let before = binding.open(page)?.map_or(Uuid::max(), Uuid::from_bytes);
        let (tenant, limit) = (filter.tenant.map(TenantId::uuid), i64::from(page.size.get()) + 1);
        let params: [&(dyn ToSql + Sync); 6] =
            [&self.environment.as_str(), &tenant, &filter.only_current, &page.now, &before, &limit];
        let rows = self.store.query(LIST, &params).await?;
        let found = rows.iter().map(read).collect::<Result<_, _>>()?;
        Ok(binding.page(found, page, |row: &ApprovalRow| row.given.id.uuid().into_bytes()))
    }
}
