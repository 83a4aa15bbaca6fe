//! Which PostgreSQL answers.

use std::fmt;

use crate::{PgError, Session};

/// A server's version as it counts it: 150018 is 15.18.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerVersion(i32);

impl ServerVersion {
    /// Takes `server_version_num`.
    #[must_use]
    pub const fn from_num(num: i32) -> Self {
        Self(num)
    }

    /// The part before the point.
    #[must_use]
    pub const fn major(self) -> i32 {
        self.0 / 10_000
    }

    /// The part after the point.
    #[must_use]
    pub const fn minor(self) -> i32 {
        self.0 % 10_000
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major(), self.minor())
    }
}

/// Asks a server for its version.
///
/// # Errors
/// The server did not answer.
pub async fn server_version(session: &Session) -> Result<ServerVersion, PgError> {
    let row =
        session.query_one("SELECT pg_catalog.current_setting('server_version_num')::pg_catalog.int4", &[]).await?;
    Ok(ServerVersion(row.try_get(0)?))
}
