//! Connections to tenants' places, and the way into a tenant's transaction.
//!
//! One pool per server, database and login, opened when first used and closed when idle. Who gets the next place in it
//! is decided by a [`turnstile`]; what is said to the connection then is in [`knock`]. Where tenants share a login, a
//! connection remembers whom it served last, and goes back to that tenant if it can.

mod knock;
mod turnstile;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_pg::{PgError, PgKind, Pool, PoolOptions, Session, Target, TxMode};

use crate::cell::Cell;
use crate::seal::SealKey;
use crate::space::Space;
use crate::tx::{TenantTx, TenantTxError};
use knock::{Note, knock};
use turnstile::{Jam, Turnstile};

pub use knock::CLEAN;
pub(crate) use turnstile::Place;

/// `ALTER ROLE … SET` is open to every login for itself, so with a shared login one tenant could change what
/// another tenant's SQL means. What a connection is started with wins over it, and is what `RESET` goes back to.
pub const SETTINGS: &[(&str, &str)] = &[
    ("search_path", "pg_catalog,pg_temp"),
    ("role", "none"),
    ("row_security", "on"),
    ("standard_conforming_strings", "on"),
    ("backslash_quote", "safe_encoding"),
    ("transform_null_equals", "off"),
    ("array_nulls", "on"),
    ("quote_all_identifiers", "off"),
    ("xmloption", "content"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_isolation", "read committed"),
    ("client_min_messages", "notice"),
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("bytea_output", "hex"),
    ("extra_float_digits", "1"),
    ("escape_string_warning", "on"),
    ("jit", "off"),
];

/// All that is needed to enter a tenant's place.
#[derive(Debug, Clone)]
pub struct Door {
    /// Whose place it is.
    pub tenant: TenantId,
    /// The placement's generation.
    pub epoch: i64,
    /// The level; says whether the login is shared with other tenants.
    pub isolation: Isolation,
    /// Server, database and login.
    pub target: Target,
    /// The seal's key in that database.
    pub seal: SealKey,
    /// How many connections the tenant may have, when its plan says so.
    pub connections: Option<u32>,
    /// Whether the server is a standby, on which `seal.enter_standby` lets in. The router here opens no such doors.
    pub is_standby: bool,
}

/// Bounds of a router.
#[derive(Debug, Clone)]
pub struct RouterOptions {
    /// The most connections to one database by a shared login.
    pub shared: usize,
    /// The most of them that one tenant uses at a time, unless its plan says less.
    pub per_tenant: usize,
    /// The most connections by a tenant's own login, unless its plan says less.
    pub own: usize,
    /// The most pools that are kept; beyond it the longest unused ones go.
    pub pools: usize,
    /// Waiting and server-side limits; its `max` and `settings` are not used.
    pub pool: PoolOptions,
}

impl Default for RouterOptions {
    fn default() -> Self {
        let pool = PoolOptions {
            application: "tenantry tenant",
            idle_close: Some(Duration::from_secs(60)),
            ..PoolOptions::default()
        };
        Self { shared: 20, per_tenant: 8, own: 10, pools: 1_000, pool }
    }
}

/// How many callers of one tenant wait for a connection before the next one is refused, unless a router says otherwise.
const WAITING: usize = 1_000;

/// Gives out tenants' transactions. Share one by `Arc`.
pub struct Router {
    options: RouterOptions,
    waiting: usize,
    pools: Mutex<HashMap<Key, Entry>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    host: String,
    port: u16,
    database: String,
    user: String,
}

struct Entry {
    pool: Pool,
    used: Instant,
    turnstile: Arc<Turnstile>,
}

impl Router {
    /// Makes a router; nothing is opened yet.
    #[must_use]
    pub fn new(options: RouterOptions) -> Self {
        Self { options, waiting: WAITING, pools: Mutex::default() }
    }

    /// Sets how many callers of one tenant may wait for a connection at a time; further ones get
    /// [`TenantTxError::Overloaded`] at once. For those who have no queue of their own in front; 1,000 unless it is set.
    #[must_use]
    pub const fn with_waiting(mut self, most: usize) -> Self {
        self.waiting = most;
        self
    }

    /// Begins a transaction in a tenant's space.
    ///
    /// # Errors
    /// See [`TenantTxError`]. Nothing was run.
    pub async fn begin(&self, cell: &Cell, space: &Space) -> Result<TenantTx, TenantTxError> {
        self.enter(&cell.door(space).map_err(TenantTxError::Place)?).await
    }

    /// Begins a transaction of the door's tenant.
    ///
    /// # Errors
    /// See [`TenantTxError`]. Nothing was run.
    pub async fn enter(&self, door: &Door) -> Result<TenantTx, TenantTxError> {
        self.enter_with(door, TxMode::ReadCommitted).await
    }

    /// [`Self::enter`] with another view on the data.
    ///
    /// # Errors
    /// See [`TenantTxError`]. Nothing was run.
    pub async fn enter_with(&self, door: &Door, mode: TxMode) -> Result<TenantTx, TenantTxError> {
        let (pool, turnstile, most) = self.pool(door);
        let place = turnstile.pass(door.tenant, most, self.waiting, self.options.pool.wait).await;
        let place = place.map_err(|jam| match jam {
            Jam::Full => TenantTxError::Overloaded,
            Jam::Waited => TenantTxError::Busy,
        })?;
        // A connection that died while it was unused shows that only now, and one whose last tenant set a limit of a
        // millisecond may fail while it is cleaned. Nothing of the user's was run; it is closed and the next one tried.
        for _ in 0..=pool.status().idle {
            let conn = pool
                .get_preferring(|session| serves(session, door.tenant))
                .await
                .map_err(|error| self.lost(door, error))?;
            let pooled = conn.attached(|_: &mut Note| ()).is_some();
            match knock(conn, door, mode).await {
                Ok(tx) => return Ok(TenantTx::new(tx, door.tenant, place)),
                Err(error) if pooled && is_leftover(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let conn = pool.get_new().await.map_err(|error| self.lost(door, error))?;
        Ok(TenantTx::new(knock(conn, door, mode).await?, door.tenant, place))
    }

    /// Closes what is open to this place: before it is dropped, or when its password changed.
    pub fn forget(&self, target: &Target) {
        if let Some(entry) = self.lock().remove(&key(target)) {
            entry.pool.close();
        }
    }

    /// How many pools there are.
    #[must_use]
    pub fn pools(&self) -> usize {
        self.lock().len()
    }

    /// Closes everything.
    pub fn close(&self) {
        for (_, entry) in self.lock().drain() {
            entry.pool.close();
        }
    }

    /// The pool, who gets a place in it, and how many places of it the tenant may have.
    fn pool(&self, door: &Door) -> (Pool, Arc<Turnstile>, usize) {
        let shared = !door.isolation.has_own_role();
        let asked = door.connections.map_or(usize::MAX, |count| count as usize).max(1);
        let mut pools = self.lock();
        if pools.len() >= self.options.pools.max(1) && !pools.contains_key(&key(&door.target)) {
            evict(&mut pools);
        }
        let entry = pools.entry(key(&door.target)).or_insert_with(|| {
            let max = if shared { self.options.shared } else { self.options.own.min(asked) }.max(1);
            let options = PoolOptions { max, settings: SETTINGS, ..self.options.pool.clone() };
            let pool = Pool::new(door.target.clone(), options);
            Entry { pool, used: Instant::now(), turnstile: Arc::new(Turnstile::new(max)) }
        });
        entry.used = Instant::now();
        let most = if shared { self.options.per_tenant.min(asked) } else { self.options.own };
        (entry.pool.clone(), Arc::clone(&entry.turnstile), most.max(1))
    }

    /// A login that is refused may have a new password: the next door brings it.
    fn lost(&self, door: &Door, error: PgError) -> TenantTxError {
        if matches!(error.kind(), PgKind::Permission | PgKind::Undefined) {
            self.forget(&door.target);
        }
        // A login of the tenant's own is switched off while the tenant is not open.
        if door.isolation.has_own_role() && error.sqlstate() == Some("28000") {
            return TenantTxError::Suspended;
        }
        error.into()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Entry>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a failure may come from what happened to the connection before. 55000: the session's binding is gone, which a
/// `DISCARD` inside of a function does.
fn is_leftover(error: &PgError) -> bool {
    matches!(error.kind(), PgKind::Unavailable | PgKind::QueryCanceled | PgKind::LockNotAvailable)
        || error.sqlstate() == Some("55000")
}

fn serves(session: &Session, tenant: TenantId) -> bool {
    session.attached(|note: &mut Note| note.tenant == tenant).unwrap_or(false)
}

/// Makes room for one more: the longest unused pool that lends nothing at the moment.
fn evict(pools: &mut HashMap<Key, Entry>) {
    let unused = pools.iter().filter(|(_, entry)| entry.pool.status().in_use == 0);
    if let Some(oldest) = unused.min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone())
        && let Some(entry) = pools.remove(&oldest)
    {
        entry.pool.close();
    }
}

fn key(target: &Target) -> Key {
    let (database, user) = (target.database().to_owned(), target.user().to_owned());
    Key { host: target.host(), port: target.port(), database, user }
}
