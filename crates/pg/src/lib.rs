//! The PostgreSQL driver of both databases: our own one and the tenants'.
//!
//! Three promises carry the crates above. A connection whose future was cancelled, or that may hold an open
//! transaction, is closed and never handed on ([`Conn`]). SQL text is either written in our sources or built
//! through [`Sql`], in which names are quoted by [`Ident`] and nothing else. An error never shows a value that
//! somebody stored ([`PgError`]).
//!
//! This crate knows no table: the only name it creates is the migration ledger, in the schema it is told.

mod conn;
mod error;
mod ident;
mod listener;
pub mod migrate;
mod pool;
mod retry;
pub mod scram;
mod session;
mod sql;
mod target;
mod tls;
mod tx;
mod version;

pub use conn::Conn;
pub use error::{PgError, PgKind};
pub use ident::{Ident, IdentError};
pub use listener::{Listener, Notification};
pub use pool::{Pool, PoolOptions, PoolStatus};
pub use retry::{Contended, retry_serialization};
pub use session::{Notice, Session};
pub use sql::Sql;
pub use target::{Encryption, Target, TargetError};
pub use tx::{CommitError, Tx, TxMode};
pub use version::{ServerVersion, server_version};

pub use tokio_postgres::error::{DbError, ErrorPosition};
pub use tokio_postgres::types::{self, FromSql, Json, ToSql, Type};
pub use tokio_postgres::{CopyInSink, CopyOutStream, Row, SimpleQueryMessage};
