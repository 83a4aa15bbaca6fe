//! A transaction that ends by [`Tx::commit`] or [`Tx::rollback`], or with its connection.
//!
//! A COMMIT after a failed statement is a rollback that the server reports as success; [`Tx::commit`] finds that
//! out and says so. When the answer to COMMIT is lost nobody knows whether it took place: [`CommitError::Unknown`].

use std::ops::Deref;

use tokio_postgres::error::Severity;

use crate::{Conn, PgError, PgKind, Session};

/// What a transaction sees of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TxMode {
    /// Each statement sees what was committed before it.
    ReadCommitted,
    /// One snapshot for all statements, and no writing: reports, exports, verification.
    RepeatableReadReadOnly,
    /// As if alone; may fail with [`PgKind::Serialization`] and is then run again.
    Serializable,
}

impl TxMode {
    /// The statement that begins such a transaction, whatever the session's defaults are.
    #[must_use]
    pub const fn begin(self) -> &'static str {
        match self {
            Self::ReadCommitted => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
            Self::RepeatableReadReadOnly => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Self::Serializable => "BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE",
        }
    }
}

/// Why a commit did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The server rolled the transaction back: nothing was stored.
    #[error("the transaction was rolled back: {0}")]
    Refused(PgError),
    /// COMMIT was sent and its answer was lost: everything was stored, or nothing.
    #[error("it is not known whether the transaction was committed: {0}")]
    Unknown(PgError),
}

impl CommitError {
    /// The error below.
    #[must_use]
    pub fn into_inner(self) -> PgError {
        match self {
            Self::Refused(error) | Self::Unknown(error) => error,
        }
    }
}

/// An open transaction. Dropping it closes the connection, which rolls back.
pub struct Tx {
    conn: Conn,
}

impl Tx {
    pub(crate) async fn begin(conn: Conn, mode: TxMode) -> Result<Self, PgError> {
        conn.begin_anew();
        conn.pipelined(conn.client().batch_execute(mode.begin())).await?;
        Ok(Self { conn })
    }

    /// Takes a connection on which a transaction was already begun, through [`Session::client`] together with more.
    #[must_use]
    pub fn begun(conn: Conn) -> Self {
        Self { conn }
    }

    /// Makes everything of this transaction last, and gives the connection back.
    ///
    /// # Errors
    /// It was rolled back, or nobody knows; see [`CommitError`].
    pub async fn commit(self) -> Result<(), CommitError> {
        self.commit_keeping().await.map(Conn::release)
    }

    /// [`Self::commit`], with the connection still borrowed.
    ///
    /// # Errors
    /// As for [`Self::commit`]; the connection is given back or closed then.
    pub async fn commit_keeping(self) -> Result<Conn, CommitError> {
        let conn = self.conn;
        if conn.failure().is_some() || conn.has_unanswered() {
            // Only after something went wrong: a round trip that fails in an aborted transaction.
            if conn.pipelined(conn.client().batch_execute("SELECT")).await.is_err() {
                let kind = conn.failure().unwrap_or(PgKind::Other);
                if conn.pipelined(conn.client().batch_execute("ROLLBACK")).await.is_ok() {
                    conn.release();
                }
                return Err(CommitError::Refused(PgError::aborted(kind)));
            }
        }
        match conn.pipelined(conn.client().batch_execute("COMMIT")).await {
            Ok(()) => Ok(conn),
            Err(error) => {
                // Only a plain ERROR says that the transaction was rolled back. A FATAL one («terminating
                // connection») may have come after the commit record was written.
                let severity = error.db().and_then(tokio_postgres::error::DbError::parsed_severity);
                if severity == Some(Severity::Error) {
                    conn.release();
                    return Err(CommitError::Refused(error));
                }
                Err(CommitError::Unknown(error))
            }
        }
    }

    /// Undoes everything of this transaction, and gives the connection back.
    ///
    /// # Errors
    /// The server is gone, which undoes as well.
    pub async fn rollback(self) -> Result<(), PgError> {
        self.rollback_keeping().await.map(Conn::release)
    }

    /// [`Self::rollback`], with the connection still borrowed.
    ///
    /// # Errors
    /// As for [`Self::rollback`]; the connection is closed then.
    pub async fn rollback_keeping(self) -> Result<Conn, PgError> {
        let conn = self.conn;
        conn.pipelined(conn.client().batch_execute("ROLLBACK")).await?;
        Ok(conn)
    }
}

impl Deref for Tx {
    type Target = Session;
    fn deref(&self) -> &Session {
        &self.conn
    }
}
