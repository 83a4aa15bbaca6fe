//! The handle on the control database: connections, migrations, readers and writers.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use tenantry_domain::Timestamp;
use tenantry_domain::event;
use tenantry_domain::id::InstallationId;
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::policy::Permit;
use tenantry_pg::migrate::{self, Applied, MigrateError, Migration};
use tenantry_pg::{Ident, Listener, Pool, PoolOptions, Row, Sql, Target, ToSql, Type};

use crate::columns::get;
use crate::cursor::CursorKey;
use crate::{StoreError, WriteTx};

/// The channel on which every replica hears that something was committed. The payload is empty: look, do not read.
pub const NUDGE: &str = "tenantry_nudge";

/// At most fifty nudges a second leave a replica, however many commits it has.
const NUDGE_PAUSE: Duration = Duration::from_millis(20);

/// Nobody sends.
const IDLE: u8 = 0;
/// A task sends or pauses.
const SENDING: u8 = 1;
/// The task must send once more.
const WANTED: u8 = 2;

pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "registry", sql: include_str!("../migrations/0001_registry.sql") },
    Migration { version: 2, name: "evidence", sql: include_str!("../migrations/0002_evidence.sql") },
    Migration { version: 3, name: "work", sql: include_str!("../migrations/0003_work.sql") },
    Migration { version: 4, name: "rights", sql: include_str!("../migrations/0004_rights.sql") },
    Migration { version: 5, name: "rollouts", sql: include_str!("../migrations/0005_rollouts.sql") },
    Migration { version: 6, name: "guard", sql: include_str!("../migrations/0006_guard.sql") },
    Migration { version: 7, name: "domains", sql: include_str!("../migrations/0007_domains.sql") },
    Migration { version: 8, name: "gateway", sql: include_str!("../migrations/0008_gateway.sql") },
    Migration { version: 9, name: "gateway bounds", sql: include_str!("../migrations/0009_gateway_bounds.sql") },
    Migration { version: 10, name: "access", sql: include_str!("../migrations/0010_access.sql") },
    Migration { version: 11, name: "members", sql: include_str!("../migrations/0011_members.sql") },
    Migration { version: 12, name: "quotas", sql: include_str!("../migrations/0012_quotas.sql") },
    Migration { version: 13, name: "flags", sql: include_str!("../migrations/0013_flags.sql") },
    Migration { version: 14, name: "hands", sql: include_str!("../migrations/0014_hands.sql") },
    Migration { version: 15, name: "scim", sql: include_str!("../migrations/0015_scim.sql") },
    Migration { version: 16, name: "pools", sql: include_str!("../migrations/0016_pools.sql") },
    Migration { version: 17, name: "webhooks", sql: include_str!("../migrations/0017_webhooks.sql") },
    Migration { version: 18, name: "approvals", sql: include_str!("../migrations/0018_approvals.sql") },
    Migration { version: 19, name: "people", sql: include_str!("../migrations/0019_people.sql") },
    Migration { version: 20, name: "usage", sql: include_str!("../migrations/0020_usage.sql") },
    Migration { version: 21, name: "standbys", sql: include_str!("../migrations/0021_standbys.sql") },
    Migration { version: 22, name: "streams", sql: include_str!("../migrations/0022_streams.sql") },
    Migration { version: 23, name: "notifications", sql: include_str!("../migrations/0023_notifications.sql") },
    Migration { version: 24, name: "stream identity", sql: include_str!("../migrations/0024_stream_identity.sql") },
    Migration { version: 25, name: "plan versions", sql: include_str!("../migrations/0025_plan_versions.sql") },
    Migration { version: 26, name: "storage", sql: include_str!("../migrations/0026_storage.sql") },
    Migration { version: 27, name: "fit", sql: include_str!("../migrations/0027_fit.sql") },
];

/// How often migrations are tried while others hold the locks that they need; each try waits three seconds for them.
const MIGRATE_TRIES: u32 = 60;

/// How long the tables are everybody's between two tries.
const MIGRATE_REST: Duration = Duration::from_secs(2);

/// Nothing is waited for inside our transactions, so one that stands still belongs to a process that was stopped or cut
/// off. Its locks would keep others from taking over its runs.
const IDLE_IN_TX: Duration = Duration::from_secs(5);

/// Connections for queues beside the others, at most; opened when something is sent.
const QUEUE_CONNECTIONS: usize = 8;

/// What holds for statements about queues. Their tables shrink to nothing and grow to anything between two statements, and a plan
/// is kept: one that was made for three rows reads all of them each time, also when they are a hundred thousand. So they are written
/// to have one good plan whatever there is, which is made once: to plan one anew costs more than to carry it out. And no commit of
/// theirs waits for the disk: should the server's machine die within the next moment (three times `wal_writer_delay`, 0.6 s), what
/// was done in it is done once more, as after a kill of ours; nothing is lost by it.
const QUEUE_SETTINGS: &[(&str, &str)] = &[
    ("enable_seqscan", "off"),
    ("jit", "off"),
    ("plan_cache_mode", "force_generic_plan"),
    ("synchronous_commit", "off"),
];

/// What a store needs to know.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The control database.
    pub target: Target,
    /// Bounds of the connections.
    pub pool: PoolOptions,
    /// Signs page tokens; the same in all replicas, so that a list can go on at another one.
    pub cursor_key: CursorKey,
}

/// The control database. Cloning gives another handle on the same one.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) pool: Pool,
    /// For statements about queues.
    queue: Pool,
    pub(crate) cursor_key: CursorKey,
    /// Environments seen to exist; none is ever removed.
    known: RwLock<HashSet<EnvironmentName>>,
    nudge: AtomicU8,
    /// What an event's payload has to keep; unset where nobody looks.
    pub(crate) contract: OnceLock<Contract>,
}

/// Says what is wrong with the payload of an event.
pub type Contract = fn(event::Type, &serde_json::Value) -> Result<(), String>;

/// Hears that something was committed somewhere, until it is dropped.
pub struct Nudges(Listener);

impl Nudges {
    /// Waits for the next nudge. One that was missed while the connection was away is made up for.
    pub async fn next(&mut self) {
        self.0.next().await;
    }
}

/// Reads one environment, each method in a statement or snapshot of its own.
#[derive(Clone)]
pub struct Reader {
    pub(crate) store: Store,
    pub(crate) environment: EnvironmentName,
}

impl Store {
    /// Makes a handle; nothing is opened yet. A transaction in which nothing was asked for five seconds is ended by the
    /// server, whatever the pool's options say.
    #[must_use]
    pub fn new(options: StoreOptions) -> Self {
        let idle_in_tx = options.pool.idle_in_tx.min(IDLE_IN_TX);
        let max = options.pool.max.min(QUEUE_CONNECTIONS);
        let queue = PoolOptions { idle_in_tx, max, settings: QUEUE_SETTINGS, ..options.pool.clone() };
        let inner = Inner {
            pool: Pool::new(options.target.clone(), PoolOptions { idle_in_tx, ..options.pool }),
            queue: Pool::new(options.target, queue),
            cursor_key: options.cursor_key,
            known: RwLock::default(),
            nudge: AtomicU8::new(IDLE),
            contract: OnceLock::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// From now on refuses commits with events that do not keep the contract, through this handle and all others of it. For
    /// builds with debug assertions: in production a defect of a payload is no reason to refuse a change.
    pub fn keep_contract(&self, contract: Contract) {
        // Whoever was first has the same contract.
        let _ = self.inner.contract.set(contract);
    }

    /// Brings our tables up to date. Any number of processes may do so at once. While somebody holds locks that are needed it is
    /// tried again, for about five minutes; the tables are everybody's in between.
    ///
    /// # Errors
    /// See [`MigrateError`]; nothing was changed then.
    pub async fn migrate(&self) -> Result<Applied, MigrateError> {
        let schema = Ident::new("tenantry").unwrap_or_else(|_| unreachable!("the name is ours"));
        let mut tries = 0;
        loop {
            tries += 1;
            match migrate::run(&self.inner.pool, &schema, MIGRATIONS).await {
                Err(error @ MigrateError::Blocked { .. }) if tries < MIGRATE_TRIES => {
                    tracing::warn!(%error, "trying again");
                    tokio::time::sleep(MIGRATE_REST).await;
                }
                ended => return ended,
            }
        }
    }

    /// Asks the database whether it answers and is migrated.
    ///
    /// # Errors
    /// It does not, or it is not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.query("SELECT FROM tenantry.installation", &[]).await.map(|_| ())
    }

    /// The database's clock.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn clock(&self) -> Result<Timestamp, StoreError> {
        let row = self.query_opt("SELECT clock_timestamp() AS now", &[]).await?.ok_or(StoreError::NotFound)?;
        get(&row, "now")
    }

    /// Hears of commits of all replicas.
    ///
    /// # Errors
    /// The first connection did not succeed.
    pub async fn nudges(&self) -> Result<Nudges, StoreError> {
        Ok(Nudges(Listener::connect(self.inner.pool.target().clone(), &[NUDGE]).await?))
    }

    /// The connections.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.inner.pool
    }

    /// The installation that this database belongs to; minted by the first migration.
    ///
    /// # Errors
    /// The database is not migrated or does not answer.
    pub async fn installation(&self) -> Result<InstallationId, StoreError> {
        let row = self.query_opt("SELECT id FROM tenantry.installation", &[]).await?.ok_or(StoreError::NotFound)?;
        Ok(InstallationId::from_uuid(get(&row, "id")?))
    }

    /// Begins a change inside the permit's scope. `now` stamps everything that it writes.
    ///
    /// # Errors
    /// No connection is to be had, or there is no such environment.
    pub async fn write(&self, permit: &Permit, now: Timestamp) -> Result<WriteTx, StoreError> {
        let environment = &permit.scope().environment;
        if !self.inner.known.read().unwrap_or_else(PoisonError::into_inner).contains(environment) {
            if self.environment(environment).await?.is_none() {
                return Err(StoreError::EnvironmentNotFound);
            }
            self.inner.known.write().unwrap_or_else(PoisonError::into_inner).insert(environment.clone());
        }
        let conn = self.inner.pool.get().await?;
        Ok(WriteTx::new(self.clone(), conn, permit, now))
    }

    /// Begins a change that will not last: its calls answer and refuse as those of [`Self::write`] would now, nothing is
    /// written, and nobody waits for it. It ends with [`WriteTx::rollback`].
    ///
    /// # Errors
    /// No connection is to be had, or there is no such environment.
    pub async fn look_ahead(&self, permit: &Permit, now: Timestamp) -> Result<WriteTx, StoreError> {
        self.write(permit, now).await.map(WriteTx::looking_ahead)
    }

    /// Reads of one environment.
    #[must_use]
    pub fn read(&self, environment: &EnvironmentName) -> Reader {
        Reader { store: self.clone(), environment: environment.clone() }
    }

    /// The rows of one statement in a transaction of its own.
    pub(crate) async fn query(
        &self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let conn = self.inner.pool.get().await?;
        let rows = conn.query(sql, params).await;
        conn.release();
        Ok(rows?)
    }

    /// The rows of one statement about a queue: what it changes may be undone by a crash of the server's machine, all or nothing,
    /// the newest first.
    pub(crate) async fn queue_query(
        &self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let conn = self.inner.queue.get().await?;
        let rows = conn.query(sql, params).await;
        conn.release();
        Ok(rows?)
    }

    /// The row of one statement about a queue that gives at most one.
    pub(crate) async fn queue_query_opt(
        &self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.queue_query(sql, params).await?.pop())
    }

    /// The row of one statement that gives at most one.
    pub(crate) async fn query_opt(
        &self,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.query(sql, params).await?.pop())
    }

    /// The rows of one composed statement. Nothing stays prepared: the plan is made for these very values.
    pub(crate) async fn query_built(
        &self,
        sql: &Sql,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, StoreError> {
        let conn = self.inner.pool.get().await?;
        let rows = conn.pipelined(conn.client().query_typed(sql.as_str(), params)).await;
        conn.release();
        Ok(rows?)
    }

    /// Tells all replicas that something was committed.
    ///
    /// Not inside of the commit: PostgreSQL lets transactions that notify commit only one after the other, log flush
    /// included, which would make one queue of all writers. A process that dies in between owes a nudge, which the
    /// timers of the controllers make up for.
    pub(crate) fn nudge(&self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.inner.nudge.swap(WANTED, Ordering::AcqRel) != IDLE {
            return;
        }
        let store = self.clone();
        runtime.spawn(async move {
            loop {
                store.inner.nudge.store(SENDING, Ordering::Release);
                // A hint need not survive a crash of the server, so nobody waits for its log.
                let sql = "SELECT set_config('synchronous_commit', 'off', true), pg_notify('tenantry_nudge', '')";
                if let Err(error) = store.query(sql, &[]).await {
                    tracing::debug!(%error, "no nudge was sent");
                }
                tokio::time::sleep(NUDGE_PAUSE).await;
                let ended = store.inner.nudge.compare_exchange(SENDING, IDLE, Ordering::AcqRel, Ordering::Acquire);
                if ended.is_ok() {
                    return;
                }
            }
        });
    }
}
