//! Schemas and databases made in advance, and the database that new ones are copied from.
//!
//! Invariant: a thing on the shelf is complete, guarded and used by nobody; the ledger names it only then. What a
//! killed process left half-made is named by no ledger and goes with [`crate::reap`].

use std::time::Duration;

use tenantry_domain::isolation::Isolation;
use tenantry_pg::{Ident, Session, Sql};
use tokio::time::Instant;

use crate::catalog::get;
use crate::cell::Cell;
use crate::error::DataError;
use crate::isolation::{database, schema};
use crate::migrate::{self, Run};
use crate::names::{Aside, Mark, Names, Place};
use crate::prepare::furnish;
use crate::protect::protect;
use crate::seal::{self, Install};
use crate::space::AppTarget;
use crate::{ledger, nonce, reap, roles};

/// How long our own connections to a database may take to end.
const PARTING: Duration = Duration::from_secs(3);

/// How new a template must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// What is there will do: the copies are migrated on.
    Any,
    /// At least the app's present version.
    Newest,
}

impl Cell {
    /// Makes schemas or databases in advance until `want` of the app's present version wait for tenants. Gives how
    /// many were made. Those of older versions are thrown away first.
    ///
    /// # Errors
    /// The server refuses, or the app's files fail.
    pub async fn refill(&self, app: &AppTarget, level: Isolation, want: usize) -> Result<usize, DataError> {
        if level == Isolation::Shared {
            return Ok(0);
        }
        let level = if level == Isolation::Cluster { Isolation::Database } else { level };
        let names = self.ensure_home(app).await?;
        self.prepare(app).await?;
        self.throw_out_old(&names, app, level).await?;
        let mut made = 0;
        loop {
            let conn = self.home_pool(&names).get().await?;
            let sql = "SELECT count(*) FROM ledger.premade WHERE isolation = $1 AND version >= $2";
            let there: i64 = get(&conn.query_one(sql, &[&level.as_str(), &app.version]).await?, 0)?;
            conn.release();
            if usize::try_from(there).unwrap_or(0) >= want {
                return Ok(made);
            }
            if level == Isolation::Schema {
                self.make_schema(&names, app).await?
            } else {
                self.make_database(&names, app).await?
            }
            made += 1;
        }
    }

    async fn throw_out_old(&self, names: &Names, app: &AppTarget, level: Isolation) -> Result<(), DataError> {
        let tx = self.home_pool(names).begin().await?;
        let sql = "DELETE FROM ledger.premade WHERE isolation = $1 AND version < $2";
        let gone = tx.execute(sql, &[&level.as_str(), &app.version]).await?;
        tx.commit().await?;
        if gone > 0 {
            self.reap(app).await?;
        }
        Ok(())
    }

    async fn make_schema(&self, names: &Names, app: &AppTarget) -> Result<(), DataError> {
        let _making = self.making.lock().await;
        let pool = self.home_pool(names);
        let shield = reap::shield(self, names).await?;
        let place = names.schema(names.aside(Aside::Premade, nonce()?)?)?;
        let mark = names.mark(&Mark::Aside(Aside::Premade));
        let sql = roles::make_pair(&place, &names.door, &mark, self.server().await?).sql(&schema::make(&place, &mark));
        shield.batch(&sql).await?;
        self.fill(names, app, &place, &pool).await?;
        ledger::shelve(&shield, &place.schema, Isolation::Schema, app).await?;
        shield.lower().await
    }

    async fn make_database(&self, names: &Names, app: &AppTarget) -> Result<(), DataError> {
        let making = self.making.lock().await;
        let template = template(self, names, app, Freshness::Newest, &making).await?;
        let shield = reap::shield(self, names).await?;
        let name = database::copy(names, &template, &shield, &making).await?;
        let place = names.database(name)?;
        let mark = names.mark(&Mark::Aside(Aside::Premade));
        let sql = roles::make_pair(&place, &names.inner, &mark, self.server().await?).sql(&database::connect(&place));
        shield.batch(&sql).await?;
        let visit = self.visit(&place.database);
        let tx = visit.begin().await?;
        database::settle(self, &tx, names, &place, app).await?;
        tx.commit().await?;
        drop(visit);
        wait_until_empty(&shield, &place.database).await?;
        ledger::shelve(&shield, &place.database, Isolation::Database, app).await?;
        shield.lower().await
    }

    /// Runs the app's files in a place that is nobody's. A command's place stays empty until it has a tenant.
    async fn fill(
        &self,
        names: &Names,
        app: &AppTarget,
        place: &Place,
        pool: &tenantry_pg::Pool,
    ) -> Result<(), DataError> {
        if app.has_files() {
            let run = Run { cell: self, pool, names, place, app, tenant: None, claim: None };
            migrate::bring(&run).await?;
            return Ok(());
        }
        let tx = pool.begin().await?;
        protect(&tx, place, &app.spec).await?;
        Ok(tx.commit().await?)
    }
}

/// The right to create databases on a cell. It is taken before any connection, or those who wait for it would hold the
/// connections that its holder needs.
pub(crate) type Making<'a> = tokio::sync::MutexGuard<'a, ()>;

/// The name of the database that new ones are copied from; makes it if need be.
pub(crate) async fn template(
    cell: &Cell,
    names: &Names,
    app: &AppTarget,
    freshness: Freshness,
    _making: &Making<'_>,
) -> Result<Ident, DataError> {
    if let Some(name) = current(cell, names, app, freshness).await? {
        return Ok(name);
    }
    let shield = reap::shield(cell, names).await?;
    let name = names.aside(Aside::Template, nonce()?)?;
    let create = Sql::new("CREATE DATABASE ").ident(&name);
    shield.batch(&create.push(" TEMPLATE template0 ENCODING 'UTF8' ALLOW_CONNECTIONS false")).await?;
    let open = database::comment(&name, &names.mark(&Mark::Aside(Aside::Template)))
        .push("REVOKE ALL ON DATABASE ")
        .ident(&name)
        .push(" FROM PUBLIC; ALTER DATABASE ")
        .ident(&name)
        .push(" ALLOW_CONNECTIONS true");
    shield.batch(&open).await?;
    if let Err(error) = furnish_template(cell, names, app, &name).await {
        // Nobody uses it yet. If this fails too, the janitor finds it.
        let _ = shield.batch(&Sql::new("DROP DATABASE ").ident(&name).push(" WITH (FORCE)")).await;
        return Err(error);
    }
    shield.batch(&Sql::new("ALTER DATABASE ").ident(&name).push(" ALLOW_CONNECTIONS false")).await?;
    wait_until_empty(&shield, &name).await?;
    let sql = "WITH old AS (DELETE FROM ledger.template) INSERT INTO ledger.template (name, version, files) VALUES ($1, $2, $3)";
    shield.execute(sql, &[&name.as_str(), &app.version, &migrate::stream(app)]).await?;
    shield.lower().await?;
    Ok(name)
}

async fn current(
    cell: &Cell,
    names: &Names,
    app: &AppTarget,
    freshness: Freshness,
) -> Result<Option<Ident>, DataError> {
    let least = match freshness {
        Freshness::Any => i64::MIN,
        Freshness::Newest => app.version,
    };
    let conn = cell.home_pool(names).get().await?;
    let sql = "SELECT t.name FROM ledger.template t JOIN pg_database d ON d.datname = t.name
                WHERE t.version >= $1 AND coalesce(t.files = ($2::text[])[1:cardinality(t.files)], true) ORDER BY t.version DESC LIMIT 1";
    let row = conn.query_opt(sql, &[&least, &migrate::stream(app)]).await?;
    conn.release();
    row.map(|row| Ok(Ident::new(get::<&str>(&row, 0)?)?)).transpose()
}

async fn furnish_template(cell: &Cell, names: &Names, app: &AppTarget, name: &Ident) -> Result<(), DataError> {
    let visit = cell.visit(name);
    let conn = visit.get().await?;
    let key = cell.seal_key(name);
    seal::install(&conn, &Install { key: &key, admit: &names.inner, mode: cell.options.seal }).await?;
    ledger::install(&visit).await?;
    conn.batch(&furnish(names)).await?;
    conn.release();
    cell.fill(names, app, &names.template(name.clone()), &visit).await
}

/// Our own connections end a moment after they were closed. A database with one can be neither renamed nor copied.
async fn wait_until_empty(session: &Session, database: &Ident) -> Result<(), DataError> {
    let until = Instant::now() + PARTING;
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'";
    while get::<i64>(&session.query_one(sql, &[&database.as_str()]).await?, 0)? > 0 {
        if Instant::now() > until {
            return Err(DataError::Busy { what: "a database that was made in advance" });
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}
