//! Bearer tokens: only a digest of the secret part is ever stored.
//!
//! INVARIANT: what a token may do never grows; a role or scope that this release does not know counts for nothing.

use tenantry_domain::Timestamp;
use tenantry_domain::id::{TenantId, TokenId};
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::policy::{ActorKind, Pattern, Rights, Role};

use tenantry_pg::{Row, ToSql};
use uuid::Uuid;

use crate::chain::word;
use crate::columns::{count, digest, get, parse_opt};
use crate::cursor::Binding;
use crate::line::Statement;
use crate::{Page, PageRequest, Reader, Store, StoreError, WriteTx};

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
    /// What its bearer may do.
    pub rights: Rights,
    /// The person who uses it, for rules that ask for two people.
    pub person: Option<String>,
    /// Keyed digest of the secret part.
    pub hash: [u8; 32],
    /// When it ends; absent for never.
    pub expires_at: Option<Timestamp>,
    /// Who made it.
    pub created_by: String,
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
    /// What its bearer may do.
    pub rights: Rights,
    /// The person who uses it.
    pub person: Option<String>,
    /// Keyed digest of the secret part.
    pub hash: [u8; 32],
    /// That of the secret before the last rotation, and until when it is good.
    pub old: Option<([u8; 32], Timestamp)>,
    /// Rises with every change; the first is 1.
    pub version: i64,
    /// Since when it exists.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// Everybody who was ever shown a secret of it, and could act as its user.
    pub shown_to: Vec<String>,
    /// When it ends; absent for never.
    pub expires_at: Option<Timestamp>,
    /// When it got another secret last.
    pub rotated_at: Option<Timestamp>,
    /// When it was last seen, to the minute; absent for never.
    pub last_used_at: Option<Timestamp>,
    /// When it was taken back; absent while it is good.
    pub revoked_at: Option<Timestamp>,
}

/// Which tokens of an environment to list.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct TokenFilter {
    /// Only those that are bound to this tenant.
    pub tenant: Option<TenantId>,
    /// Revoked ones too.
    pub with_revoked: bool,
}

macro_rules! token_columns {
    () => {
        "id, env, name, actor_kind, roles, scopes, tenant, person, hash, old_hash, old_until, version, created_at, created_by, \
         shown_to, expires_at, rotated_at, last_used_at, revoked_at"
    };
}

const GET: &str = concat!("SELECT ", token_columns!(), " FROM tenantry.token WHERE id = $1");

const LOCK: &str =
    concat!("SELECT ", token_columns!(), " FROM tenantry.token WHERE env = $1 AND id = $2 FOR NO KEY UPDATE");

const LIST: &str = concat!(
    "SELECT ",
    token_columns!(),
    " FROM tenantry.token
    WHERE env = $1 AND ($2::uuid IS NULL OR tenant = $2) AND ($3::boolean OR revoked_at IS NULL) AND id > $4
    ORDER BY id LIMIT $5"
);

const CREATE: &str = "
    INSERT INTO tenantry.token
        (id, env, name, actor_kind, roles, scopes, tenant, person, hash, created_at, created_by, shown_to, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, ARRAY[$11::text], $12)";

const ROTATE: &str = concat!(
    "UPDATE tenantry.token SET old_hash = CASE WHEN $4::timestamptz IS NULL THEN NULL ELSE hash END, old_until = $4,
        hash = $3, version = version + 1, rotated_at = $5, expires_at = $6,
        shown_to = CASE WHEN $7 = ANY(shown_to) THEN shown_to ELSE array_append(shown_to, $7) END
    WHERE env = $1 AND id = $2 RETURNING ",
    token_columns!()
);

const REVOKE: &str = concat!(
    "UPDATE tenantry.token SET revoked_at = $3, version = version + 1, old_hash = NULL, old_until = NULL
    WHERE env = $1 AND id = $2 RETURNING ",
    token_columns!()
);

fn read(row: &Row) -> Result<TokenRow, StoreError> {
    let kind: &str = get(row, "actor_kind")?;
    let roles: Vec<String> = get(row, "roles")?;
    let scopes: Option<Vec<String>> = get(row, "scopes")?;
    let old_until: Option<Timestamp> = get(row, "old_until")?;
    let old = match get::<Option<&[u8]>>(row, "old_hash")? {
        Some(_) => Some(digest(row, "old_hash")?).zip(old_until),
        None => None,
    };
    Ok(TokenRow {
        id: TokenId::from_uuid(get(row, "id")?),
        environment: parse_opt(row, "env")?,
        name: get(row, "name")?,
        actor_kind: serde_json::from_value(kind.into()).map_err(|_| StoreError::Unreadable { what: "actor_kind" })?,
        rights: Rights {
            roles: roles.iter().filter_map(|name| Role::parse(name)).collect(),
            scopes: scopes.map(|texts| texts.iter().filter_map(|text| Pattern::parse(text).ok()).collect()),
            tenant: get::<Option<Uuid>>(row, "tenant")?.map(TenantId::from_uuid),
        },
        person: get(row, "person")?,
        hash: digest(row, "hash")?,
        old,
        version: count(row, "version")?,
        created_at: get(row, "created_at")?,
        created_by: get(row, "created_by")?,
        shown_to: get(row, "shown_to")?,
        expires_at: get(row, "expires_at")?,
        rotated_at: get(row, "rotated_at")?,
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
        let scopes = new.rights.scopes.as_ref();
        let statement = Statement::new(CREATE)
            .bind(new.id.uuid())
            .bind(new.environment.as_ref().map(|name| name.as_str().to_owned()))
            .bind(new.name.clone())
            .bind(word(&new.actor_kind))
            .bind(new.rights.roles.iter().map(|role| role.as_str().to_owned()).collect::<Vec<_>>())
            .bind(scopes.map(|scopes| scopes.iter().map(|scope| scope.as_str().to_owned()).collect::<Vec<_>>()))
            .bind(new.rights.tenant.map(TenantId::uuid))
            .bind(new.person.clone())
            .bind(new.hash.to_vec())
            .bind(self.tx.now)
            .bind(new.created_by.clone())
            .bind(new.expires_at);
        self.tx.queue(statement);
    }

    /// A token of the environment, which no other transaction changes until this one is over.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn lock(&mut self, id: TokenId) -> Result<TokenRow, StoreError> {
        let statement = Statement::new(LOCK).bind(self.tx.env()).bind(id.uuid());
        self.tx.rows(statement).await?.first().map(read).transpose()?.ok_or(StoreError::NotFound)
    }

    /// Gives a token another secret; the old one stays good for a while if a moment is given.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn rotate(
        &mut self,
        id: TokenId,
        hash: [u8; 32],
        old_until: Option<Timestamp>,
        expires_at: Option<Timestamp>,
        shown_to: &str,
    ) -> Result<TokenRow, StoreError> {
        let now = self.tx.now;
        let statement = Statement::new(ROTATE)
            .bind(self.tx.env())
            .bind(id.uuid())
            .bind(hash.to_vec())
            .bind(old_until)
            .bind(now)
            .bind(expires_at)
            .bind(shown_to.to_owned());
        self.changed(statement).await
    }

    /// Takes a token back.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub async fn revoke(&mut self, id: TokenId) -> Result<TokenRow, StoreError> {
        let statement = Statement::new(REVOKE).bind(self.tx.env()).bind(id.uuid()).bind(self.tx.now);
        self.changed(statement).await
    }

    async fn changed(&mut self, statement: Statement) -> Result<TokenRow, StoreError> {
        let rows = self.tx.rows(statement).await?;
        let row = rows.first().map(read).transpose()?.ok_or(StoreError::NotFound)?;
        self.tx.wrote = true;
        Ok(row)
    }
}

impl Reader {
    /// A page of the environment's tokens, by their ids, which is the order of their making.
    ///
    /// # Errors
    /// The page token is of no use here.
    pub async fn tokens(&self, filter: &TokenFilter, page: &PageRequest<'_>) -> Result<Page<TokenRow>, StoreError> {
        let binding = Binding::new(&self.store, "tokens", &self.environment, filter, page);
        let after = binding.open(page)?.map_or(Uuid::nil(), Uuid::from_bytes);
        let (tenant, limit) = (filter.tenant.map(TenantId::uuid), i64::from(page.size.get()) + 1);
        let params: [&(dyn ToSql + Sync); 5] =
            [&self.environment.as_str(), &tenant, &filter.with_revoked, &after, &limit];
        let rows = self.store.query(LIST, &params).await?;
        let found = rows.iter().map(read).collect::<Result<_, _>>()?;
        Ok(binding.page(found, page, |row: &TokenRow| row.id.uuid().into_bytes()))
    }
}

impl Store {
    /// A token, if there is such a one; expired and revoked ones too.
    ///
    /// # Errors
    /// The database's.
    pub async fn token(&self, id: TokenId) -> Result<Option<TokenRow>, StoreError> {
        self.query_opt(GET, &[&id.uuid()]).await?.as_ref().map(read).transpose()
    }

    /// Remembers that a token was used, at most once a minute; not while somebody else changes it.
    ///
    /// # Errors
    /// The database's.
    pub async fn token_seen(&self, id: TokenId, at: Timestamp) -> Result<(), StoreError> {
        let sql = "
            UPDATE tenantry.token SET last_used_at = $2::timestamptz
            WHERE id IN (
                SELECT id FROM tenantry.token
                WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2::timestamptz - interval '1 minute')
                FOR NO KEY UPDATE SKIP LOCKED
            )";
        let id: Uuid = id.uuid();
        self.query(sql, &[&id, &at]).await.map(|_| ())
    }
}
