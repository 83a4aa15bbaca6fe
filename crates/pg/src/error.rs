//! What can go wrong with a statement, sorted by what a caller does about it.
//!
//! The server's texts may quote stored values («Key (email)=(…) already exists»), so neither `Display` nor `Debug`
//! shows them and there is no `source()`; whoever may show them (the author of a migration) asks for them by name.

use std::fmt;

use tokio_postgres::error::DbError;

/// What a caller can do something about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PgKind {
    /// No connection, a lost one, or a server that is starting or going down.
    Unavailable,
    /// Nothing was free, or nobody answered, within the time we wait.
    Timeout,
    /// The transaction lost against another one; run it again (40001, 40P01).
    Serialization,
    /// A unique or exclusion constraint.
    Unique,
    /// A foreign key.
    ForeignKey,
    /// A check constraint.
    Check,
    /// A missing value.
    NotNull,
    /// Not allowed, or not let in.
    Permission,
    /// A table, column, function, role, schema or database that is not there.
    Undefined,
    /// An object of that name is there already.
    Duplicate,
    /// A lock was not to be had in time.
    LockNotAvailable,
    /// The statement was ended: by its time limit or by a cancel request.
    QueryCanceled,
    /// The server's disk is full.
    DiskFull,
    /// The server, database or role has no connection left.
    TooManyConnections,
    /// Raised by our own functions (`TN…`).
    Tenantry,
    /// Anything else, usually a mistake in the statement or its values.
    Other,
}

/// A failed statement or connection. Shows no stored value.
pub struct PgError(Box<Cause>);

enum Cause {
    Driver(tokio_postgres::Error),
    Waited(&'static str),
    Closed,
    RowCount,
    Aborted(PgKind),
    Unusable(String),
}

impl PgError {
    /// Which of the cases a caller distinguishes this is.
    #[must_use]
    pub fn kind(&self) -> PgKind {
        match &*self.0 {
            Cause::Driver(error) => kind_of(error),
            Cause::Waited(_) => PgKind::Timeout,
            Cause::Closed => PgKind::Unavailable,
            Cause::Aborted(kind) => *kind,
            Cause::RowCount | Cause::Unusable(_) => PgKind::Other,
        }
    }

    /// The five characters of the server's answer; absent when it never answered.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        self.db().map(|db| db.code().code())
    }

    /// The constraint that was broken, if one was.
    #[must_use]
    pub fn constraint(&self) -> Option<&str> {
        self.db().and_then(DbError::constraint)
    }

    /// The table the server names, if it does.
    #[must_use]
    pub fn table(&self) -> Option<&str> {
        self.db().and_then(DbError::table)
    }

    /// The server's whole answer. It may quote stored values: only for those who may see them.
    #[must_use]
    pub fn db(&self) -> Option<&DbError> {
        match &*self.0 {
            Cause::Driver(error) => error.as_db_error(),
            _ => None,
        }
    }

    pub(crate) fn waited(what: &'static str) -> Self {
        Self(Box::new(Cause::Waited(what)))
    }

    pub(crate) fn closed() -> Self {
        Self(Box::new(Cause::Closed))
    }

    /// A query that must give a row gave none.
    #[must_use]
    pub fn no_row() -> Self {
        Self::row_count()
    }

    pub(crate) fn row_count() -> Self {
        Self(Box::new(Cause::RowCount))
    }

    /// A transaction in which a statement of this kind had failed before.
    pub(crate) fn aborted(kind: PgKind) -> Self {
        Self(Box::new(Cause::Aborted(kind)))
    }

    pub(crate) fn unusable(why: impl fmt::Display) -> Self {
        Self(Box::new(Cause::Unusable(why.to_string())))
    }
}

fn kind_of(error: &tokio_postgres::Error) -> PgKind {
    let Some(code) = error.code() else {
        // No answer of the server: either the connection broke or we built a message that could not be sent.
        let broken = error.is_closed() || io_below(error);
        return if broken { PgKind::Unavailable } else { PgKind::Other };
    };
    match code.code() {
        "40001" | "40P01" => PgKind::Serialization,
        "23505" | "23P01" => PgKind::Unique,
        "23503" => PgKind::ForeignKey,
        "23514" => PgKind::Check,
        "23502" => PgKind::NotNull,
        "42501" | "28000" | "28P01" => PgKind::Permission,
        "42P01" | "42703" | "42883" | "42704" | "3F000" | "3D000" => PgKind::Undefined,
        "42P04" | "42P06" | "42710" | "42P07" | "42701" | "42723" => PgKind::Duplicate,
        "55P03" => PgKind::LockNotAvailable,
        "57014" => PgKind::QueryCanceled,
        "53100" => PgKind::DiskFull,
        "53300" => PgKind::TooManyConnections,
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => PgKind::Unavailable,
        other if other.starts_with("08") => PgKind::Unavailable,
        other if other.starts_with("TN") => PgKind::Tenantry,
        _ => PgKind::Other,
    }
}

fn io_below(error: &tokio_postgres::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if inner.is::<std::io::Error>() {
            return true;
        }
        cause = inner.source();
    }
    false
}

impl fmt::Display for PgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Cause::Driver(error) => match error.as_db_error() {
                Some(db) => {
                    write!(f, "the database refused ({}", db.code().code())?;
                    if let Some(constraint) = db.constraint() {
                        write!(f, ", constraint `{constraint}`")?;
                    } else if let Some(table) = db.table() {
                        write!(f, ", table `{table}`")?;
                    }
                    f.write_str(")")
                }
                None if kind_of(error) == PgKind::Unavailable => f.write_str("the database cannot be reached"),
                None => f.write_str("the statement does not fit its values"),
            },
            Cause::Waited(what) => write!(f, "waited too long for {what}"),
            Cause::Closed => f.write_str("the connection is closed"),
            Cause::RowCount => f.write_str("the query did not give exactly one row"),
            Cause::Aborted(_) => f.write_str("an earlier statement of the transaction had failed"),
            Cause::Unusable(why) => f.write_str(why),
        }
    }
}

impl fmt::Debug for PgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PgError({:?}: {self})", self.kind())
    }
}

impl std::error::Error for PgError {}

impl From<tokio_postgres::Error> for PgError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self(Box::new(Cause::Driver(error)))
    }
}
