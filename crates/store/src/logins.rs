//! Logins of the gateway: whose each is, what it may, and the verifiers that passwords are compared with.
//!
//! INVARIANT: a name that is in use is one login of the whole installation; a password is never stored, only what it is
//! compared with, and that is wiped when a login is revoked. A revoked login keeps its row until its name is used again
//! or its tenant is deleted.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use tenantry_domain::Timestamp;
use tenantry_domain::gateway::{Allowed, Login, LoginName, Whose};
use tenantry_domain::id::TenantId;
use tenantry_domain::name::{AppName, EnvironmentName};
use tenantry_domain::tenant::Slug;
use tenantry_pg::{Row, ToSql, scram};
use uuid::Uuid;

use crate::columns::{get, parse, parse_opt};
use crate::cursor::Binding;
use crate::line::Statement;
use crate::{Page, PageRequest, Reader, StoreError, WriteTx};

/// What a password is compared with: `SCRAM-SHA-256$…`.
#[derive(Clone)]
pub struct Verifier(SecretString);

impl Verifier {
    /// That of a password, with a fresh salt. Takes some milliseconds of processor time, on purpose.
    #[must_use]
    pub fn of(password: &SecretString) -> Self {
        Self(SecretString::from(scram::verifier(password)))
    }

    /// That of a new password which is to be valid beside the old one for a while: with its salt, because a gateway tells
    /// the salt before it knows which of the two it will be proven. With a fresh one if the old cannot be read.
    #[must_use]
    pub fn beside(password: &SecretString, old: &Self) -> Self {
        scram::verifier_like(password, &old.0).map_or_else(|| Self::of(password), |text| Self(text.into()))
    }

    /// In PostgreSQL's own form. Not the password, yet of use to whoever wants to be taken for the server.
    #[must_use]
    pub const fn text(&self) -> &SecretString {
        &self.0
    }

    fn stored(&self) -> String {
        self.0.expose_secret().to_owned()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(…)")
    }
}

/// The verifiers of a login.
#[derive(Debug, Clone, Default)]
pub struct Rotation {
    /// That of the newest password; absent for tokens and for revoked logins.
    pub current: Option<Verifier>,
    /// That of the one before, and until when it is good.
    pub old: Option<(Verifier, Timestamp)>,
}

/// A login as it is stored.
#[derive(Debug, Clone)]
pub struct LoginRow {
    /// The partition.
    pub environment: EnvironmentName,
    /// What clients give as their user.
    pub name: LoginName,
    /// What it may.
    pub login: Login,
    /// The name of the tenant whose login it is; absent for a service's.
    pub slug: Option<Slug>,
    /// What its passwords are compared with.
    pub verifiers: Rotation,
    /// Rises with every change; 1 for a name's first login.
    pub version: i64,
    /// Since when it exists.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// Its last change.
    pub updated_at: Timestamp,
    /// When it got another password last; absent for its first one.
    pub rotated_at: Option<Timestamp>,
    /// When it was taken back; absent while it is good.
    pub revoked_at: Option<Timestamp>,
}

/// A login that is to be.
#[derive(Debug, Clone)]
pub struct NewLogin {
    /// Its name.
    pub name: LoginName,
    /// What it may.
    pub login: Login,
    /// Of its password; absent for tokens.
    pub verifier: Option<Verifier>,
}

/// Which logins. All that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoginFilter {
    /// Of this tenant.
    pub tenant: Option<TenantId>,
    /// Of services of this app.
    pub app: Option<AppName>,
    /// Revoked ones too.
    pub with_revoked: bool,
}

macro_rules! login_columns {
    () => {
        "SELECT l.env, l.name, l.tenant, l.app, l.allowed, l.mode, l.access, l.server, l.proof, l.verifier, l.old_verifier, \
         l.old_until, l.clients, l.version, l.created_at, l.created_by, l.updated_at, l.rotated_at, l.expires_at, \
         l.revoked_at, t.slug \
         FROM tenantry.gateway_login AS l LEFT JOIN tenantry.tenant AS t ON t.env = l.env AND t.id = l.tenant "
    };
}

const GET: &str = concat!(login_columns!(), "WHERE l.env = $1 AND l.name = $2");

const LOCK: &str = concat!(login_columns!(), "WHERE l.env = $1 AND l.name = $2 FOR NO KEY UPDATE OF l");

const LIST: &str = concat!(
    login_columns!(),
    "WHERE l.env = $1 AND ($2::uuid IS NULL OR l.tenant = $2) AND ($3::text IS NULL OR l.app = $3)
        AND ($4::boolean OR l.revoked_at IS NULL) AND l.name > $5
    ORDER BY l.name LIMIT $6"
);

const FORGET: &str = "
    DELETE FROM tenantry.gateway_login WHERE env = $1 AND name = $2 AND revoked_at IS NOT NULL RETURNING version";

/// A name that is taken, here or in another environment, is left out, which tells so without a failed statement.
const CREATE: &str = "
    INSERT INTO tenantry.gateway_login (env, name, tenant, app, allowed, mode, access, proof, verifier, clients, version,
        created_at, created_by, updated_at, expires_at, server)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $12, $14, $15)
    ON CONFLICT DO NOTHING RETURNING name";

const ROTATE: &str = "
    UPDATE tenantry.gateway_login SET verifier = $4, old_verifier = CASE WHEN $5::timestamptz > $6::timestamptz THEN verifier END,
        old_until = CASE WHEN $5::timestamptz > $6::timestamptz THEN $5::timestamptz END, expires_at = $7,
        rotated_at = $6::timestamptz, updated_at = $6::timestamptz, version = version + 1
    WHERE env = $1 AND name = $2 AND version = $3 AND revoked_at IS NULL RETURNING name";

const REVOKE: &str = "
    UPDATE tenantry.gateway_login SET verifier = NULL, old_verifier = NULL, old_until = NULL, revoked_at = $4, updated_at = $4,
        version = version + 1
    WHERE env = $1 AND name = $2 AND version = $3 AND revoked_at IS NULL RETURNING name";

/// What a login may, out of the columns that a gateway can read, too.
pub(crate) fn read_login(row: &Row) -> Result<Login, StoreError> {
    let unreadable = StoreError::Unreadable { what: "gateway login" };
    let tenant: Option<Uuid> = get(row, "tenant")?;
    let app: Option<AppName> = parse_opt(row, "app")?;
    let whose = match (tenant, app) {
        (Some(tenant), None) => Whose::Tenant(TenantId::from_uuid(tenant)),
        (None, Some(app)) => {
            let allowed: Option<Vec<Uuid>> = get(row, "allowed")?;
            let these = |allowed: Vec<Uuid>| Allowed::These(allowed.into_iter().map(TenantId::from_uuid).collect());
            Whose::Service { app, tenants: allowed.map_or(Allowed::All, these) }
        }
        _ => return Err(unreadable),
    };
    let clients: Option<i32> = get(row, "clients")?;
    Ok(Login {
        whose,
        mode: parse(row, "mode")?,
        access: parse(row, "access")?,
        server: parse(row, "server")?,
        proof: parse(row, "proof")?,
        connections: clients.map(u32::try_from).transpose().map_err(|_| unreadable)?,
        expires: get(row, "expires_at")?,
    })
}

/// The verifiers of a row.
pub(crate) fn read_verifiers(row: &Row) -> Result<Rotation, StoreError> {
    let verifier = |name| -> Result<Option<Verifier>, StoreError> {
        let text: Option<String> = get(row, name)?;
        Ok(text.map(|text| Verifier(SecretString::from(text))))
    };
    let old_until: Option<Timestamp> = get(row, "old_until")?;
    Ok(Rotation { current: verifier("verifier")?, old: verifier("old_verifier")?.zip(old_until) })
}

fn read(row: &Row) -> Result<LoginRow, StoreError> {
    let slug: Option<String> = get(row, "slug")?;
    let slug = slug.map(Slug::stored).transpose().map_err(|_| StoreError::Unreadable { what: "slug" })?;
    Ok(LoginRow {
        environment: parse(row, "env")?,
        name: parse(row, "name")?,
        login: read_login(row)?,
        slug,
        verifiers: read_verifiers(row)?,
        version: get(row, "version")?,
        created_at: get(row, "created_at")?,
        created_by: get(row, "created_by")?,
        updated_at: get(row, "updated_at")?,
        rotated_at: get(row, "rotated_at")?,
        revoked_at: get(row, "revoked_at")?,
    })
}

/// Logins inside a transaction. Lock the tenant of a tenant's login first, as whoever deletes it does.
pub struct Logins<'a> {
    pub(crate) tx: &'a mut WriteTx,
}

impl Logins<'_> {
    /// Locks a login, if there is such a one; a revoked one too.
    ///
    /// # Errors
    /// The database's.
    pub async fn lock(&mut self, name: &LoginName) -> Result<Option<LoginRow>, StoreError> {
        self.one(LOCK, name).await
    }

    /// Makes a login. A revoked one of the same name goes, and its version is counted on.
    ///
    /// # Errors
    /// [`StoreError::LoginTaken`]; nothing can be committed then. Or the database's.
    pub async fn create(&mut self, new: &NewLogin) -> Result<LoginRow, StoreError> {
        let name = new.name.as_str();
        let forget = Statement::new(FORGET).bind(self.tx.env()).bind(name.to_owned());
        let before = self.tx.rows(forget).await?;
        self.tx.wrote = true;
        let version = before.first().map(|row| get::<i64>(row, "version")).transpose()?.unwrap_or(0) + 1;
        let (tenant, app, allowed) = match &new.login.whose {
            Whose::Tenant(tenant) => (Some(tenant.uuid()), None, None),
            Whose::Service { app, tenants: Allowed::All } => (None, Some(app), None),
            Whose::Service { app, tenants: Allowed::These(tenants) } => {
                (None, Some(app), Some(tenants.iter().map(|tenant| tenant.uuid()).collect::<Vec<_>>()))
            }
        };
        let create = Statement::new(CREATE)
            .bind(self.tx.env())
            .bind(name.to_owned())
            .bind(tenant)
            .bind(app.map(|app| app.as_str().to_owned()))
            .bind(allowed)
            .bind(new.login.mode.as_str())
            .bind(new.login.access.as_str())
            .bind(new.login.proof.as_str())
            .bind(new.verifier.as_ref().map(Verifier::stored))
            .bind(new.login.connections.map(|most| i32::try_from(most).unwrap_or(i32::MAX)))
            .bind(version)
            .bind(self.tx.now)
            .bind(self.tx.actor.to_string())
            .bind(new.login.expires)
            .bind(new.login.server.as_str());
        if self.tx.rows(create).await?.is_empty() {
            self.tx.abort();
            return Err(StoreError::LoginTaken { name: new.name.clone() });
        }
        self.one(GET, &new.name).await?.ok_or(StoreError::NotFound)
    }

    /// Gives a locked login another password, and another end. The password before it is good until a moment; one that
    /// has passed ends it at once. The one before that ends in any case.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the row is another one by now, or the database's.
    pub async fn rotate(
        &mut self,
        row: &LoginRow,
        verifier: &Verifier,
        old_until: Timestamp,
        expires: Option<Timestamp>,
    ) -> Result<LoginRow, StoreError> {
        let rotate = self.of(ROTATE, row).bind(verifier.stored()).bind(old_until).bind(self.tx.now).bind(expires);
        self.change(rotate, &row.name).await
    }

    /// Takes a locked login back; its verifiers are wiped.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the row is another one by now, or the database's.
    pub async fn revoke(&mut self, row: &LoginRow) -> Result<LoginRow, StoreError> {
        let revoke = self.of(REVOKE, row).bind(self.tx.now);
        self.change(revoke, &row.name).await
    }

    fn of(&self, sql: &'static str, row: &LoginRow) -> Statement {
        Statement::new(sql).bind(self.tx.env()).bind(row.name.as_str().to_owned()).bind(row.version)
    }

    async fn change(&mut self, statement: Statement, name: &LoginName) -> Result<LoginRow, StoreError> {
        if self.tx.rows(statement).await?.is_empty() {
            return Err(StoreError::NotFound);
        }
        self.tx.wrote = true;
        self.one(GET, name).await?.ok_or(StoreError::NotFound)
    }

    async fn one(&mut self, sql: &'static str, name: &LoginName) -> Result<Option<LoginRow>, StoreError> {
        let statement = Statement::new(sql).bind(self.tx.env()).bind(name.as_str().to_owned());
        self.tx.rows(statement).await?.first().map(read).transpose()
    }
}

/// The place of a name in the list: its length, its bytes.
fn keys(row: &LoginRow) -> [u8; 64] {
    let mut keys = [0; 64];
    let text = row.name.as_str().as_bytes();
    keys[0] = u8::try_from(text.len()).unwrap_or(63);
    for (key, byte) in keys[1..].iter_mut().zip(text) {
        *key = *byte;
    }
    keys
}

fn place(keys: &[u8; 64]) -> String {
    let length = usize::from(keys[0]).min(63);
    String::from_utf8_lossy(&keys[1..=length]).into_owned()
}

impl Reader {
    /// One login, if there is such a one; a revoked one too.
    ///
    /// # Errors
    /// The database's.
    pub async fn login(&self, name: &LoginName) -> Result<Option<LoginRow>, StoreError> {
        let params: [&(dyn ToSql + Sync); 2] = [&self.environment.as_str(), &name.as_str()];
        self.store.query_opt(GET, &params).await?.as_ref().map(read).transpose()
    }

    /// Logins, by name.
    ///
    /// # Errors
    /// The page token's, or the database's.
    pub async fn logins(&self, filter: &LoginFilter, page: &PageRequest<'_>) -> Result<Page<LoginRow>, StoreError> {
        let binding = Binding::new(&self.store, "logins", &self.environment, filter, page);
        let after = binding.open(page)?.map(|keys| place(&keys)).unwrap_or_default();
        let tenant = filter.tenant.map(TenantId::uuid);
        let app = filter.app.as_ref().map(AppName::as_str);
        let limit = i64::from(page.size.get()) + 1;
        let params: [&(dyn ToSql + Sync); 6] =
            [&self.environment.as_str(), &tenant, &app, &filter.with_revoked, &after, &limit];
        let rows = self.store.query(LIST, &params).await?;
        let found = rows.iter().map(read).collect::<Result<_, _>>()?;
        Ok(binding.page(found, page, keys))
    }
}
