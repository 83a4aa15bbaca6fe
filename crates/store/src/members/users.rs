//! Users: people as their issuers know them, and nothing else of them. What a tenant was told stands in its memberships.
//!
//! Whoever may make a user or forget one holds their row first, always in the order of identities, so that a person who
//! leaves one tenant while another one takes them in is neither lost nor twice.

use std::collections::HashSet;

use tenantry_domain::Timestamp;
use tenantry_domain::id::{TenantId, UserId};
use tenantry_domain::member::{Email, Identity};
use tenantry_domain::name::EnvironmentName;
use tenantry_pg::Row;
use uuid::Uuid;

use super::Members;
use crate::columns::{get, parse};
use crate::line::Statement;
use crate::{Store, StoreError};

/// A user as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRow {
    /// Who.
    pub id: UserId,
    /// What the issuer calls them.
    pub identity: Identity,
    /// Since when they are known.
    pub created_at: Timestamp,
}

const BY_IDENTITY: &str = "
    SELECT id, issuer, pool, subject, created_at FROM tenantry.user_account
    WHERE env = $1 AND issuer = $2 AND pool = $3 AND subject = $4";

const MAKE: &str = "
    INSERT INTO tenantry.user_account (env, id, issuer, pool, subject, created_at)
    SELECT $1, n.id, n.issuer, n.pool, n.subject, $6
    FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[]) AS n (id, issuer, pool, subject)
    WHERE n.id IS NOT NULL ORDER BY n.issuer, n.pool, n.subject
    ON CONFLICT ON CONSTRAINT user_account_identity_key DO NOTHING";

/// A statement of its own, so that it sees whom another transaction made meanwhile.
const HOLD: &str = "
    SELECT u.id, u.issuer, u.pool, u.subject, u.created_at
    FROM unnest($2::text[], $3::text[], $4::text[]) AS n (issuer, pool, subject)
    JOIN tenantry.user_account AS u ON u.env = $1 AND u.issuer = n.issuer AND u.pool = n.pool AND u.subject = n.subject
    ORDER BY u.issuer, u.pool, u.subject FOR NO KEY UPDATE OF u";

const LOCK: &str = "
    SELECT id FROM tenantry.user_account WHERE env = $1 AND id = ANY ($2) ORDER BY issuer, pool, subject FOR UPDATE";

/// Runs behind [`LOCK`], so that it sees the memberships of whoever held them before.
const FORGET: &str = "
    DELETE FROM tenantry.user_account AS u WHERE u.env = $1 AND u.id = ANY ($2)
        AND NOT EXISTS (SELECT FROM tenantry.member AS m WHERE m.env = u.env AND m.user_id = u.id)";

/// Members first: of the two answers theirs says more.
const KNOWN: &str = "
    SELECT 'member' AS found, m.user_id AS whose FROM tenantry.member AS m
    WHERE m.env = $1 AND m.tenant = $2 AND m.email_key = $3
    UNION ALL
    SELECT 'invitation', i.id FROM tenantry.invitation AS i
    WHERE i.env = $1 AND i.tenant = $2 AND i.email_key = $3 AND i.status = 'pending'";

/// How often a user is looked for who is made and forgotten by others meanwhile.
const TRIES: usize = 5;

const FIND: &str = "SELECT env FROM tenantry.user_account WHERE id = $1 LIMIT 2";

pub(super) fn read(row: &Row) -> Result<UserRow, StoreError> {
    Ok(UserRow {
        id: UserId::from_uuid(get(row, "id")?),
        identity: Identity { issuer: get(row, "issuer")?, pool: get(row, "pool")?, subject: get(row, "subject")? },
        created_at: get(row, "created_at")?,
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

    /// Makes a user under the id when they are new. Nobody else makes them a member or forgets them before the end of the
    /// transaction.
    ///
    /// # Errors
    /// The database's.
    pub async fn put_user(&mut self, id: UserId, identity: &Identity) -> Result<UserRow, StoreError> {
        let held = self.hold(&[(identity.clone(), Some(id))]).await?;
        held.into_iter().next().ok_or(StoreError::NotFound)
    }

    /// The same for many: makes those who have an id here and are new, holds all, and gives those who are known. A user
    /// who does not become a member afterwards is for [`Members::forget`].
    ///
    /// # Errors
    /// The database's.
    pub async fn hold(&mut self, wanted: &[(Identity, Option<UserId>)]) -> Result<Vec<UserRow>, StoreError> {
        let part = |part: fn(&Identity) -> &str| -> Vec<String> {
            wanted.iter().map(|(identity, _)| part(identity).to_owned()).collect()
        };
        let (issuers, pools, subjects) = (part(|i| &i.issuer), part(|i| &i.pool), part(|i| &i.subject));
        let ids: Vec<Option<Uuid>> = wanted.iter().map(|(_, id)| id.map(UserId::uuid)).collect();
        for _ in 0..TRIES {
            let make = Statement::new(MAKE)
                .bind(self.tx.env())
                .bind(ids.clone())
                .bind(issuers.clone())
                .bind(pools.clone())
                .bind(subjects.clone())
                .bind(self.tx.now);
            let hold = Statement::new(HOLD)
                .bind(self.tx.env())
                .bind(issuers.clone())
                .bind(pools.clone())
                .bind(subjects.clone());
            let answers = self.tx.run(vec![make, hold]).await?;
            self.tx.wrote = true;
            let held = answers.last().map(|rows| rows.iter().map(read).collect::<Result<Vec<_>, _>>());
            let held = held.unwrap_or_else(|| Ok(Vec::new()))?;
            // One who was there for the first statement and gone for the second is made now.
            let there: HashSet<&Identity> = held.iter().map(|user| &user.identity).collect();
            if wanted.iter().all(|(identity, id)| id.is_none() || there.contains(identity)) {
                return Ok(held);
            }
        }
        Err(StoreError::NotFound)
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

    /// Forgets those of the users who are members of nothing.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget(&mut self, users: &[UserId]) -> Result<(), StoreError> {
        let ids: Vec<Uuid> = users.iter().map(|user| user.uuid()).collect();
        let lock = Statement::new(LOCK).bind(self.tx.env()).bind(ids.clone());
        let forget = Statement::new(FORGET).bind(self.tx.env()).bind(ids);
        self.tx.run(vec![lock, forget]).await.map(|_| ())
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
