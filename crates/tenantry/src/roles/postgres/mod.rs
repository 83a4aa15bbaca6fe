//! A private PostgreSQL server for `dev` and `demo`: found, initialised, started and stopped with its owner.
//!
//! INVARIANT: the server never outlives its owner silently. It runs below a small `sh` that holds the read end of a
//! pipe whose other end is ours: when this process goes, in whatever way, the pipe closes and the server is stopped
//! in an orderly way. What a crash of the `sh` left running is taken over at the next start.
//! Must not be used for anything that has to survive the machine: production brings its own server.

mod account;
mod binaries;
mod leftover;
mod server;

use std::path::PathBuf;

use tenantry_domain::code::Kind;

pub use server::{Server, Settings};

use crate::exit::Failure;

/// Why there is no private server.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// No folder with `initdb` and `postgres`.
    #[error("no PostgreSQL server of version {} or newer is installed{}", binaries::OLDEST, seen(.found))]
    NotInstalled {
        /// What was found and is too old.
        found: Vec<String>,
    },
    /// The folder that was named has none.
    #[error("`{}` does not hold `initdb` and `postgres` of version {} or newer", .0.display(), binaries::OLDEST)]
    NotThere(PathBuf),
    /// The data were written by another major version.
    #[error("the data in `{}` belong to PostgreSQL {major}, which is not installed", .folder.display())]
    OtherMajor {
        /// The data folder.
        folder: PathBuf,
        /// Its version.
        major: u32,
    },
    /// Root has nobody to run the server as.
    #[error("PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody`")]
    NoAccount,
    /// The password is gone, the data are not.
    #[error("`{}` holds a database whose password file is gone", .0.display())]
    PasswordLost(PathBuf),
    /// `initdb` ended without success.
    #[error("`initdb` failed: {0}")]
    Initdb(String),
    /// The server ended while it was starting.
    #[error("the server does not start: {0}")]
    Start(String),
    /// It runs, but does not get ready.
    #[error("the server is not ready after {seconds} s: {log}")]
    Slow {
        /// How long was waited.
        seconds: u64,
        /// The end of its log.
        log: String,
    },
    /// A server of an earlier run does not go away.
    #[error("a PostgreSQL server (process {pid}) of an earlier run does not stop")]
    Remains {
        /// Its process.
        pid: i32,
    },
    /// A file or process operation failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's answer.
        source: std::io::Error,
    },
}

fn seen(found: &[String]) -> String {
    if found.is_empty() { String::new() } else { format!(" (found {})", found.join(", ")) }
}

impl PostgresError {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::NotInstalled { .. } | Self::OtherMajor { .. } => {
                "Install it (Debian: `apt-get install postgresql`), name its folder with TENANTRY_PG_BIN, \
                 or use a running server with TENANTRY_DATABASE_URL."
            }
            Self::NotThere(_) => "Correct TENANTRY_PG_BIN (--pg-bin), or leave it away to search the usual places.",
            Self::NoAccount => "Run as another user, or use a running server with TENANTRY_DATABASE_URL.",
            Self::PasswordLost(_) => "Bring the file back, or remove the data folder to begin anew.",
            Self::Remains { .. } => "Look at the process and end it by hand.",
            Self::Initdb(_) | Self::Start(_) | Self::Slow { .. } | Self::Io { .. } => {
                "Free disk space, rights of the data folder and the port are the usual causes."
            }
        }
    }
}

impl From<PostgresError> for Failure {
    fn from(error: PostgresError) -> Self {
        Self::local(Kind::Unavailable, "The private PostgreSQL server cannot be used", &error).hint(error.hint())
    }
}
