//! A cell: one PostgreSQL server, the connections to it, and what is derived for it.
//!
//! The verbs on a cell are in the modules named after them. All of them may be killed anywhere and called again, by
//! anybody: each looks before it acts, and whatever it does for a tenant is done under a [`crate::Claim`] that is
//! compared inside the same transaction. Nothing here decides where a tenant lives.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tenantry_domain::id::{InstallationId, TenantId};
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{AppName, CellName, EnvironmentName};
use tenantry_pg::{Ident, Pool, PoolOptions, Target};
use tokio::sync::OnceCell;

use crate::catalog::get;
use crate::error::DataError;
use crate::names::Names;
use crate::router::Door;
use crate::seal::{SealKey, SealMode};
use crate::secret::RootKey;
use crate::space::{AppTarget, CellTarget, Credential, Route, Space};

/// The first major version with SET privileges on parameters and with `security_invoker` views.
const OLDEST_MAJOR: i32 = 15;

/// How long an unused connection to a tenant's database is kept.
const KEPT_FOR: Duration = Duration::from_secs(2);
/// From this many on, pools without a connection are thrown out.
const KEPT_POOLS: usize = 64;

/// Bounds of the data plane.
#[derive(Debug, Clone)]
pub struct Options {
    /// Administrative connections per database that is in steady use.
    pub connections: usize,
    /// How long a migration waits for locks that tenants' transactions hold; all others queue behind it meanwhile.
    pub lock_wait: Duration,
    /// How long one migration file may run.
    pub migration: Duration,
    /// How long an app's own migration command may run.
    pub command: Duration,
    /// How long we wait for somebody else who prepares or migrates the same thing.
    pub turn: Duration,
    /// Open transactions of a tenant that is being shut out may end by themselves for this long.
    pub grace: Duration,
    /// How long claims on erased tenants are remembered.
    pub remember: Duration,
    /// A seal mode to use whatever the server allows; absent means the best one.
    pub seal: Option<SealMode>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections: 8,
            lock_wait: Duration::from_secs(5),
            migration: Duration::from_secs(30 * 60),
            command: Duration::from_secs(10 * 60),
            turn: Duration::from_secs(60),
            grace: Duration::from_millis(100),
            remember: Duration::from_secs(7 * 24 * 3600),
            seal: None,
        }
    }
}

/// All cells of an installation. Cheap to clone.
#[derive(Clone)]
pub struct Dataplane {
    inner: Arc<Inner>,
}

struct Inner {
    installation: InstallationId,
    root: RootKey,
    options: Options,
    cells: Mutex<HashMap<(EnvironmentName, CellName), Opened>>,
}

/// A cell's handle, with the URL it was made for.
struct Opened {
    url: SecretString,
    cell: Arc<Cell>,
}

impl Dataplane {
    /// Makes the data plane; nothing is opened yet.
    #[must_use]
    pub fn new(installation: InstallationId, root: RootKey, options: Options) -> Self {
        let inner = Inner { installation, root, options, cells: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// The handle of a cell, the same one as long as its URL stays. Connects only when it is used.
    ///
    /// # Errors
    /// The URL cannot be read.
    pub async fn cell(&self, target: &CellTarget) -> Result<Arc<Cell>, DataError> {
        let key = (target.environment.clone(), target.name.clone());
        let mut cells = lock(&self.inner.cells);
        if let Some(opened) = cells.get(&key)
            && opened.url.expose_secret() == target.url.expose_secret()
        {
            return Ok(Arc::clone(&opened.cell));
        }
        let cell = Arc::new(Cell {
            environment: target.environment.clone(),
            name: target.name.clone(),
            installation: self.inner.installation,
            root: self.inner.root.clone(),
            options: self.inner.options.clone(),
            target: Target::parse(&target.url)?,
            pools: Mutex::default(),
            tenant_pools: Mutex::default(),
            prepared: Mutex::default(),
            server: OnceCell::new(),
            making: tokio::sync::Mutex::new(()),
        });
        cells.insert(key, Opened { url: target.url.clone(), cell: Arc::clone(&cell) });
        Ok(cell)
    }
}

/// One cell's server.
pub struct Cell {
    environment: EnvironmentName,
    name: CellName,
    installation: InstallationId,
    root: RootKey,
    pub(crate) options: Options,
    target: Target,
    pools: Mutex<HashMap<String, Pool>>,
    tenant_pools: Mutex<HashMap<String, Pool>>,
    /// Apps whose home this process has seen complete, with the version.
    prepared: Mutex<HashMap<(EnvironmentName, AppName), i64>>,
    server: OnceCell<Server>,
    /// CREATE DATABASE is heavy on the disk: one at a time.
    pub(crate) making: tokio::sync::Mutex<()>,
}

/// What was found out about a server and our login there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Server {
    pub superuser: bool,
}

impl Cell {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &CellName {
        &self.name
    }

    /// The environment that it belongs to.
    #[must_use]
    pub fn environment(&self) -> &EnvironmentName {
        &self.environment
    }

    /// Connects and finds out whether the server can be used.
    ///
    /// # Errors
    /// It cannot be reached, is too old, or our login lacks a right ([`DataError::Unsupported`] says which).
    pub async fn check(&self) -> Result<(), DataError> {
        self.server().await.map(drop)
    }

    /// What a client needs to reach a tenant. Asks nobody.
    ///
    /// # Errors
    /// A name cannot be stored by PostgreSQL.
    pub fn route(&self, space: &Space) -> Result<Route, DataError> {
        let place = self.names(&space.app)?.place(space.tenant, space.isolation)?;
        let role = place.login.as_ref().map(|login| login.as_str().to_owned()).unwrap_or_default();
        Ok(Route {
            tenant: space.tenant,
            epoch: space.epoch,
            isolation: space.isolation,
            host: self.target.host(),
            port: self.target.port(),
            database: place.database.as_str().to_owned(),
            schema: place.schema.as_str().to_owned(),
            role,
        })
    }

    /// All that [`crate::router::Router`] needs to enter a tenant's place. Asks nobody; holds secrets.
    ///
    /// # Errors
    /// A name cannot be stored by PostgreSQL.
    pub fn door(&self, space: &Space) -> Result<Door, DataError> {
        self.door_to(&space.app.app, space.tenant, space.isolation, space.epoch, space.connections)
    }

    /// [`Self::door`] for those who know an app's name and not its manifest.
    ///
    /// # Errors
    /// A name cannot be stored by PostgreSQL.
    pub fn door_to(
        &self,
        app: &AppName,
        tenant: TenantId,
        isolation: Isolation,
        epoch: i64,
        connections: Option<u32>,
    ) -> Result<Door, DataError> {
        let names = Names::new(self.installation, &self.environment, &self.name, app)?;
        let place = names.place(tenant, isolation)?;
        let mut target = self.target.clone().with_database(place.database.as_str());
        if let Some(login) = &place.login {
            target = target.with_user(login.as_str(), &self.password(login));
        }
        let seal = self.seal_key(&place.database);
        Ok(Door { tenant, epoch, isolation, target, seal, connections, is_standby: false })
    }

    /// What an application needs to enter the place's login and database. Asks nobody; all of it is secret.
    ///
    /// # Errors
    /// A name cannot be stored by PostgreSQL, or nobody logs in there.
    pub fn credential(&self, space: &Space) -> Result<Credential, DataError> {
        let place = self.names(&space.app)?.place(space.tenant, space.isolation)?;
        let Some(login) = &place.login else {
            return Err(DataError::Unsupported {
                what: "a place without a login".to_owned(),
                hint: "Ask for the credential of a tenant's own place.",
            });
        };
        let (role, password) = (login.as_str().to_owned(), self.password(login));
        Ok(Credential { role, password, seal: self.seal_key(&place.database) })
    }

    pub(crate) fn names(&self, app: &AppTarget) -> Result<Names, DataError> {
        Ok(Names::new(self.installation, &self.environment, &self.name, &app.app)?)
    }

    /// The password of a role of ours. It is computed, so nobody has to keep it.
    pub(crate) fn password(&self, role: &Ident) -> SecretString {
        self.root.password("role", &[self.environment.as_str(), self.name.as_str(), role.as_str()])
    }

    /// What the server stores of a role's password.
    pub(crate) fn verifier(&self, role: &Ident) -> String {
        tenantry_pg::scram::verifier(&self.password(role))
    }

    /// The key of a database's seal.
    pub(crate) fn seal_key(&self, database: &Ident) -> SealKey {
        const FIRST: i32 = 1;
        let kid = FIRST.to_string();
        let parts = [self.environment.as_str(), self.name.as_str(), database.as_str(), &kid];
        SealKey::new(FIRST, self.root.derive("seal", &parts))
    }

    /// From which the canaries of the leak probe are made: nobody can guess them, and every run makes the same.
    pub(crate) fn canary_key(&self, parts: &[&str]) -> zeroize::Zeroizing<[u8; 32]> {
        self.root.derive("canary", parts)
    }

    /// The number of one of our advisory locks. It comes from the root key, because whoever could guess it could hold
    /// it: every session of a database may lock every number.
    pub(crate) fn lock_key(&self, what: &str, name: &str) -> i64 {
        let bytes = self.root.derive("lock", &[self.environment.as_str(), self.name.as_str(), what, name]);
        bytes.iter().take(8).fold(0, |number, byte| (number << 8) | i64::from(*byte))
    }

    /// Where the server is, and our own login there.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// The connections to the database that the cell's URL names. What concerns the whole server is done there.
    pub(crate) fn server_pool(&self) -> Pool {
        self.pool(self.target.database())
    }

    /// The connections to a home database, kept.
    pub(crate) fn home_pool(&self, names: &Names) -> Pool {
        self.pool(names.home.as_str())
    }

    fn pool(&self, database: &str) -> Pool {
        let make =
            || Pool::new(self.target.clone().with_database(database), self.pool_options(self.options.connections));
        lock(&self.pools).entry(database.to_owned()).or_insert_with(make).clone()
    }

    /// The connections to a tenant's database, kept for a moment: one verb usually follows another.
    pub(crate) fn tenant_pool(&self, database: &Ident) -> Pool {
        let mut pools = lock(&self.tenant_pools);
        if pools.len() >= KEPT_POOLS {
            pools.retain(|_, pool| pool.status().in_use + pool.status().idle > 0);
        }
        let options = || PoolOptions { idle_close: Some(KEPT_FOR), ..self.pool_options(2) };
        let make = || Pool::new(self.target.clone().with_database(database.as_str()), options());
        pools.entry(database.as_str().to_owned()).or_insert_with(make).clone()
    }

    /// Closes the connections to a database that is about to be renamed or dropped.
    pub(crate) fn forget_pool(&self, database: &Ident) {
        for pools in [&self.pools, &self.tenant_pools] {
            if let Some(pool) = lock(pools).remove(database.as_str()) {
                pool.close();
            }
        }
    }

    /// A few connections to a database for as long as the value lives: one with an idle connection can be neither
    /// renamed nor copied.
    pub(crate) fn visit(&self, database: &Ident) -> Visit {
        Visit(Pool::new(self.target.clone().with_database(database.as_str()), self.pool_options(2)))
    }

    fn pool_options(&self, max: usize) -> PoolOptions {
        // A replica that froze inside a transaction must not hold up the one that takes its run over.
        let idle_in_tx = Duration::from_secs(10);
        PoolOptions { max, wait: self.options.turn, idle_in_tx, application: "tenantry cell", ..PoolOptions::default() }
    }

    /// The version up to which this process has seen an app's home complete.
    pub(crate) fn prepared(&self, app: &AppTarget) -> Option<i64> {
        lock(&self.prepared).get(&(app.environment.clone(), app.app.clone())).copied()
    }

    pub(crate) fn set_prepared(&self, app: &AppTarget, version: Option<i64>) {
        let key = (app.environment.clone(), app.app.clone());
        match version {
            Some(version) => lock(&self.prepared).insert(key, version),
            None => lock(&self.prepared).remove(&key),
        };
    }

    pub(crate) async fn server(&self) -> Result<Server, DataError> {
        self.server.get_or_try_init(|| self.examine()).await.copied()
    }

    async fn examine(&self) -> Result<Server, DataError> {
        let conn = self.server_pool().get().await?;
        let version = tenantry_pg::server_version(&conn).await?;
        if version.major() < OLDEST_MAJOR {
            return Err(DataError::Unsupported {
                what: format!("it runs PostgreSQL {version}"),
                hint: "Upgrade the server to PostgreSQL 15 or newer.",
            });
        }
        let sql = "SELECT rolsuper, rolcreaterole, rolcreatedb, rolname::text, pg_is_in_recovery() FROM pg_roles WHERE rolname = current_user";
        let row = conn.query_one(sql, &[]).await?;
        let (superuser, roles, databases): (bool, bool, bool) = (get(&row, 0)?, get(&row, 1)?, get(&row, 2)?);
        let login: String = get(&row, 3)?;
        let standby: bool = get(&row, 4)?;
        conn.release();
        let missing = |what: String, hint| Err(DataError::Unsupported { what, hint });
        if standby {
            return missing("it is a standby".to_owned(), "Let the cell's URL lead to the primary.");
        }
        if !superuser && !roles {
            return missing(
                format!("the login `{login}` lacks CREATEROLE"),
                "Run ALTER ROLE … CREATEROLE CREATEDB for the cell's login.",
            );
        }
        if !superuser && !databases {
            return missing(
                format!("the login `{login}` lacks CREATEDB"),
                "Run ALTER ROLE … CREATEDB for the cell's login.",
            );
        }
        Ok(Server { superuser })
    }
}

/// Connections that are closed with this value.
pub(crate) struct Visit(Pool);

impl std::ops::Deref for Visit {
    type Target = Pool;
    fn deref(&self) -> &Pool {
        &self.0
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Our critical sections neither panic nor leave a value half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
