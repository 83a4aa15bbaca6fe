//! Connections to tenants' places, and the way into a tenant's transaction.
//!
//! One pool per server, database and login, opened when first used and closed when idle. Where tenants share a
//! login, a connection remembers whom it served last: the same tenant gets it back with its prepared statements,
//! any other tenant only after a reset ([`CLEAN`]), because PostgreSQL keeps prepared statements, temporary tables,
//! cursors, channels and settings of a session, and each of them can carry data or commands across.
//!
//! INVARIANT: every statement that lets a tenant in is unnamed and parsed on the spot; a name could have been given
//! to another statement by the tenant before. Everything up to the first statement of the user is one round trip.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join4;
use tenantry_domain::id::TenantId;
use tenantry_domain::isolation::Isolation;
use tenantry_pg::{Conn, PgError, PgKind, Pool, PoolOptions, Session, Target, Tx, TxMode, Type};
use tokio::sync::Semaphore;

use crate::cell::Cell;
use crate::seal::{Backend, Capability, SealKey};
use crate::space::Space;
use crate::tx::{TenantTx, TenantTxError};

/// `ALTER ROLE … SET` is open to every login for itself, so with a shared login one tenant could change what
/// another tenant's SQL means. What a connection is started with wins over it.
const SETTINGS: &[(&str, &str)] = &[
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

/// What `DISCARD ALL` does, except that it keeps the plans of functions: nothing of a tenant is in those, and making
/// the seal's anew would cost more than all the rest. The last word leaves the backend unarmed. The settings come
/// first: each of these statements runs under the time limit that the tenant before has left.
const CLEAN: &str = "RESET ALL; CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; DEALLOCATE ALL; UNLISTEN *; \
    SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES";

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

/// Gives out tenants' transactions. Share one by `Arc`.
pub struct Router {
    options: RouterOptions,
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
    /// Of a shared login: who has how many connections.
    shares: HashMap<TenantId, Arc<Semaphore>>,
}

/// What we remember beside a connection.
#[derive(Clone)]
struct Armed {
    backend: Backend,
    capability: Capability,
    kid: i32,
    tenant: TenantId,
}

impl Router {
    /// Makes a router; nothing is opened yet.
    #[must_use]
    pub fn new(options: RouterOptions) -> Self {
        Self { options, pools: Mutex::default() }
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
        let (pool, share) = self.pool(door);
        let share = match share {
            Some(share) => match tokio::time::timeout(self.options.pool.wait, share.acquire_owned()).await {
                Ok(permit) => permit.ok(),
                Err(_) => return Err(TenantTxError::Busy),
            },
            None => None,
        };
        // A connection that died while it was unused shows that only now, and one whose last tenant set a limit of a
        // millisecond may fail while it is cleaned. Nothing of the user's was run; it is closed and the next one tried.
        for _ in 0..=pool.status().idle {
            let conn = pool
                .get_preferring(|session| serves(session, door.tenant))
                .await
                .map_err(|error| self.lost(door, error))?;
            let pooled = conn.attached(|_: &mut Armed| ()).is_some();
            match knock(conn, door, mode).await {
                Ok(tx) => return Ok(TenantTx::new(tx, door.tenant, share)),
                Err(error) if pooled && is_leftover(error.kind()) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let conn = pool.get_new().await.map_err(|error| self.lost(door, error))?;
        Ok(TenantTx::new(knock(conn, door, mode).await?, door.tenant, share))
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

    fn pool(&self, door: &Door) -> (Pool, Option<Arc<Semaphore>>) {
        let shared = !door.isolation.has_own_role();
        let asked = door.connections.map_or(usize::MAX, |count| count as usize).max(1);
        let mut pools = self.lock();
        if pools.len() >= self.options.pools.max(1) && !pools.contains_key(&key(&door.target)) {
            evict(&mut pools);
        }
        let entry = pools.entry(key(&door.target)).or_insert_with(|| {
            let max = if shared { self.options.shared } else { self.options.own.min(asked) };
            let options = PoolOptions { max, settings: SETTINGS, ..self.options.pool.clone() };
            Entry { pool: Pool::new(door.target.clone(), options), used: Instant::now(), shares: HashMap::new() }
        });
        entry.used = Instant::now();
        let share = shared.then(|| {
            if entry.shares.len() > 64 {
                entry.shares.retain(|_, share| Arc::strong_count(share) > 1);
            }
            let most = self.options.per_tenant.min(asked).max(1);
            Arc::clone(entry.shares.entry(door.tenant).or_insert_with(|| Arc::new(Semaphore::new(most))))
        });
        (entry.pool.clone(), share)
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

/// Sends everything that lets the tenant in, and waits for the answers.
async fn knock(conn: Conn, door: &Door, mode: TxMode) -> Result<Tx, PgError> {
    let known = conn.attached(|armed: &mut Armed| armed.clone());
    let kid = door.seal.kid();
    let warm =
        !conn.is_unclean() && known.as_ref().is_some_and(|known| known.tenant == door.tenant && known.kid == kid);
    let armed = match known {
        Some(known) if known.kid == kid => Armed { tenant: door.tenant, ..known },
        _ => {
            let backend = hello(&conn).await?;
            Armed { backend, capability: door.seal.capability(backend), kid, tenant: door.tenant }
        }
    };
    if !warm {
        conn.forget();
    }
    let (tenant, proof) = (door.tenant.uuid(), door.seal.arm(armed.backend));
    let token = armed.capability.token(tenant, door.epoch);
    let client = conn.client();
    // The requests leave in this order when they are first polled, and the server runs them in this order.
    let clean = async { if warm { Ok(()) } else { client.batch_execute(CLEAN).await } };
    let arm = async {
        if warm {
            return Ok(());
        }
        let params = [(&kid as Param<'_>, Type::INT4), (&proof.as_slice(), Type::BYTEA)];
        client.query_typed("SELECT seal.arm($1, $2)", &params).await.map(drop)
    };
    let begin = client.batch_execute(mode.begin());
    let token = token.as_slice();
    let params = [(&tenant as Param<'_>, Type::UUID), (&door.epoch, Type::INT8), (&token, Type::BYTEA)];
    let enter = client.query_typed("SELECT seal.enter($1, $2, $3)", &params);
    let (cleaned, proven, begun, entered) = conn.pipelined(async { Ok(join4(clean, arm, begin, enter).await) }).await?;
    cleaned?;
    proven?;
    begun?;
    if !warm {
        conn.mark_clean();
        conn.attach(armed);
    }
    if let Err(error) = entered {
        let error = PgError::from(error);
        if error.kind() == PgKind::Tenantry {
            // The tenant's gate is shut, but the connection is sound and goes back.
            let _ = Tx::begun(conn).rollback().await;
        }
        return Err(error);
    }
    Ok(Tx::begun(conn))
}

type Param<'a> = &'a (dyn tenantry_pg::ToSql + Sync);

/// Asks a connection that is new, or whose note was lost, which backend it has.
async fn hello(session: &Session) -> Result<Backend, PgError> {
    let client = session.client();
    let rows = session.pipelined(client.query_typed("SELECT pid, started FROM seal.hello()", &[])).await?;
    let row = rows.first().ok_or_else(PgError::no_row)?;
    Ok(Backend { pid: row.try_get(0)?, started: row.try_get(1)? })
}

/// Whether a failure may come from what happened to the connection before.
const fn is_leftover(kind: PgKind) -> bool {
    matches!(kind, PgKind::Unavailable | PgKind::QueryCanceled | PgKind::LockNotAvailable)
}

fn serves(session: &Session, tenant: TenantId) -> bool {
    session.attached(|armed: &mut Armed| armed.tenant == tenant).unwrap_or(false)
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
