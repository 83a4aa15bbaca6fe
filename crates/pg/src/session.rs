//! One connection to the server, and all that may be said on it.
//!
//! [`crate::Conn`] and [`crate::Tx`] both dereference to a [`Session`], so a function that only reads or writes
//! takes `&Session` and works inside and outside of a transaction.
//!
//! A session counts the requests that were sent and not answered. The count stays up when a future is dropped
//! half-way, and that is how the pool knows that a connection is not fit to be handed on.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::task::AbortHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, CopyInSink, CopyOutStream, Row, SimpleQueryMessage, Statement};

use crate::{PgError, PgKind, Sql};

/// How many of the server's notices are kept; a script that says more is not read to the end by anyone.
const NOTICES_KEPT: usize = 64;

/// Something the server said beside its answers (`NOTICE`, `WARNING`). May quote stored values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// `NOTICE`, `WARNING` and so on.
    pub severity: String,
    /// The text.
    pub message: String,
    /// More of it, if the server gave more.
    pub detail: Option<String>,
}

pub(crate) type Notices = Arc<Mutex<VecDeque<Notice>>>;

/// A connection in use.
pub struct Session {
    client: Client,
    task: AbortHandle,
    notices: Notices,
    statements: Mutex<HashMap<&'static str, Statement>>,
    unanswered: AtomicU32,
    failed: Mutex<Option<PgKind>>,
    unclean: AtomicBool,
    attached: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Session {
    pub(crate) fn new(client: Client, task: AbortHandle, notices: Notices) -> Self {
        Self {
            client,
            task,
            notices,
            statements: Mutex::default(),
            unanswered: AtomicU32::new(0),
            failed: Mutex::default(),
            unclean: AtomicBool::new(false),
            attached: Mutex::default(),
        }
    }

    /// All rows of a query. The statement stays prepared on this connection.
    ///
    /// # Errors
    /// The server refused, or is gone.
    pub async fn query(&self, sql: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, PgError> {
        self.pipelined(async {
            let statement = self.prepared(sql).await?;
            self.forget_stale(sql, self.client.query(&statement, params).await)
        })
        .await
    }

    /// The row of a query that gives at most one.
    ///
    /// # Errors
    /// There are more, or the server refused or is gone.
    pub async fn query_opt(&self, sql: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, PgError> {
        let mut rows = self.query(sql, params).await?;
        if rows.len() > 1 {
            return Err(PgError::row_count());
        }
        Ok(rows.pop())
    }

    /// The row of a query that gives exactly one.
    ///
    /// # Errors
    /// There is none or more, or the server refused or is gone.
    pub async fn query_one(&self, sql: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<Row, PgError> {
        self.query_opt(sql, params).await?.ok_or_else(PgError::row_count)
    }

    /// Runs a statement and says how many rows it touched. The statement stays prepared on this connection.
    ///
    /// # Errors
    /// The server refused, or is gone.
    pub async fn execute(&self, sql: &'static str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, PgError> {
        self.pipelined(async {
            let statement = self.prepared(sql).await?;
            self.forget_stale(sql, self.client.execute(&statement, params).await)
        })
        .await
    }

    /// All rows of one composed statement; nothing stays prepared.
    ///
    /// # Errors
    /// The server refused, or is gone.
    pub async fn query_sql(&self, sql: &Sql, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, PgError> {
        self.mark_unclean();
        self.pipelined(self.client.query(sql.as_str(), params)).await
    }

    /// Runs one composed statement; nothing stays prepared.
    ///
    /// # Errors
    /// The server refused, or is gone.
    pub async fn execute_sql(&self, sql: &Sql, params: &[&(dyn ToSql + Sync)]) -> Result<u64, PgError> {
        self.mark_unclean();
        self.pipelined(self.client.execute(sql.as_str(), params)).await
    }

    /// Runs any number of statements, without parameters and rows.
    ///
    /// # Errors
    /// The server refused one (and, outside of a transaction, undid those before it), or is gone.
    pub async fn batch(&self, sql: &Sql) -> Result<(), PgError> {
        self.mark_unclean();
        self.pipelined(self.client.batch_execute(sql.as_str())).await
    }

    /// [`Self::batch`] for a text of ours.
    ///
    /// # Errors
    /// As for [`Self::batch`].
    pub async fn batch_static(&self, sql: &'static str) -> Result<(), PgError> {
        self.mark_unclean();
        self.pipelined(self.client.batch_execute(sql)).await
    }

    /// Runs any number of statements and gives all rows as text.
    ///
    /// # Errors
    /// As for [`Self::batch`].
    pub async fn simple(&self, sql: &Sql) -> Result<Vec<SimpleQueryMessage>, PgError> {
        self.mark_unclean();
        self.pipelined(self.client.simple_query(sql.as_str())).await
    }

    /// Starts a `COPY … FROM STDIN`; end it with the sink's `finish`, or nothing is stored.
    ///
    /// # Errors
    /// The server refused, or is gone.
    pub async fn copy_in(&self, sql: &Sql) -> Result<CopyInSink<Bytes>, PgError> {
        self.mark_unclean();
        self.pipelined(self.client.copy_in(sql.as_str())).await
    }

    /// Starts a `COPY … TO STDOUT`.
    ///
    /// # Errors
    /// The server refused, or is gone.
    pub async fn copy_out(&self, sql: &Sql) -> Result<CopyOutStream, PgError> {
        self.mark_unclean();
        self.pipelined(self.client.copy_out(sql.as_str())).await
    }

    /// The driver's client, for requests that go out together. Run them under [`Self::pipelined`], or a cancelled
    /// one is not noticed; leave no session state behind, or call [`Self::mark_unclean`].
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Runs a request, or several at once, so that one that is never answered keeps the connection from being reused.
    ///
    /// # Errors
    /// The request's.
    pub async fn pipelined<T>(
        &self,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, PgError> {
        self.unanswered.fetch_add(1, Ordering::AcqRel);
        let answer = work.await;
        self.unanswered.fetch_sub(1, Ordering::AcqRel);
        answer.map_err(|error| {
            let error = PgError::from(error);
            lock(&self.failed).get_or_insert(error.kind());
            error
        })
    }

    /// What the server said beside its answers since the last call.
    #[must_use]
    pub fn take_notices(&self) -> Vec<Notice> {
        lock(&self.notices).drain(..).collect()
    }

    /// Says that settings, prepared names or the like may be left behind: the pool runs `DISCARD ALL` before the
    /// connection serves anybody else.
    pub fn mark_unclean(&self) {
        self.unclean.store(true, Ordering::Release);
    }

    /// Whether [`Self::mark_unclean`] was called, or anything ran that may have left state behind.
    #[must_use]
    pub fn is_unclean(&self) -> bool {
        self.unclean.load(Ordering::Acquire)
    }

    /// Ends whatever earlier users of the connection left behind, what we attached and our prepared statements included.
    ///
    /// # Errors
    /// A transaction is open, or the server is gone: the connection must not be used further.
    pub async fn discard(&self) -> Result<(), PgError> {
        self.forget();
        self.pipelined(self.client.batch_execute("DISCARD ALL")).await?;
        self.unclean.store(false, Ordering::Release);
        Ok(())
    }

    /// The client's half of [`Self::discard`], for those who send `DISCARD ALL` together with more.
    pub fn forget(&self) {
        lock(&self.statements).clear();
        lock(&self.attached).take();
    }

    /// Says that a `DISCARD ALL` sent through [`Self::client`] succeeded.
    pub fn mark_clean(&self) {
        self.unclean.store(false, Ordering::Release);
    }

    /// Keeps a value beside the connection for whoever borrows it next.
    pub fn attach<T: Any + Send>(&self, value: T) {
        *lock(&self.attached) = Some(Box::new(value));
    }

    /// Looks at the kept value, if there is one of this type.
    pub fn attached<T: Any, R>(&self, look: impl FnOnce(&mut T) -> R) -> Option<R> {
        lock(&self.attached).as_mut().and_then(|value| value.downcast_mut::<T>()).map(look)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(crate) fn has_unanswered(&self) -> bool {
        self.unanswered.load(Ordering::Acquire) > 0
    }

    /// The first failure since [`Self::begin_anew`]; inside a transaction it means that COMMIT would roll back.
    pub(crate) fn failure(&self) -> Option<PgKind> {
        *lock(&self.failed)
    }

    pub(crate) fn begin_anew(&self) {
        lock(&self.failed).take();
        lock(&self.notices).clear();
    }

    pub(crate) fn abort(&self) {
        self.task.abort();
    }

    async fn prepared(&self, sql: &'static str) -> Result<Statement, tokio_postgres::Error> {
        let known = lock(&self.statements).get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        lock(&self.statements).insert(sql, statement.clone());
        Ok(statement)
    }

    /// A migration can change what a prepared statement would return (0A000), and somebody else's SQL on this
    /// connection can have removed it (26000): the next use prepares it anew.
    fn forget_stale<T>(
        &self,
        sql: &'static str,
        answer: Result<T, tokio_postgres::Error>,
    ) -> Result<T, tokio_postgres::Error> {
        if let Err(error) = &answer
            && error.code().is_some_and(|code| matches!(code.code(), "0A000" | "26000"))
        {
            lock(&self.statements).remove(sql);
        }
        answer
    }
}

pub(crate) fn keep_notice(notices: &Notices, notice: &tokio_postgres::error::DbError) {
    let mut kept = lock(notices);
    if kept.len() == NOTICES_KEPT {
        kept.pop_front();
    }
    kept.push_back(Notice {
        severity: notice.severity().to_owned(),
        message: notice.message().to_owned(),
        detail: notice.detail().map(ToOwned::to_owned),
    });
}

/// Our critical sections neither panic nor leave a value half-changed, so a poisoned lock is as good as another.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
