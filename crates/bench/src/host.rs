//! A private PostgreSQL server, set up as one that must not lose data.
//!
//! The test kit's servers trade durability for speed. Here that would be a lie about every commit, so everything that
//! makes a commit last is switched on before anything is measured.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use secrecy::SecretString;
use tenantry_pg::{Ident, Pool, PoolOptions, Sql, Target};
use tenantry_testkit::pg::{PrivateServer, private_server};

/// What differs from the server's defaults. `max_connections` is the test kit's 400.
pub const SETTINGS: &[&str] = &[
    "ALTER SYSTEM SET fsync = on",
    "ALTER SYSTEM SET full_page_writes = on",
    "ALTER SYSTEM SET synchronous_commit = on",
    "ALTER SYSTEM SET shared_buffers = '1GB'",
    "ALTER SYSTEM SET max_wal_size = '4GB'",
];

/// The server; it is removed with this value.
pub struct Host {
    server: PrivateServer,
}

impl Host {
    /// Starts one.
    pub fn start() -> Result<Self> {
        let server = private_server();
        for setting in SETTINGS {
            server.sql("postgres", setting);
        }
        server.stop();
        server.start();
        Ok(Self { server })
    }

    /// The superuser's URL of a database.
    pub fn url(&self, database: &str) -> SecretString {
        self.server.url(database).into()
    }

    /// The superuser's way to a database.
    pub fn target(&self, database: &str) -> Result<Target> {
        Ok(Target::parse(&self.url(database))?)
    }

    /// One of the programs that came with the server.
    pub fn program(&self, name: &str) -> PathBuf {
        self.server.binaries().join(name)
    }

    /// Superuser connections to a database, for setting up and for what we are compared with.
    pub fn pool(&self, database: &str, max: usize) -> Result<Pool> {
        let options = PoolOptions {
            max,
            wait: Duration::from_secs(60),
            statement: Duration::ZERO,
            application: "tenantry bench",
            ..PoolOptions::default()
        };
        Ok(Pool::new(self.target(database)?, options))
    }

    /// Makes an empty database.
    pub async fn database(&self, name: &str) -> Result<()> {
        let conn = self.pool("postgres", 1)?.get().await?;
        let sql = Sql::new("CREATE DATABASE ").ident(&Ident::new(name)?);
        conn.batch(&sql.push(" TEMPLATE template0")).await?;
        conn.release();
        Ok(())
    }
}
