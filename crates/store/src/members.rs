//! People of tenants: invitations, memberships, roles.
//!
//! Whoever changes people of a tenant locks the tenant first, so that counts which a decision rests on (owners, users of
//! the quota) still hold when it is written.
//! INVARIANT: a user is one identity of one issuer, a membership joins user and tenant once, and a user without a
//! membership is forgotten. What a tenant was told of a person stands in the membership, and no other tenant sees it.

mod invitations;
mod mail;
mod offers;
mod roles;
mod users;

use std::collections::BTreeSet;

use tenantry_domain::Timestamp;
use tenantry_domain::id::{TenantId, UserId};
use tenantry_domain::member::{Email, Permission, Role, RoleName};
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
    /// Their address, as this tenant was told.
    pub email: Email,
    /// Their name, where this tenant was told.
    pub name: Option<String>,
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

/// What a tenant is told of a person.
#[derive(Debug, Clone, Copy)]
pub struct Card<'a> {
    /// Their address.
    pub email: &'a Email,
    /// Their name, where it is known.
    pub name: Option<&'a str>,
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
    /// Open invitations, and active users of the tenant's directory who are no members yet.
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
        "SELECT m.tenant, m.email, m.name, m.role, m.version, m.created_at AS since, m.created_by, m.updated_at, u.id,
            u.issuer, u.pool, u.subject, u.created_at, r.permissions
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
            WHERE env = $1 AND tenant = $2 AND status = 'pending' AND expires_at > $3)
        + (SELECT count(*) FROM tenantry.scim_user AS s
            WHERE s.env = $1 AND s.tenant = $2 AND s.active AND s.user_id IS NULL) AS open";

const ADD: &str = "
    INSERT INTO tenantry.member (env, tenant, user_id, role, version, created_at, created_by, updated_at, email, email_key, name)
    VALUES ($1, $2, $3, $4, 1, $5, $6, $5, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING user_id";

/// A name that was told stays until another one is told.
const SET_CARD: &str = "
    UPDATE tenantry.member SET email = $4, email_key = $5, name = coalesce($6, name), version = version + 1, updated_at = $7
    WHERE env = $1 AND tenant = $2 AND user_id = $3 RETURNING user_id";

const SET_ROLE: &str = "
    UPDATE tenantry.member SET role = $4, version = version + 1, updated_at = $5
    WHERE env = $1 AND tenant = $2 AND user_id = $3 RETURNING user_id";

/// A user of the directory whose membership ends is not active any more, whoever ended it; the directory can say otherwise.
const REMOVE: &str = "
    WITH provisioned AS (
        UPDATE tenantry.scim_user SET active = false, doc = jsonb_set(doc, '{active}', 'false'), version = version + 1,
            updated_at = clock_timestamp()
        WHERE env = $1 AND tenant = $2 AND user_id = $3 AND active
    )
    DELETE FROM tenantry.member WHERE env = $1 AND tenant = $2 AND user_id = $3 RETURNING user_id";

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
        email: parse(row, "email")?,
        name: get(row, "name")?,
        role: role(row)?,
        version: get(row, "version")?,
        created_at: get(row, "since")?,
        created_by: get(row, "created_by")?,
        updated_at: get(row, "updated_at")?,
    })
}

fn roll(row: &Row) -> Result<Roll, StoreError> {
    Ok(Roll { members: get(row, "members")?, owners: get(row, "owners")?, open: get(row, "open")? })
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
        roll(rows.first().ok_or(StoreError::NotFound)?)
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
        card: &Card<'_>,
    ) -> Result<Option<MemberRow>, StoreError> {
        let add = self.of(ADD, tenant, user).bind(role.as_str().to_owned()).bind(self.tx.now);
        let add = add.bind(self.tx.actor.to_string()).bind(card.email.as_str().to_owned()).bind(card.email.key());
        let add = add.bind(card.name.map(ToOwned::to_owned));
        self.tx.wrote = true;
        if self.tx.rows(add).await?.is_empty() {
            return Ok(None);
        }
        self.get(tenant, user).await
    }

    /// Remembers what a tenant was told of a member.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or the database's.
    pub async fn set_card(&mut self, tenant: TenantId, user: UserId, card: &Card<'_>) -> Result<MemberRow, StoreError> {
        let set = self.of(SET_CARD, tenant, user).bind(card.email.as_str().to_owned()).bind(card.email.key());
        let set = set.bind(card.name.map(ToOwned::to_owned)).bind(self.tx.now);
        self.tx.wrote = true;
        if self.tx.rows(set).await?.is_empty() {
            return Err(StoreError::NotFound);
        }
        self.get(tenant, user).await?.ok_or(StoreError::NotFound)
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
        self.leave(tenant, user).await?;
        self.forget(&[user]).await
    }

    /// Ends a membership. The user is for [`Members::forget`] in the same transaction.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or the database's.
    pub async fn leave(&mut self, tenant: TenantId, user: UserId) -> Result<(), StoreError> {
        let remove = self.of(REMOVE, tenant, user);
        self.tx.wrote = true;
        if self.tx.rows(remove).await?.is_empty() { Err(StoreError::NotFound) } else { Ok(()) }
    }

    /// Whether a user is a member of another tenant. The answer holds until the end of the transaction once the user was
    /// put in it.
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
    /// How many people a tenant has.
    ///
    /// # Errors
    /// The database's.
    pub async fn roll(&self, tenant: TenantId, now: Timestamp) -> Result<Roll, StoreError> {
        let params: [&(dyn ToSql + Sync); 3] = [&self.environment.as_str(), &tenant.uuid(), &now];
        let row = self.store.query_opt(ROLL, &params).await?.ok_or(StoreError::NotFound)?;
        roll(&row)
    }

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
