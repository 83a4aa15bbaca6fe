//! Invitations: what a link is compared with, and what became of it.
//!
//! INVARIANT: at most one is pending per tenant and person, by unique index; the secret of a link is nowhere here.

use std::fmt;

use tenantry_domain::Timestamp;
use tenantry_domain::id::{InvitationId, TenantId, UserId};
use tenantry_domain::member::{Email, Invited, Role, RoleName};
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::tenant::Slug;
use tenantry_pg::{Row, ToSql};
use uuid::Uuid;

use super::{Members, role};
use crate::columns::{digest, get, parse, slug};
use crate::cursor::Binding;
use crate::line::Statement;
use crate::{Page, PageRequest, Reader, Store, StoreError};

/// An invitation as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct InvitationRow {
    /// The partition.
    pub environment: EnvironmentName,
    /// Which.
    pub id: InvitationId,
    /// To which tenant.
    pub tenant: TenantId,
    /// Its name.
    pub slug: Slug,
    /// Who is invited.
    pub email: Email,
    /// As what. One of the tenant's own that is gone by now holds nothing.
    pub role: Role,
    /// What the secret of the newest link is made of, together with a key.
    pub nonce: [u8; 32],
    /// Keyed hash of that secret.
    pub hash: [u8; 32],
    /// What became of it.
    pub invited: Invited,
    /// The member who invited; absent for an operator.
    pub invited_by: Option<UserId>,
    /// How often it was sent.
    pub sends: i32,
    /// When last.
    pub sent_at: Timestamp,
    /// Until when it can be accepted.
    pub expires_at: Timestamp,
    /// Rises with every change; begins with 1.
    pub version: i64,
    /// Since when it exists.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it was answered or taken back.
    pub settled_at: Option<Timestamp>,
    /// Who became a member by it.
    pub accepted_by: Option<UserId>,
}

impl fmt::Debug for InvitationRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("InvitationRow");
        shown
            .field("id", &self.id)
            .field("tenant", &self.tenant)
            .field("invited", &self.invited)
            .finish_non_exhaustive()
    }
}

/// An invitation that is to be.
#[derive(Clone)]
pub struct NewInvitation {
    /// Its id.
    pub id: InvitationId,
    /// To which tenant.
    pub tenant: TenantId,
    /// Who is invited.
    pub email: Email,
    /// As what.
    pub role: RoleName,
    /// What the secret is made of.
    pub nonce: [u8; 32],
    /// Keyed hash of the secret.
    pub hash: [u8; 32],
    /// On behalf of which member.
    pub invited_by: Option<UserId>,
    /// Until when it can be accepted.
    pub expires_at: Timestamp,
    /// Whether the person gets an account at the identity provider beforehand.
    pub with_account: bool,
}

macro_rules! invitation_columns {
    () => {
        "SELECT i.env, i.id, i.tenant, t.slug, i.email, i.role, i.nonce, i.hash, i.status, i.invited_by, i.sends, i.sent_at,
            i.expires_at, i.version, i.created_at, i.created_by, i.settled_at, i.accepted_by, r.permissions
        FROM tenantry.invitation AS i
        JOIN tenantry.tenant AS t ON t.env = i.env AND t.id = i.tenant
        LEFT JOIN tenantry.member_role AS r ON r.env = i.env AND r.tenant = i.tenant AND r.name = i.role "
    };
}

const FIND: &str = concat!(invitation_columns!(), "WHERE i.id = $1");

const GET: &str = concat!(invitation_columns!(), "WHERE i.env = $1 AND i.tenant = $2 AND i.id = $3");

const LIST: &str = concat!(
    invitation_columns!(),
    "WHERE i.env = $1 AND i.tenant = $2 AND ($3::boolean OR (i.status = 'pending' AND i.expires_at > $4)) AND i.id < $5
    ORDER BY i.id DESC LIMIT $6"
);

const CREATE: &str = "
    INSERT INTO tenantry.invitation (env, id, tenant, email, email_key, role, nonce, hash, status, invited_by, sends, sent_at,
        expires_at, version, created_at, created_by, with_account)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'pending', $9, 1, $10, $11, 1, $10, $12, $13)";

const RENEW: &str = "
    UPDATE tenantry.invitation SET nonce = $4, hash = $5, sends = sends + 1, sent_at = $6, expires_at = $7, invited_by = $8,
        version = version + 1
    WHERE env = $1 AND tenant = $2 AND id = $3 AND status = 'pending' RETURNING id";

const SETTLE: &str = "
    UPDATE tenantry.invitation SET status = $4, settled_at = $5, accepted_by = $6, version = version + 1
    WHERE env = $1 AND tenant = $2 AND id = $3 AND status = 'pending' RETURNING id";

fn read(row: &Row) -> Result<InvitationRow, StoreError> {
    let invited: &str = get(row, "status")?;
    let user =
        |name| -> Result<Option<UserId>, StoreError> { Ok(get::<Option<Uuid>>(row, name)?.map(UserId::from_uuid)) };
    Ok(InvitationRow {
        environment: parse(row, "env")?,
        id: InvitationId::from_uuid(get(row, "id")?),
        tenant: TenantId::from_uuid(get(row, "tenant")?),
        slug: slug(row)?,
        email: parse(row, "email")?,
        role: role(row)?,
        nonce: digest(row, "nonce")?,
        hash: digest(row, "hash")?,
        invited: invited.parse().map_err(|()| StoreError::Unreadable { what: "status" })?,
        invited_by: user("invited_by")?,
        sends: get(row, "sends")?,
        sent_at: get(row, "sent_at")?,
        expires_at: get(row, "expires_at")?,
        version: get(row, "version")?,
        created_at: get(row, "created_at")?,
        created_by: get(row, "created_by")?,
        settled_at: get(row, "settled_at")?,
        accepted_by: user("accepted_by")?,
    })
}

impl Members<'_> {
    /// An invitation of a tenant, if there is such a one.
    ///
    /// # Errors
    /// The database's.
    pub async fn invitation(
        &mut self,
        tenant: TenantId,
        id: InvitationId,
    ) -> Result<Option<InvitationRow>, StoreError> {
        let statement = self.which(GET, tenant, id);
        self.tx.rows(statement).await?.first().map(read).transpose()
    }

    /// Makes an invitation. The person must not have a pending one.
    ///
    /// # Errors
    /// The database's.
    pub async fn invite(&mut self, new: &NewInvitation) -> Result<InvitationRow, StoreError> {
        let create = Statement::new(CREATE)
            .bind(self.tx.env())
            .bind(new.id.uuid())
            .bind(new.tenant.uuid())
            .bind(new.email.as_str().to_owned())
            .bind(new.email.key())
            .bind(new.role.as_str().to_owned())
            .bind(new.nonce.to_vec())
            .bind(new.hash.to_vec())
            .bind(new.invited_by.map(UserId::uuid))
            .bind(self.tx.now)
            .bind(new.expires_at)
            .bind(self.tx.actor.to_string())
            .bind(new.with_account);
        self.tx.queue(create);
        self.invitation(new.tenant, new.id).await?.ok_or(StoreError::NotFound)
    }

    /// Gives a pending invitation another secret, another end and the one who invites now; links with the one before end.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is not pending, or the database's.
    pub async fn renew(
        &mut self,
        row: &InvitationRow,
        nonce: [u8; 32],
        hash: [u8; 32],
        expires: Timestamp,
        invited_by: Option<UserId>,
    ) -> Result<InvitationRow, StoreError> {
        let renew = self.which(RENEW, row.tenant, row.id).bind(nonce.to_vec()).bind(hash.to_vec());
        let renew = renew.bind(self.tx.now).bind(expires).bind(invited_by.map(UserId::uuid));
        self.change(renew, row.tenant, row.id).await
    }

    /// Ends a pending invitation.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is not pending, or the database's.
    pub async fn settle(
        &mut self,
        tenant: TenantId,
        id: InvitationId,
        as_what: Invited,
        by: Option<UserId>,
    ) -> Result<InvitationRow, StoreError> {
        let settle = self.which(SETTLE, tenant, id).bind(as_what.as_str()).bind(self.tx.now).bind(by.map(UserId::uuid));
        self.change(settle, tenant, id).await
    }

    async fn change(
        &mut self,
        statement: Statement,
        tenant: TenantId,
        id: InvitationId,
    ) -> Result<InvitationRow, StoreError> {
        self.tx.wrote = true;
        if self.tx.rows(statement).await?.is_empty() {
            return Err(StoreError::NotFound);
        }
        self.invitation(tenant, id).await?.ok_or(StoreError::NotFound)
    }

    fn which(&self, sql: &'static str, tenant: TenantId, id: InvitationId) -> Statement {
        Statement::new(sql).bind(self.tx.env()).bind(tenant.uuid()).bind(id.uuid())
    }
}

/// Those that somebody works on are left to the next sweep. Mail goes with its invitation.
const SWEEP: &str = "
    WITH due AS (
        SELECT env, id FROM tenantry.invitation
        WHERE coalesce(settled_at, expires_at) < $1
        ORDER BY coalesce(settled_at, expires_at) LIMIT $2 FOR UPDATE SKIP LOCKED
    ),
    gone AS (DELETE FROM tenantry.invitation AS i USING due WHERE i.env = due.env AND i.id = due.id RETURNING 1)
    SELECT count(*) AS gone FROM gone";

impl Store {
    /// Deletes invitations that were settled or ended before a moment, with their mail, `most` of them. Gives how many went.
    ///
    /// # Errors
    /// The database's.
    pub async fn sweep_invitations(&self, before: Timestamp, most: i64) -> Result<i64, StoreError> {
        let row = self.query_opt(SWEEP, &[&before, &most]).await?.ok_or(StoreError::NotFound)?;
        get(&row, "gone")
    }

    /// An invitation of whatever environment, if there is such a one.
    ///
    /// # Errors
    /// The database's.
    pub async fn invitation(&self, id: InvitationId) -> Result<Option<InvitationRow>, StoreError> {
        self.query_opt(FIND, &[&id.uuid()]).await?.as_ref().map(read).transpose()
    }
}

impl Reader {
    /// Invitations of a tenant, newest first; those that are over only if they are asked for.
    ///
    /// # Errors
    /// The page token's, or the database's.
    pub async fn invitations(
        &self,
        tenant: TenantId,
        with_over: bool,
        page: &PageRequest<'_>,
    ) -> Result<Page<InvitationRow>, StoreError> {
        let binding = Binding::new(&self.store, "invitations", &self.environment, &(tenant, with_over), page);
        let before = Uuid::from_bytes(binding.open(page)?.unwrap_or([0xff; 16]));
        let limit = i64::from(page.size.get()) + 1;
        let params: [&(dyn ToSql + Sync); 6] =
            [&self.environment.as_str(), &tenant.uuid(), &with_over, &page.now, &before, &limit];
        let rows = self.store.query(LIST, &params).await?;
        let found = rows.iter().map(read).collect::<Result<_, _>>()?;
        Ok(binding.page(found, page, |row: &InvitationRow| row.id.uuid().into_bytes()))
    }

    /// One invitation of a tenant.
    ///
    /// # Errors
    /// The database's.
    pub async fn invitation(&self, tenant: TenantId, id: InvitationId) -> Result<Option<InvitationRow>, StoreError> {
        let params: [&(dyn ToSql + Sync); 3] = [&self.environment.as_str(), &tenant.uuid(), &id.uuid()];
        self.store.query_opt(GET, &params).await?.as_ref().map(read).transpose()
    }
}
