//! The migrations of our own schemas.
//!
//! All pending files run in one transaction under an advisory lock, and a ledger table in the schema remembers each
//! with the checksum of its text: a file that was changed after it ran is refused instead of being believed. An
//! older binary finds a ledger that is ahead of it and carries on, so that replicas can be replaced one by one.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};

use crate::{CommitError, Ident, PgError, PgKind, Pool, Session, Sql};

/// One file.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Its place in the order.
    pub version: i64,
    /// Its name, for people.
    pub name: &'static str,
    /// Its text. It must not end the transaction it runs in.
    pub sql: &'static str,
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The versions that ran now.
    pub applied: Vec<i64>,
    /// The newest version in the ledger; higher than ours when a newer binary was here.
    pub version: i64,
}

/// Why the migrations did not run. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The given files are not in strictly rising order.
    #[error("migration {version} is not above the one before it")]
    Order {
        /// The first one out of order.
        version: i64,
    },
    /// A file that ran has another text now.
    #[error("migration {version} `{name}` was changed after it ran; put its text back and add a new migration")]
    Changed {
        /// Which one.
        version: i64,
        /// Its name now.
        name: &'static str,
    },
    /// A file below the newest one never ran here.
    #[error("migration {version} `{name}` is older than version {newest}, which ran already")]
    Late {
        /// Which one.
        version: i64,
        /// Its name.
        name: &'static str,
        /// The newest one in the ledger.
        newest: i64,
    },
    /// A file failed.
    #[error("migration {version} `{name}` failed: {error}")]
    Failed {
        /// Which one.
        version: i64,
        /// Its name.
        name: &'static str,
        /// The server's answer.
        error: PgError,
    },
    /// Others hold locks that a file needs. Worth another try.
    #[error("migrations wait for locks of others; sessions that may hold them: {holders:?}")]
    Blocked {
        /// The server's processes with locks on tables of the schema, the oldest transaction first.
        holders: Vec<i32>,
        /// The server's answer.
        error: PgError,
    },
    /// The ledger could not be used.
    #[error("the migration ledger: {0}")]
    Ledger(#[from] PgError),
    /// The transaction could not be committed.
    #[error("the migrations: {0}")]
    Commit(#[from] CommitError),
}

/// How long a migration waits for a lock of a table. Whoever comes to the table later waits behind it.
const LOCK_WAIT: &str = "SET LOCAL lock_timeout = '3s'";

impl MigrateError {
    /// The server's code, where the server said no.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Failed { error, .. } | Self::Blocked { error, .. } | Self::Ledger(error) => error.sqlstate(),
            _ => None,
        }
    }
}

/// Brings a schema up to date, creating it if it is not there. Any number of processes may do so at once. A lock that somebody
/// holds is waited for three seconds: whoever comes to the table later waits behind it.
///
/// # Errors
/// See [`MigrateError`].
pub async fn run(pool: &Pool, schema: &Ident, files: &[Migration]) -> Result<Applied, MigrateError> {
    match attempt(pool, schema, files).await {
        Err(MigrateError::Failed { error, .. } | MigrateError::Ledger(error))
            if error.kind() == PgKind::LockNotAvailable =>
        {
            Err(MigrateError::Blocked { holders: holders(pool, schema).await.unwrap_or_default(), error })
        }
        ran => ran,
    }
}

async fn attempt(pool: &Pool, schema: &Ident, files: &[Migration]) -> Result<Applied, MigrateError> {
    let tx = pool.begin().await?;
    // The pool's limits are for requests; a migration, and whoever waits for another one's, takes as long as it takes.
    tx.batch_static("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0").await?;
    turn(&tx, schema).await?;
    tx.batch_static(LOCK_WAIT).await?;
    let applied = apply(&tx, schema, files).await?;
    tx.commit().await?;
    Ok(applied)
}

/// The server's processes with locks on tables of the schema, the oldest transaction first.
async fn holders(pool: &Pool, schema: &Ident) -> Result<Vec<i32>, PgError> {
    let conn = pool.get().await?;
    let rows = conn
        .query(
            "SELECT a.pid FROM pg_stat_activity AS a WHERE a.pid <> pg_backend_pid() AND EXISTS (
                SELECT FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
                WHERE l.pid = a.pid AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                    AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
            ) ORDER BY a.xact_start LIMIT 5",
            &[&schema.as_str()],
        )
        .await;
    conn.release();
    rows?.iter().map(|row| row.try_get(0).map_err(PgError::from)).collect()
}

/// One run at a time.
async fn turn(tx: &Session, schema: &Ident) -> Result<(), PgError> {
    tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('migrate ' || $1, 0))", &[&schema.as_str()]).await?;
    Ok(())
}

/// [`run`] as part of the caller's transaction, which holds the schema's migration lock until its end.
///
/// # Errors
/// See [`MigrateError`]; the transaction must be rolled back then.
pub async fn apply(tx: &Session, schema: &Ident, files: &[Migration]) -> Result<Applied, MigrateError> {
    if let Some(pair) = files.windows(2).find(|pair| pair[0].version >= pair[1].version) {
        return Err(MigrateError::Order { version: pair[1].version });
    }
    turn(tx, schema).await?;
    tx.batch(&ledger(schema)).await?;
    let ran = read(tx, schema).await?;
    let newest = ran.keys().next_back().copied();
    let mut applied = Vec::new();
    for file in files {
        let checksum = digest(&SHA256, file.sql.as_bytes());
        match (ran.get(&file.version), newest) {
            (Some(known), _) if known == checksum.as_ref() => {}
            (Some(_), _) => return Err(MigrateError::Changed { version: file.version, name: file.name }),
            (None, Some(newest)) if newest > file.version => {
                return Err(MigrateError::Late { version: file.version, name: file.name, newest });
            }
            (None, _) => {
                let failed = |error| MigrateError::Failed { version: file.version, name: file.name, error };
                tx.batch_static(file.sql).await.map_err(failed)?;
                let insert = Sql::new("INSERT INTO ")
                    .ident(schema)
                    .push(".migration (version, name, checksum) VALUES ($1, $2, $3)");
                tx.execute_sql(&insert, &[&file.version, &file.name, &checksum.as_ref()]).await?;
                applied.push(file.version);
            }
        }
    }
    let version = applied.last().copied().max(newest).unwrap_or(0);
    Ok(Applied { applied, version })
}

fn ledger(schema: &Ident) -> Sql {
    // `IF NOT EXISTS` alone would ask for the right to create although there is nothing to create.
    Sql::new("CREATE SCHEMA IF NOT EXISTS ").ident(schema).push("; CREATE TABLE IF NOT EXISTS ").ident(schema).push(
        ".migration (version bigint PRIMARY KEY, name text NOT NULL, checksum bytea NOT NULL, \
             applied_at timestamptz NOT NULL DEFAULT now())",
    )
}

async fn read(tx: &Session, schema: &Ident) -> Result<BTreeMap<i64, Vec<u8>>, PgError> {
    let select = Sql::new("SELECT version, checksum FROM ").ident(schema).push(".migration");
    tx.query_sql(&select, &[]).await?.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
