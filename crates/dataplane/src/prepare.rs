//! The home of an app on a cell: one database with the registry, the shared tables and the tenants' schemas.
//!
//! Invariant: a home is either complete at some version of the app, or bears the draft mark, and a draft whose app is
//! refused goes away again with its roles. One process at a time works on a home, under a lock of the server.

mod stale;

use std::time::Duration;

use tenantry_domain::isolation::Isolation;
use tenantry_pg::{Conn, Pool, PoolOptions, Session, Sql};
use tokio::time::Instant;

use crate::catalog::get;
use crate::cell::{Cell, Server};
use crate::error::DataError;
use crate::migrate::{self, Run};
use crate::names::{Aside, Mark, Names};
use crate::roles;
use crate::seal::{self, Install, SealMode};
use crate::space::AppTarget;
use crate::{ledger, nonce};

/// What is busy while another process works on an app's home.
pub const HOME_TAKEN: &str = "the app's home";
/// How often a lock that somebody holds is asked for again.
const TURN_PAUSE: Duration = Duration::from_millis(20);

/// What an app finds on a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// How the tenant context is kept there.
    pub seal: SealMode,
    /// The version of the app's shared tables; absent when the app cannot have any.
    pub version: Option<i64>,
    /// The migration files that ran now.
    pub applied: Vec<String>,
}

impl Cell {
    /// Makes everything that tenants of an app need in common on this cell: the home database with its roles and its
    /// seal, and the shared tables at the app's newest version. Any number of callers may do so at once.
    ///
    /// # Errors
    /// The server cannot be used, something foreign has our names, or the app's files fail or cannot be guarded.
    pub async fn prepare(&self, app: &AppTarget) -> Result<Prepared, DataError> {
        let names = self.names(app)?;
        if self.prepared(app).is_some()
            && let Some(prepared) = self.already(&names, app).await?
        {
            return Ok(prepared);
        }
        let server = self.server().await?;
        let turn = self.turn(&names).await?;
        let result = self.prepare_alone(&turn, &names, app, server).await;
        if let Err(error) = &result {
            tracing::warn!(cell = %self.name(), app = %app.app, %error, "the app could not be prepared");
            self.set_prepared(app, None);
            if matches!(error, DataError::Unguarded(_) | DataError::Migration(_) | DataError::Unfit(_)) {
                self.drop_draft(&turn, &names).await?;
            }
        }
        end_turn(turn).await?;
        result
    }

    /// [`Self::prepare`], unless the home is complete, whatever its version: shutting a tenant out or removing it must
    /// not depend on whether the newest version of its app can be migrated to.
    pub(crate) async fn ensure_home(&self, app: &AppTarget) -> Result<Names, DataError> {
        let names = self.names(app)?;
        if self.prepared(app).is_none() && !self.is_complete(&names).await? {
            self.prepare(app).await?;
        }
        Ok(names)
    }

    /// Whether the app's home is there and was complete once.
    pub(crate) async fn has_home(&self, app: &AppTarget) -> Result<bool, DataError> {
        Ok(self.prepared(app).is_some() || self.is_complete(&self.names(app)?).await?)
    }

    async fn is_complete(&self, names: &Names) -> Result<bool, DataError> {
        self.server().await?;
        let conn = self.server_pool().get().await?;
        let found = roles::find_database(&conn, &names.home, &names.mark(&Mark::Home)).await;
        conn.release();
        Ok(matches!(found, Ok(Some(_))))
    }

    /// One query, for the common case that nothing is to be done.
    async fn already(&self, names: &Names, app: &AppTarget) -> Result<Option<Prepared>, DataError> {
        let conn = match self.home_pool(names).get().await {
            Ok(conn) => conn,
            // Dropped behind our back: prepare it anew.
            Err(error) if error.sqlstate() == Some("3D000") => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let version = ledger::version(&conn, &names.shared()).await?;
        let prepared = Prepared { seal: mode_of(&conn).await?, version, applied: Vec::new() };
        conn.release();
        let complete =
            app.spec.fits(Isolation::Shared).is_err() || version.is_some_and(|version| version >= app.version);
        Ok(complete.then_some(prepared))
    }

    async fn prepare_alone(
        &self,
        turn: &Session,
        names: &Names,
        app: &AppTarget,
        server: Server,
    ) -> Result<Prepared, DataError> {
        self.common_roles(turn, names, server).await?;
        self.home_database(turn, names).await?;
        let pool = self.home_pool(names);
        let conn = pool.get().await?;
        let key = self.seal_key(&names.home);
        let install = Install { key: &key, admit: &names.door, mode: self.options.seal };
        let installed = seal::install(&conn, &install).await?;
        if !installed.ajar.is_empty() {
            tracing::info!(cell = %self.name(), ajar = ?installed.ajar, "the server keeps these open to all its logins");
        }
        ledger::install(&pool).await?;
        conn.batch(&furnish(names)).await?;
        conn.release();
        let mut applied = Vec::new();
        let mut version = None;
        if app.spec.fits(Isolation::Shared).is_ok() {
            let place = names.shared();
            let run = Run { cell: self, pool: &pool, names, place: &place, app, tenant: None, claim: None };
            if stale::discard(&run).await? {
                tracing::info!(cell = %self.name(), app = %app.app, "the app's files changed before it had a tenant; its home begins anew");
            }
            let migrated = migrate::bring(&run).await?;
            (applied, version) = (migrated.applied, Some(migrated.version));
        }
        let mark = Sql::new("COMMENT ON DATABASE ").ident(&names.home).push(" IS ").literal(&names.mark(&Mark::Home));
        turn.batch(&mark).await?;
        self.set_prepared(app, Some(app.version));
        Ok(Prepared { seal: installed.mode, version, applied })
    }

    async fn common_roles(&self, turn: &Session, names: &Names, server: Server) -> Result<(), DataError> {
        let mark = names.mark(&Mark::Home);
        let mut sql = Sql::new("");
        for role in [&names.owner, &names.door, &names.inner, &names.login] {
            if roles::find(turn, role, &mark).await?.is_none() {
                sql = sql.sql(&roles::make(role, &mark, server));
            }
        }
        sql = sql
            .sql(&roles::set_password(&names.login, &self.verifier(&names.login)))
            .sql(&roles::let_in(&names.login, None))
            .sql(&roles::join(&names.door, &names.login));
        Ok(turn.batch(&sql).await?)
    }

    /// Makes the home under another name first: under its own name it never exists without a mark, nor open to all.
    async fn home_database(&self, turn: &Session, names: &Names) -> Result<(), DataError> {
        let starts = names.mark(&Mark::Home);
        let draft = names.mark(&Mark::HomeDraft);
        let found = match roles::find_database(turn, &names.home, &starts).await {
            Err(DataError::Foreign { .. }) => roles::find_database(turn, &names.home, &draft).await?,
            other => other?,
        };
        if found.is_some() {
            return Ok(());
        }
        let aside = names.aside(Aside::Premade, nonce()?)?;
        let _one_at_a_time = self.making.lock().await;
        let create = Sql::new("CREATE DATABASE ").ident(&aside);
        turn.batch(&create.push(" TEMPLATE template0 ENCODING 'UTF8' ALLOW_CONNECTIONS false")).await?;
        let sql = Sql::new("ALTER DATABASE ")
            .ident(&aside)
            .push(" RENAME TO ")
            .ident(&names.home)
            .push("; COMMENT ON DATABASE ")
            .ident(&names.home)
            .push(" IS ")
            .literal(&draft)
            .push("; REVOKE ALL ON DATABASE ")
            .ident(&names.home)
            .push(" FROM PUBLIC; GRANT CONNECT ON DATABASE ")
            .ident(&names.home)
            .push(" TO ")
            .ident(&names.door)
            .push("; ALTER DATABASE ")
            .ident(&names.home)
            .push(" ALLOW_CONNECTIONS true");
        Ok(turn.batch(&sql).await?)
    }

    /// Removes a home that was never complete, after its app was refused.
    async fn drop_draft(&self, turn: &Session, names: &Names) -> Result<(), DataError> {
        let draft = names.mark(&Mark::HomeDraft);
        if !matches!(roles::find_database(turn, &names.home, &draft).await, Ok(Some(_))) {
            return Ok(());
        }
        self.forget_pool(&names.home);
        turn.batch(&Sql::new("DROP DATABASE ").ident(&names.home).push(" WITH (FORCE)")).await?;
        let mark = names.mark(&Mark::Home);
        for role in [&names.login, &names.door, &names.inner, &names.owner] {
            if matches!(roles::find(turn, role, &mark).await, Ok(Some(_))) {
                turn.batch(&Sql::new("DROP ROLE ").ident(role)).await?;
            }
        }
        Ok(())
    }

    /// Waits until nobody else works on this home, in any process.
    async fn turn(&self, names: &Names) -> Result<Turn, DataError> {
        // A pool of its own: the lock lives as long as the connection, and goes with it when this process dies. One
        // that hangs is thrown out by the server.
        let options = PoolOptions {
            max: 1,
            application: "tenantry turn",
            statement: self.options.migration,
            settings: &[("idle_session_timeout", "45min")],
            ..PoolOptions::default()
        };
        let pool = Pool::new(self.target().clone(), options);
        let conn = pool.get().await?;
        let until = Instant::now() + self.options.turn;
        let key = self.lock_key("home", names.home.as_str());
        let sql = "SELECT pg_try_advisory_lock($1)";
        while !get::<bool>(&conn.query_one(sql, &[&key]).await?, 0)? {
            if Instant::now() > until {
                return Err(DataError::Busy { what: HOME_TAKEN });
            }
            tokio::time::sleep(TURN_PAUSE).await;
        }
        Ok(Turn { conn, pool })
    }
}

/// The right to work on a home; given up when dropped.
struct Turn {
    conn: Conn,
    pool: Pool,
}

impl std::ops::Deref for Turn {
    type Target = Session;
    fn deref(&self) -> &Session {
        &self.conn
    }
}

async fn end_turn(turn: Turn) -> Result<(), DataError> {
    turn.conn.execute("SELECT pg_advisory_unlock_all()", &[]).await?;
    turn.pool.close();
    turn.conn.release();
    Ok(())
}

/// What a database of an app holds besides seal and ledger: the app's schema, one for extensions, and nothing else that
/// everybody may use.
pub(crate) fn furnish(names: &Names) -> Sql {
    Sql::new("CREATE SCHEMA IF NOT EXISTS ")
        .ident(&names.app)
        .push(" AUTHORIZATION ")
        .ident(&names.owner)
        .push(
            "; CREATE SCHEMA IF NOT EXISTS ext; GRANT USAGE ON SCHEMA ext TO PUBLIC; \
             REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT REFERENCES (tenant_id) ON tenantry.tenant TO ",
        )
        .ident(&names.owner)
}

/// Which mode the seal of this database has.
pub(crate) async fn mode_of(session: &Session) -> Result<SealMode, DataError> {
    let sql = "SELECT to_regprocedure('seal.signature(bytea, uuid)') IS NOT NULL";
    let signed: bool = get(&session.query_one(sql, &[]).await?, 0)?;
    Ok(if signed { SealMode::Signed } else { SealMode::Register })
}
