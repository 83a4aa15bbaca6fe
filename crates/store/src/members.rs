//! People of tenants: invitations, memberships, roles.
//!
//! Whoever changes people of a tenant locks the tenant first, so that counts which a decision rests on (owners, users of
//! the quota) still hold when it is written.
//! INVARIANT: a user is one identity of one issuer, a membership joins user and tenant once, and a user without a
//! membership is forgotten.

mod invitations;
mod mail;
mod offers;
mod roles;
mod users;

use std::collections::BTreeSet;

use tenantry_domain::Timestamp;
use tenantry_domain::id::{TenantId, UserId};
use tenantry_domain::member::{Permission, Role, RoleName};
use tenantry_domain::tenant::Slug;
use tenantry_pg::{Row, ToSql};

pub use invitations::{InvitationRow, NewInvitation};
pub use mail::{MailRow, MailStanding, Mails};
pub use offers::OfferRow;
pub use roles::{RoleRow, Uses};
pub use users::UserRow;

use crate::columns::{get, parse, slug};
use crate::cursor::Binding;
use crate::line::Statement;
use crate::{Page, PageRequest, Reader, StoreError, WriteTx};

/// A member as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRow {
    /// Of which tenant.
    pub tenant: TenantId,
    /// Who.
    pub user: UserRow,
    /// What they hold.
    pub role: Role,
    /// Rises with every change; begins with 1.
    pub version: i64,
    /// Since when.
    pub created_at: Timestamp,
    /// Who made them a member.
    pub created_by: String,
    /// The last change.
    pub updated_at: Timestamp,
}

/// A tenant that a user is a member of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembershipRow {
    /// The tenant.
    pub tenant: TenantId,
    /// Its name.
    pub slug: Slug,
    /// Its name for people.
    pub display_name: String,
    /// What the user holds there.
    pub role: RoleName,
    /// Since when.
    pub created_at: Timestamp,
}

/// How many people a tenant has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Roll {
    /// Members, owners counted.
    pub members: i64,
    /// Owners.
    pub owners: i64,
    /// Open invitations.
    pub open: i64,
}

impl Roll {
    /// What counts against the quota.
    #[must_use]
    pub fn used(&self) -> u64 {
        u64::try_from(self.members.saturating_add(self.open)).unwrap_or(0)
    }
}

macro_rules! member_columns {
    () => {
        "SELECT m.tenant, m.role, m.version, m.created_at AS since, m.created_by, m.updated_at AS changed_at, u.id, u.issuer,
            u.pool, u.subject, u.email, u.name, u.created_at, u.updated_at, r.permissions
        FROM tenantry.member AS m
        JOIN tenantry.user_account AS u ON u.env = m.env AND u.id = m.user_id
        LEFT JOIN tenantry.member_role AS r ON r.env = m.env AND r.tenant = m.tenant AND r.name = m.role "
    };
}

const GET: &str = concat!(member_columns!(), "WHERE m.env = $1 AND m.tenant = $2 AND m.user_id = $3");

const LIST: &str = concat!(
    member_columns!(),
    "WHERE m.env = $1 AND m.tenant = $2 AND ($3::text IS NULL OR m.role = $3) AND m.user_id > $4
    ORDER BY m.user_id LIMIT $5"
);

const TENANTS: &str = "
    SELECT m.tenant, m.role, m.created_at, t.slug, t.spec ->> 'displayName' AS display_name
    FROM tenantry.member AS m JOIN tenantry.tenant AS t ON t.env = m.env AND t.id = m.tenant
    WHERE m.env = $1 AND m.user_id = $2 AND m.tenant > $3 AND t.phase <> 'deleted' ORDER BY m.tenant LIMIT $4";

const ROLL: &str = "
    SELECT (SELECT count(*) FROM tenantry.member WHERE env = $1 AND tenant = $2) AS members,
        (SELECT count(*) FROM tenantry.member WHERE env = $1 AND tenant = $2 AND role = 'owner') AS owners,
        (SELECT count(*) FROM tenantry.invitation
            WHERE env = $1 AND tenant = $2 AND status = 'pending' AND expires_at > $3) AS open";

const ADD: &str = "
    INSERT INTO tenantry.member (env, tenant, user_id, role, version, created_at, created_by, updated_at)
    VALUES ($1, $2, $3, $4, 1, $5, $6, $5) ON CONFLICT DO NOTHING RETURNING user_id";

const SET_ROLE: &str = "
    UPDATE tenantry.member SET role = $4, version = version + 1, updated_at = $5
    WHERE env = $1 AND tenant = $2 AND user_id = $3 RETURNING user_id";

const REMOVE: &str = "DELETE FROM tenantry.member WHERE env = $1 AND tenant = $2 AND user_id = $3 RETURNING user_id";

const ELSEWHERE: &str = "
    SELECT 1 FROM tenantry.member AS m JOIN tenantry.tenant AS t ON t.env = m.env AND t.id = m.tenant
    WHERE m.env = $1 AND m.user_id = $2 AND m.tenant <> $3 AND t.phase <> 'deleted' LIMIT 1";

/// A role out of its name and, for one of the tenant's own, its permissions.
fn role(row: &Row) -> Result<Role, StoreError> {
    let name: RoleName = parse(row, "role")?;
    match name.standard() {
        Some(standard) => Ok(Role::Standard(standard)),
        None => Ok(Role::Custom { name, permissions: permissions(row)? }),
    }
}

/// Permissions that this release does not know any more are left out: whoever had them has less, not more.
fn permissions(row: &Row) -> Result<BTreeSet<Permission>, StoreError> {
    let texts: Option<Vec<String>> = get(row, "permissions")?;
    Ok(texts.unwrap_or_default().iter().filter_map(|text| Permission::parse(text).ok()).collect())
}

fn read(row: &Row) -> Result<MemberRow, StoreError> {
    Ok(MemberRow {
        tenant: TenantId::from_uuid(get(row, "tenant")?),
        user: users::read(row)?,
        role: role(row)?,
        version: get(row, "version")?,
        created_at: get(row, "since")?,
        created_by: get(row, "created_by")?,
        updated_at: get(row, "changed_at")?,
    })
}

impl WriteTx {
    /// People of tenants. Lock the tenant first.
    pub fn members(&mut self) -> Members<'_> {
        Members { tx: self }
    }
}

/// People of tenants inside a transaction.
pub struct Members<'a> {
    pub(crate) tx: &'a mut WriteTx,
}

impl Members<'_> {
    /// How many people a tenant has.
    ///
    /// # Errors
    /// The database's.
    pub async fn roll(&mut self, tenant: TenantId) -> Result<Roll, StoreError> {
        let statement = Statement::new(ROLL).bind(self.tx.env()).bind(tenant.uuid()).bind(self.tx.now);
        let rows = self.tx.rows(statement).await?;
        let row = rows.first().ok_or(StoreError::NotFound)?;
        Ok(Roll { members: get(row, "members")?, owners: get(row, "owners")?, open: get(row, "open")? })
    }

    /// A member, if there is such a one.
    ///
    /// # Errors
    /// The database's.
    pub async fn get(&mut self, tenant: TenantId, user: UserId) -> Result<Option<MemberRow>, StoreError> {
        let statement = self.of(GET, tenant, user);
        self.tx.rows(statement).await?.first().map(read).transpose()
    }

    /// Makes a user a member. Gives nothing when they are one already.
    ///
    /// # Errors
    /// The database's.
    pub async fn add(
        &mut self,
        tenant: TenantId,
        user: UserId,
        role: &RoleName,
    ) -> Result<Option<MemberRow>, StoreError> {
        let add = self.of(ADD, tenant, user).bind(role.as_str().to_owned()).bind(self.tx.now);
        let add = add.bind(self.tx.actor.to_string());
        self.tx.wrote = true;
        if self.tx.rows(add).await?.is_empty() {
            return Ok(None);
        }
        self.get(tenant, user).await
    }

    /// Gives a member another role.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or the database's.
    pub async fn set_role(&mut self, tenant: TenantId, user: UserId, role: &RoleName) -> Result<MemberRow, StoreError> {
        let set = self.of(SET_ROLE, tenant, user).bind(role.as_str().to_owned()).bind(self.tx.now);
        self.tx.wrote = true;
        if self.tx.rows(set).await?.is_empty() {
            return Err(StoreError::NotFound);
        }
        self.get(tenant, user).await?.ok_or(StoreError::NotFound)
    }

    /// Ends a membership; a user whose last one it was is forgotten.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or the database's.
    pub async fn remove(&mut self, tenant: TenantId, user: UserId) -> Result<(), StoreError> {
        let remove = self.of(REMOVE, tenant, user);
        self.tx.wrote = true;
        if self.tx.rows(remove).await?.is_empty() {
            return Err(StoreError::NotFound);
        }
        self.forget(user).await
    }

    /// Whether a user is a member of another tenant.
    ///
    /// # Errors
    /// The database's.
    pub async fn is_elsewhere(&mut self, user: UserId, tenant: TenantId) -> Result<bool, StoreError> {
        let statement = Statement::new(ELSEWHERE).bind(self.tx.env()).bind(user.uuid()).bind(tenant.uuid());
        Ok(!self.tx.rows(statement).await?.is_empty())
    }

    fn of(&self, sql: &'static str, tenant: TenantId, user: UserId) -> Statement {
        Statement::new(sql).bind(self.tx.env()).bind(tenant.uuid()).bind(user.uuid())
    }
}

impl Reader {
    /// A member, if there is such a one.
    ///
    /// # Errors
    /// The database's.
    pub async fn member(&self, tenant: TenantId, user: UserId) -> Result<Option<MemberRow>, StoreError> {
        let params: [&(dyn ToSql + Sync); 3] = [&self.environment.as_str(), &tenant.uuid(), &user.uuid()];
        self.store.query_opt(GET, &params).await?.as_ref().map(read).transpose()
    }

    /// Members of a tenant, in the order in which they became known; only those of a role when one is given.
    ///
    /// # Errors
    /// The page token's, or the database's.
    pub async fn members(
        &self,
        tenant: TenantId,
        role: Option<&RoleName>,
        page: &PageRequest<'_>,
    ) -> Result<Page<MemberRow>, StoreError> {
        let binding = Binding::new(&self.store, "members", &self.environment, &(tenant, role), page);
        let after = uuid::Uuid::from_bytes(binding.open(page)?.unwrap_or([0; 16]));
        let (role, limit) = (role.map(RoleName::as_str), i64::from(page.size.get()) + 1);
        let params: [&(dyn ToSql + Sync); 5] = [&self.environment.as_str(), &tenant.uuid(), &role, &after, &limit];
        let rows = self.store.query(LIST, &params).await?;
        let found = rows.iter().map(read).collect::<Result<_, _>>()?;
        Ok(binding.page(found, page, |row: &MemberRow| row.user.id.uuid().into_bytes()))
    }

    /// Tenants that a user is a member of, oldest first.
    ///
    /// # Errors
    /// The page token's, or the database's.
    pub async fn tenants_of(&self, user: UserId, page: &PageRequest<'_>) -> Result<Page<MembershipRow>, StoreError> {
        let binding = Binding::new(&self.store, "memberships", &self.environment, &user, page);
        let after = uuid::Uuid::from_bytes(binding.open(page)?.unwrap_or([0; 16]));
        let limit = i64::from(page.size.get()) + 1;
        let params: [&(dyn ToSql + Sync); 4] = [&self.environment.as_str(), &user.uuid(), &after, &limit];
        let rows = self.store.query(TENANTS, &params).await?;
        let found = rows.iter().map(membership).collect::<Result<_, _>>()?;
        Ok(binding.page(found, page, |row: &MembershipRow| row.tenant.uuid().into_bytes()))
    }
}

fn membership(row: &Row) -> Result<MembershipRow, StoreError> {
    let name: Option<String> = get(row, "display_name")?;
    let slug = slug(row)?;
    Ok(MembershipRow {
        tenant: TenantId::from_uuid(get(row, "tenant")?),
        display_name: name.unwrap_or_else(|| slug.to_string()),
        slug,
        role: parse(row, "role")?,
        created_at: get(row, "created_at")?,
    })
}
