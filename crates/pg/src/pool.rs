//! A bounded pool of connections with one login and one database.
//!
//! Why not a library's pool: here a connection comes back only when its borrower says so, one whose statement is
//! still running is cancelled and closed, and a borrower may prefer the connection that served the same tenant last.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_postgres::AsyncMessage;

use crate::session::{Notices, keep_notice, lock};
use crate::target::Startup;
use crate::{Conn, Ident, PgError, PgKind, Session, Target, Tx, TxMode};

/// How often a server without a free connection is asked again while a borrower waits.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// Bounds of a pool and of each of its connections. A duration of zero switches that server-side limit off.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    /// The most connections open at once.
    pub max: usize,
    /// How long a borrower waits for one.
    pub wait: Duration,
    /// How long opening one may take.
    pub connect: Duration,
    /// `statement_timeout`.
    pub statement: Duration,
    /// `idle_in_transaction_session_timeout`.
    pub idle_in_tx: Duration,
    /// `lock_timeout`.
    pub lock: Duration,
    /// `application_name`, by which operators tell our connections apart.
    pub application: &'static str,
    /// When an unused connection is closed; `None` keeps it.
    pub idle_close: Option<Duration>,
    /// A role to act as from the start, to which `RESET ROLE` and `DISCARD ALL` return.
    pub set_role: Option<Ident>,
    /// Further settings (name, value) from the start, to which `RESET` and `DISCARD ALL` return. They win over what
    /// `ALTER ROLE … SET` and `ALTER DATABASE … SET` say.
    pub settings: &'static [(&'static str, &'static str)],
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            max: 10,
            wait: Duration::from_secs(5),
            connect: Duration::from_secs(5),
            statement: Duration::from_secs(30),
            idle_in_tx: Duration::from_secs(60),
            lock: Duration::from_secs(5),
            application: "tenantry",
            idle_close: Some(Duration::from_secs(300)),
            set_role: None,
            settings: &[],
        }
    }
}

/// A pool's load at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStatus {
    /// The bound.
    pub max: usize,
    /// Connections lent out.
    pub in_use: usize,
    /// Connections waiting for a borrower.
    pub idle: usize,
}

/// Lends connections. Cloning gives another handle on the same pool.
#[derive(Clone)]
pub struct Pool {
    shelf: Arc<Shelf>,
}

/// Which connection a borrower wants.
#[derive(Clone, Copy)]
enum Choice<'a> {
    Warmest,
    /// One of which this is true, else the longest unused one.
    Fitting(&'a (dyn Fn(&Session) -> bool + Send + Sync)),
    New,
}

/// What the borrowers share with the pool.
pub(crate) struct Shelf {
    target: Target,
    options: PoolOptions,
    settings: String,
    places: Arc<Semaphore>,
    /// Unused connections, the longest unused first.
    idle: Mutex<VecDeque<(Instant, Arc<Session>)>>,
    sweeping: AtomicBool,
}

impl Pool {
    /// Makes a pool; nothing is opened yet.
    #[must_use]
    pub fn new(target: Target, options: PoolOptions) -> Self {
        let settings = settings(&options);
        let places = Arc::new(Semaphore::new(options.max.max(1)));
        let shelf =
            Shelf { target, options, settings, places, idle: Mutex::default(), sweeping: AtomicBool::new(false) };
        Self { shelf: Arc::new(shelf) }
    }

    /// Borrows a connection without an open transaction or anything else of an earlier borrower.
    ///
    /// # Errors
    /// None became free in time, the server cannot be reached, or the pool is closed.
    pub async fn get(&self) -> Result<Conn, PgError> {
        loop {
            let conn = self.take(Choice::Warmest).await?;
            // A connection that cannot be cleaned is closed here, and the next one is tried.
            if !conn.is_unclean() || conn.discard().await.is_ok() {
                return Ok(conn);
            }
        }
    }

    /// Borrows a connection as its last borrower left it, if possible one that `fits`, else the longest unused one.
    /// For callers who look at [`Session::is_unclean`] and [`Session::attached`] themselves.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub async fn get_preferring(&self, fits: impl Fn(&Session) -> bool + Send + Sync) -> Result<Conn, PgError> {
        self.take(Choice::Fitting(&fits)).await
    }

    /// Opens a connection nobody has used, in the place of the longest unused one if the pool is full: for callers
    /// whom an earlier borrower's leftovers have failed.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub async fn get_new(&self) -> Result<Conn, PgError> {
        self.take(Choice::New).await
    }

    /// Borrows a connection and begins a transaction on it.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub async fn begin(&self) -> Result<Tx, PgError> {
        self.begin_with(TxMode::ReadCommitted).await
    }

    /// [`Self::begin`] with another mode.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub async fn begin_with(&self, mode: TxMode) -> Result<Tx, PgError> {
        self.get().await?.begin(mode).await
    }

    /// The load at this moment.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        let max = self.shelf.options.max.max(1);
        let idle = lock(&self.shelf.idle).len();
        PoolStatus { max, in_use: max.saturating_sub(self.shelf.places.available_permits()), idle }
    }

    /// Where the connections go.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.shelf.target
    }

    /// Lends nothing any more, and closes what is unused; what is lent out is closed when it comes back.
    pub fn close(&self) {
        self.shelf.places.close();
        lock(&self.shelf.idle).clear();
    }

    async fn take(&self, choice: Choice<'_>) -> Result<Conn, PgError> {
        let shelf = &self.shelf;
        let until = Instant::now() + shelf.options.wait;
        let place = match tokio::time::timeout_at(until, Arc::clone(&shelf.places).acquire_owned()).await {
            Ok(Ok(place)) => place,
            Ok(Err(_)) => return Err(PgError::closed()),
            Err(_) => return Err(PgError::waited("a free connection")),
        };
        if let Some(session) = shelf.pick(choice) {
            return Ok(Conn::new(session, Arc::clone(shelf), place));
        }
        loop {
            match shelf.open().await {
                Ok(session) => return Ok(Conn::new(Arc::new(session), Arc::clone(shelf), place)),
                // The server may still be counting a connection that we closed a moment ago.
                Err(error) if error.kind() == PgKind::TooManyConnections && Instant::now() + FULL_PAUSE < until => {
                    tokio::time::sleep(FULL_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Shelf {
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Takes a connection back. The place is given free last, so that whoever gets it finds the connection.
    pub(crate) fn put(self: &Arc<Self>, session: Arc<Session>, place: OwnedSemaphorePermit) {
        if self.places.is_closed() {
            return;
        }
        lock(&self.idle).push_back((Instant::now(), session));
        drop(place);
        self.start_sweeping();
    }

    fn pick(&self, choice: Choice<'_>) -> Option<Arc<Session>> {
        let mut idle = lock(&self.idle);
        idle.retain(|(_, session)| !session.is_closed());
        match choice {
            // The most recently used one.
            Choice::Warmest => idle.pop_back(),
            Choice::New => {
                // Every connection holds a place or is unused; ours must not become one too many.
                if idle.len() > self.places.available_permits() {
                    idle.pop_front();
                }
                None
            }
            Choice::Fitting(fits) => match idle.iter().rposition(|(_, session)| fits(session)) {
                Some(index) => idle.remove(index),
                None => idle.pop_front(),
            },
        }
        .map(|(_, session)| session)
    }

    async fn open(&self) -> Result<Session, PgError> {
        let notices = Notices::default();
        let keep = Arc::clone(&notices);
        let startup =
            Startup { application: self.options.application, settings: &self.settings, limit: self.options.connect };
        let on_message = move |message: AsyncMessage| {
            if let AsyncMessage::Notice(notice) = &message {
                keep_notice(&keep, notice);
            }
            std::future::ready(())
        };
        let (client, task) = self.target.connect(&startup, on_message).await?;
        Ok(Session::new(client, task, notices))
    }

    /// Starts the task that closes unused connections, unless it runs; it ends when nothing is unused.
    fn start_sweeping(self: &Arc<Self>) {
        let (Some(after), Ok(runtime)) = (self.options.idle_close, tokio::runtime::Handle::try_current()) else {
            return;
        };
        if self.sweeping.swap(true, Ordering::AcqRel) {
            return;
        }
        let shelf: Weak<Self> = Arc::downgrade(self);
        runtime.spawn(async move {
            loop {
                let Some(next) = shelf.upgrade().and_then(|shelf| shelf.sweep(after)) else { return };
                tokio::time::sleep_until(next).await;
            }
        });
    }

    /// Closes what is unused for too long; gives the moment when the next one will be, if there is a next one.
    fn sweep(&self, after: Duration) -> Option<Instant> {
        let mut idle = lock(&self.idle);
        let now = Instant::now();
        idle.retain(|(since, _)| *since + after > now);
        let next = idle.front().map(|(since, _)| *since + after);
        if next.is_none() {
            self.sweeping.store(false, Ordering::Release);
        }
        next
    }
}

/// The start-up form of the server's settings, with its own escaping: a space and a backslash take a backslash.
fn settings(options: &PoolOptions) -> String {
    let mut text = String::new();
    for (name, limit) in [
        ("statement_timeout", options.statement),
        ("lock_timeout", options.lock),
        ("idle_in_transaction_session_timeout", options.idle_in_tx),
    ] {
        let _ = write!(text, "-c {name}={} ", limit.as_millis());
    }
    let role = options.set_role.iter().map(|role| ("role", role.as_str()));
    for (name, value) in options.settings.iter().copied().chain(role) {
        let _ = write!(text, "-c {name}=");
        for c in value.chars() {
            if c.is_whitespace() || c == '\\' {
                text.push('\\');
            }
            text.push(c);
        }
        text.push(' ');
    }
    text
}
