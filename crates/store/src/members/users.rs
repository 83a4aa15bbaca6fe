//! Users: people as their issuers know them.

use tenantry_domain::Timestamp;
use tenantry_domain::id::{TenantId, UserId};
use tenantry_domain::member::{Email, Identity};
use tenantry_domain::name::EnvironmentName;
use tenantry_pg::Row;

use super::Members;
use crate::columns::{get, parse};
use crate::line::Statement;
use crate::{Store, StoreError};

/// A user as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    /// Who.
    pub id: UserId,
    /// What the issuer calls them.
    pub identity: Identity,
    /// Their address when they were heard of last.
    pub email: Email,
    /// Their name, where it was told.
    pub name: Option<String>,
    /// Since when they are known.
    pub created_at: Timestamp,
    /// The last change.
    pub updated_at: Timestamp,
}

const BY_IDENTITY: &str = "
    SELECT id, issuer, pool, subject, email, name, created_at, updated_at FROM tenantry.user_account
    WHERE env = $1 AND issuer = $2 AND pool = $3 AND subject = $4";

/// What did not change is not written, so that a repetition leaves no trace.
const PUT: &str = "
    WITH put AS (
        INSERT INTO tenantry.user_account AS u (env, id, issuer, pool, subject, email, email_key, name, created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)
        ON CONFLICT ON CONSTRAINT user_account_identity_key DO UPDATE
            SET email = EXCLUDED.email, email_key = EXCLUDED.email_key, name = coalesce(EXCLUDED.name, u.name),
                updated_at = EXCLUDED.updated_at
            WHERE u.email <> EXCLUDED.email OR (EXCLUDED.name IS NOT NULL AND u.name IS DISTINCT FROM EXCLUDED.name)
        RETURNING id, issuer, pool, subject, email, name, created_at, updated_at
    )
    SELECT id, issuer, pool, subject, email, name, created_at, updated_at FROM put
    UNION ALL
    SELECT id, issuer, pool, subject, email, name, created_at, updated_at FROM tenantry.user_account
    WHERE env = $1 AND issuer = $3 AND pool = $4 AND subject = $5 AND NOT EXISTS (SELECT FROM put)";

const FORGET: &str = "
    DELETE FROM tenantry.user_account AS u WHERE u.env = $1 AND u.id = $2
        AND NOT EXISTS (SELECT FROM tenantry.member AS m WHERE m.env = u.env AND m.user_id = u.id)";

/// Members first: of the two answers theirs says more.
const KNOWN: &str = "
    SELECT 'member' AS found, u.id AS whose FROM tenantry.user_account AS u
    JOIN tenantry.member AS m ON m.env = u.env AND m.user_id = u.id
    WHERE m.env = $1 AND m.tenant = $2 AND u.email_key = $3
    UNION ALL
    SELECT 'invitation', i.id FROM tenantry.invitation AS i
    WHERE i.env = $1 AND i.tenant = $2 AND i.email_key = $3 AND i.status = 'pending'";

const FIND: &str = "SELECT env FROM tenantry.user_account WHERE id = $1 LIMIT 2";

pub(super) fn read(row: &Row) -> Result<UserRow, StoreError> {
    Ok(UserRow {
        id: UserId::from_uuid(get(row, "id")?),
        identity: Identity { issuer: get(row, "issuer")?, pool: get(row, "pool")?, subject: get(row, "subject")? },
        email: parse(row, "email")?,
        name: get(row, "name")?,
        created_at: get(row, "created_at")?,
        updated_at: get(row, "updated_at")?,
    })
}

impl Members<'_> {
    /// A user by identity, if they are known.
    ///
    /// # Errors
    /// The database's.
    pub async fn by_identity(&mut self, identity: &Identity) -> Result<Option<UserRow>, StoreError> {
        let statement = Statement::new(BY_IDENTITY)
            .bind(self.tx.env())
            .bind(identity.issuer.clone())
            .bind(identity.pool.clone())
            .bind(identity.subject.clone());
        self.tx.rows(statement).await?.first().map(read).transpose()
    }

    /// Remembers a user, under the id when they are new.
    ///
    /// # Errors
    /// The database's.
    pub async fn put_user(
        &mut self,
        id: UserId,
        identity: &Identity,
        email: &Email,
        name: Option<&str>,
    ) -> Result<UserRow, StoreError> {
        let put = Statement::new(PUT)
            .bind(self.tx.env())
            .bind(id.uuid())
            .bind(identity.issuer.clone())
            .bind(identity.pool.clone())
            .bind(identity.subject.clone())
            .bind(email.as_str().to_owned())
            .bind(email.key())
            .bind(name.map(ToOwned::to_owned))
            .bind(self.tx.now);
        self.tx.wrote = true;
        match self.tx.rows(put).await?.first() {
            Some(row) => read(row),
            // Another transaction made them between the snapshot and the conflict.
            None => self.by_identity(identity).await?.ok_or(StoreError::NotFound),
        }
    }

    /// Whether an address, or a variant of it, is a member's or has an open invitation (then with `true`, also when its
    /// time is over).
    ///
    /// # Errors
    /// The database's.
    pub async fn known(&mut self, tenant: TenantId, email: &Email) -> Result<Vec<(bool, uuid::Uuid)>, StoreError> {
        let statement = Statement::new(KNOWN).bind(self.tx.env()).bind(tenant.uuid()).bind(email.key());
        let rows = self.tx.rows(statement).await?;
        rows.iter().map(|row| Ok((get::<&str>(row, "found")? == "invitation", get(row, "whose")?))).collect()
    }

    /// Forgets a user who is a member of nothing.
    pub(super) async fn forget(&mut self, user: UserId) -> Result<(), StoreError> {
        self.tx.rows(Statement::new(FORGET).bind(self.tx.env()).bind(user.uuid())).await.map(|_| ())
    }
}

impl Store {
    /// The environment that a user is known in, if they are.
    ///
    /// # Errors
    /// The database's.
    pub async fn user_environment(&self, user: UserId) -> Result<Option<EnvironmentName>, StoreError> {
        self.query_opt(FIND, &[&user.uuid()]).await?.as_ref().map(|row| parse(row, "env")).transpose()
    }
}
