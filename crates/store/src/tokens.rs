//! Bearer tokens: only a digest of the secret part is ever stored.

use tenantry_domain::Timestamp;
use tenantry_domain::id::TokenId;
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::policy::ActorKind;

use tenantry_pg::Row;
use uuid::Uuid;

use crate::chain::word;
use crate::columns::{digest, get, parse_opt};
use crate::line::Statement;
use crate::{Store, StoreError, WriteTx};

/// A token that is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Its public part.
    pub id: TokenId,
    /// The only environment that it reaches; absent for all.
    pub environment: Option<EnvironmentName>,
    /// For people.
    pub name: String,
    /// As what its bearer acts.
    pub actor_kind: ActorKind,
    /// Keyed digest of the secret part.
    pub hash: [u8; 32],
    /// When it ends; absent for never.
    pub expires_at: Option<Timestamp>,
}

/// A token as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Its public part.
    pub id: TokenId,
    /// The only environment that it reaches; absent for all.
    pub environment: Option<EnvironmentName>,
    /// For people.
    pub name: String,
    /// As what its bearer acts.
    pub actor_kind: ActorKind,
    /// Keyed digest of the secret part.
    pub hash: [u8; 32],
    /// Since when it exists.
    pub created_at: Timestamp,
    /// When it ends; absent for never.
    pub expires_at: Option<Timestamp>,
    /// When it was last seen, to the minute; absent for never.
    pub last_used_at: Option<Timestamp>,
    /// When it was taken back; absent while it is good.
    pub revoked_at: Option<Timestamp>,
}

fn read(row: &Row) -> Result<TokenRow, StoreError> {
    let kind: &str = get(row, "actor_kind")?;
    Ok(TokenRow {
        id: TokenId::from_uuid(get(row, "id")?),
        environment: parse_opt(row, "env")?,
        name: get(row, "name")?,
        actor_kind: serde_json::from_value(kind.into()).map_err(|_| StoreError::Unreadable { what: "actor_kind" })?,
        hash: digest(row, "hash")?,
        created_at: get(row, "created_at")?,
        expires_at: get(row, "expires_at")?,
        last_used_at: get(row, "last_used_at")?,
        revoked_at: get(row, "revoked_at")?,
    })
}

/// Tokens inside a transaction.
pub struct Tokens<'a> {
    pub(crate) tx: &'a mut WriteTx,
}

impl Tokens<'_> {
    /// Stores a token; it leaves with the commit.
    pub fn create(&mut self, new: &NewToken) {
        let sql = "
            INSERT INTO tenantry.token (id, env, name, actor_kind, hash, created_at, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let statement = Statement::new(sql)
            .bind(new.id.uuid())
            .bind(new.environment.as_ref().map(|name| name.as_str().to_owned()))
            .bind(new.name.clone())
            .bind(word(&new.actor_kind))
            .bind(new.hash.to_vec())
            .bind(self.tx.now)
            .bind(new.expires_at);
        self.tx.queue(statement);
    }

    /// Takes a token back.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is none or it was taken back before.
    pub async fn revoke(&mut self, id: TokenId) -> Result<(), StoreError> {
        let sql = "UPDATE tenantry.token SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING id";
        let rows = self.tx.rows(Statement::new(sql).bind(id.uuid()).bind(self.tx.now)).await?;
        if rows.is_empty() {
            return Err(StoreError::NotFound);
        }
        self.tx.wrote = true;
        Ok(())
    }
}

impl Store {
    /// A token, if there is such a one; expired and revoked ones too.
    ///
    /// # Errors
    /// The database's.
    pub async fn token(&self, id: TokenId) -> Result<Option<TokenRow>, StoreError> {
        let sql = "
            SELECT id, env, name, actor_kind, hash, created_at, expires_at, last_used_at, revoked_at FROM tenantry.token
            WHERE id = $1";
        self.query_opt(sql, &[&id.uuid()]).await?.as_ref().map(read).transpose()
    }

    /// All tokens, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        let sql = "
            SELECT id, env, name, actor_kind, hash, created_at, expires_at, last_used_at, revoked_at FROM tenantry.token
            ORDER BY created_at DESC, id DESC";
        self.query(sql, &[]).await?.iter().map(read).collect()
    }

    /// Remembers that a token was used, at most once a minute.
    ///
    /// # Errors
    /// The database's.
    pub async fn token_seen(&self, id: TokenId, at: Timestamp) -> Result<(), StoreError> {
        let sql = "
            UPDATE tenantry.token SET last_used_at = $2::timestamptz
            WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2::timestamptz - interval '1 minute')";
        let id: Uuid = id.uuid();
        self.query(sql, &[&id, &at]).await.map(|_| ())
    }
}
