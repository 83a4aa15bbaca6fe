//! Keeps the table as the registry is: everything once, then what has changed.
//!
//! It looks every fifth of a second, and at once when the control plane says that something was committed. While the
//! database is away the table stays as it is, and looks go on more and more rarely. What is known is kept in a file, for a
//! gateway that starts while the database is away.
//! INVARIANT: the table is what the registry was at one moment or later; nothing in it is ever older than an answer that
//! was read before, but for the time between the start from a file and the first answer.

pub mod disk;
mod follow;
mod keeper;
mod read;
mod status;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use secrecy::SecretString;
use tenantry_domain::id::InstallationId;
use tenantry_pg::{PoolOptions, Target, TargetError};
use tenantry_store::{CursorKey, Nudges, Store, StoreError, StoreOptions};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use disk::{File, FileError};
use follow::Follower;
use keeper::{Keeper, Outcome};
use status::Shared;
pub use status::{Source, Status};

use crate::table::Table;

/// How the feed works. The defaults suit production.
#[derive(Debug, Clone)]
pub struct Options {
    /// The longest time between two looks while the database answers.
    pub every: Duration,
    /// After this everything is read again, whether changes were seen or not: for what a wrong clock hides, and for
    /// overrides of quotas that have ended.
    pub refresh: Duration,
    /// How long the start waits for the database before it takes the file.
    pub patience: Duration,
    /// Where the table is kept; absent for nowhere.
    pub file: Option<File>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            every: Duration::from_millis(200),
            refresh: Duration::from_secs(60),
            patience: Duration::from_secs(10),
            file: None,
        }
    }
}

/// Why a gateway has no table to begin with.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database refuses, for a reason that does not pass by itself.
    #[error("the control database cannot be read")]
    Database(#[source] StoreError),
    /// The database is away, and no file was named.
    #[error("the control database does not answer, and no file with a table is configured")]
    Away(#[source] LookError),
    /// The database is away, and the file is of no use.
    #[error("the control database does not answer ({database}), and the file with the table cannot be used")]
    File {
        /// Why the database was of no use.
        database: LookError,
        /// Why the file is not.
        #[source]
        file: FileError,
    },
}

/// Why a look gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The database does not answer, or refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No answer came in time.
    #[error("no answer came within {} s", .0.as_secs())]
    Slow(Duration),
    /// The database is that of another installation than the table's.
    #[error("the database belongs to installation {found}, the table to {known}")]
    Foreign {
        /// Whose the database is.
        found: InstallationId,
        /// Whose the table is.
        known: InstallationId,
    },
}

/// A look that takes longer is given up, together with its connection.
const LOOK_LIMIT: Duration = Duration::from_secs(30);
/// First and longest pause after looks that failed.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));
/// Commits come in swarms; so long is waited for the others.
const BREATH: Duration = Duration::from_millis(5);
/// Listening is an extra: it must not hold looks up, and is tried again after a while.
const LISTEN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// How long the end waits for a writing of the file.
const FAREWELL: Duration = Duration::from_secs(10);
/// While the database is away, the log says so this often.
const REMIND: Duration = Duration::from_secs(60);

/// A handle on the control database with few connections, as a gateway needs it.
///
/// # Errors
/// The URL cannot be read.
pub fn store(database_url: &SecretString) -> Result<Store, TargetError> {
    let pool = PoolOptions { max: 2, application: "tenantry gateway", ..PoolOptions::default() };
    // Gateways read no pages, so nothing is ever signed with this key.
    let cursor_key = CursorKey::new(&[0; 32]);
    Ok(Store::new(StoreOptions { target: Target::parse(database_url)?, pool, cursor_key }))
}

/// The feed at work. Dropping it stops it without writing the file; see [`Feed::stop`].
#[derive(Debug)]
pub struct Feed {
    handle: Handle,
    installation: InstallationId,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Sees how the feed goes, and hurries it. Cheap to clone; keeps nothing at work.
#[derive(Debug, Clone, Default)]
pub struct Handle {
    shared: Arc<Shared>,
    asked: Arc<Notify>,
}

impl Handle {
    /// How it goes; for metrics and for people.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Asks for a look at once. Those that are asked for together are one look.
    pub fn look(&self) {
        self.asked.notify_one();
    }
}

impl Feed {
    /// Fills the table, from the database or else from the file, and keeps it filled from then on.
    ///
    /// # Errors
    /// Neither gives a table.
    pub async fn start(store: Store, table: Table, options: Options) -> Result<Self, StartError> {
        let handle = Handle::default();
        let shared = Arc::clone(&handle.shared);
        let mut follower = Follower::new(store.clone(), table.clone(), options.refresh);
        let began = Instant::now();
        let first = look(&mut follower, options.patience).await;
        let mut keeper = options.file.clone().map(Keeper::new);
        let installation = match first {
            Ok(looked) => {
                shared.succeeded(&looked);
                tracing::info!(took_ms = began.elapsed().as_millis(), "the table was read from the control database");
                looked.installation
            }
            Err(LookError::Store(error)) if !error.is_unavailable() => return Err(StartError::Database(error)),
            Err(database) => {
                let Some(file) = &options.file else { return Err(StartError::Away(database)) };
                let kept = match disk::read(file, tenantry_domain::Timestamp::now()) {
                    Ok(kept) => kept,
                    Err(file) => return Err(StartError::File { database, file }),
                };
                tracing::warn!(error = %database, taken_at = %kept.taken_at, path = %file.path.display(),
                    "the control database does not answer; starting with the table from the file");
                shared.started_from_file(&kept);
                follower.belongs_to(kept.installation);
                table.replace(kept.full);
                kept.installation
            }
        };
        if let Some(keeper) = &mut keeper {
            keeper.changed(follower.has_read());
        }
        let stop = CancellationToken::new();
        let asked = Arc::clone(&handle.asked);
        let work = Work { follower, table, store, shared, asked, keeper, every: options.every, installation };
        let task = tokio::spawn(work.run(stop.clone()));
        Ok(Self { handle, installation, stop, task })
    }

    /// For whoever looks at it or hurries it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// How it goes.
    #[must_use]
    pub fn status(&self) -> Status {
        self.handle.status()
    }

    /// The installation whose table it is; names and keys on cells are derived from it.
    #[must_use]
    pub const fn installation(&self) -> InstallationId {
        self.installation
    }

    /// Stops, and writes the file if there is something new.
    pub async fn stop(mut self) {
        self.stop.cancel();
        // A task that panicked has logged so.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        // After an orderly stop there is nothing left to end.
        self.task.abort();
    }
}

async fn look(follower: &mut Follower, limit: Duration) -> Result<follow::Looked, LookError> {
    tokio::time::timeout(limit, follower.look()).await.unwrap_or(Err(LookError::Slow(limit)))
}

/// What the task works with.
struct Work {
    follower: Follower,
    table: Table,
    store: Store,
    shared: Arc<Shared>,
    asked: Arc<Notify>,
    keeper: Option<Keeper>,
    every: Duration,
    installation: InstallationId,
}

impl Work {
    async fn run(mut self, stop: CancellationToken) {
        let mut ear = Ear::default();
        let mut failures: u32 = 0;
        let mut reminded = Instant::now();
        let mut pause = self.every;
        loop {
            if failures == 0 {
                ear.open(&self.store).await;
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
                () = ear.hear(), if failures == 0 => tokio::time::sleep(BREATH).await,
                // While the database is away, asking does not bring it back.
                () = self.asked.notified(), if failures == 0 => tokio::time::sleep(BREATH).await,
            }
            let looked = tokio::select! {
                () = stop.cancelled() => break,
                looked = look(&mut self.follower, LOOK_LIMIT) => looked,
            };
            match looked {
                Ok(looked) => {
                    if failures > 0 {
                        tracing::info!(failures, "the control database answers again");
                    }
                    (failures, pause) = (0, self.every);
                    self.shared.succeeded(&looked);
                    if let Some(keeper) = &mut self.keeper {
                        keeper.changed(looked.changes > 0);
                    }
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    pause = BACKOFF.0.saturating_mul(1 << failures.min(6)).min(BACKOFF.1);
                    let behind = self.shared.failed(&error);
                    if failures == 1 || reminded.elapsed() >= REMIND {
                        reminded = Instant::now();
                        tracing::warn!(%error, failures, behind_s = behind.map(|behind| behind.as_secs()),
                            "the control database does not answer; going on with the table as it is");
                    }
                }
            }
            self.keep(false);
        }
        self.written().await;
        self.keep(true);
        self.written().await;
    }

    /// Waits for the writing that is under way, but not for a volume that hangs.
    async fn written(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            let outcome = keeper.wait(FAREWELL).await;
            self.tell(outcome);
        }
    }

    /// Begins to write the file when it is time to, or at the end, and tells what became of it. Waits for nothing: following
    /// the registry must not depend on a volume.
    fn keep(&mut self, is_last: bool) {
        let Some(keeper) = &mut self.keeper else { return };
        let outcome = keeper.look();
        // What came from the file and was never confirmed must not look fresh.
        if keeper.is_due(is_last)
            && let Some(taken_at) = self.shared.confirmed()
        {
            let (installation, table) = (self.installation, self.table.clone());
            keeper.begin(taken_at, move || disk::Kept { installation, taken_at, full: table.full() });
        }
        self.tell(outcome);
    }

    fn tell(&self, outcome: Option<Outcome>) {
        match outcome {
            Some(Outcome::Written(as_of)) => self.shared.written(as_of),
            Some(Outcome::Failed(error)) => {
                tracing::warn!(%error, "the table could not be written to its file");
                self.shared.unwritten(&error);
            }
            None => {}
        }
    }
}

/// Hears that something was committed, where that is possible.
#[derive(Default)]
struct Ear {
    nudges: Option<Nudges>,
    tried: Option<Instant>,
}

impl Ear {
    async fn open(&mut self, store: &Store) {
        if self.nudges.is_some() || self.tried.is_some_and(|tried| tried.elapsed() < LISTEN.1) {
            return;
        }
        self.tried = Some(Instant::now());
        self.nudges = tokio::time::timeout(LISTEN.0, store.nudges()).await.ok().and_then(Result::ok);
    }

    /// Waits for a commit; those that came with it are heard with it.
    async fn hear(&mut self) {
        let Some(nudges) = &mut self.nudges else { return std::future::pending().await };
        nudges.next().await;
        while nudges.next().now_or_never().is_some() {}
    }
}
