//! The database level: a database and two roles, with an entry in the home's registry that holds the claims.
//!
//! A database is made under a name of its own, becomes the tenant's by being renamed in a transaction that holds the
//! claim, and ends by being renamed to trash in another one. What is inside is then written under the same claim, which
//! the tenant's own registry row remembers as well.

use tenantry_domain::isolation::Isolation;
use tenantry_pg::{Ident, PgKind, Session, Sql};

use super::schema::has_roles;
use super::{Created, Registry, Site, forget, not_lost};
use crate::catalog::get;
use crate::cell::Cell;
use crate::error::DataError;
use crate::names::{Aside, Mark, Names, Place};
use crate::premade::{self, Freshness, Making};
use crate::protect::protect;
use crate::reap::{self, Shield};
use crate::roles::{self, Removal};
use crate::space::AppTarget;
use crate::{claim, ledger, nonce};

/// How often a rename is tried again while sessions of the database are still ending.
const RENAME_TRIES: u32 = 3;

pub(super) async fn create(site: &Site<'_>) -> Result<Created, DataError> {
    let home = site.cell.home_pool(&site.names);
    let tx = home.begin().await?;
    claim::enroll(site.cell, &tx, site.space, site.claim, &site.place.path()).await?;
    let database = &site.place.database;
    let mut created = Created { fresh: false, premade: false };
    if roles::find_database(&tx, database, &site.marks()).await?.is_none() {
        not_lost(site, &tx, format!("database {}", database.as_str())).await?;
        let shelved = if has_roles(site, &tx).await? {
            None
        } else {
            ledger::unshelve(&tx, Isolation::Database, &site.space.app).await?
        };
        created = Created { fresh: true, premade: shelved.is_some() };
        if let Some(name) = shelved {
            adopt(site, &tx, &site.names.database(name)?, true).await?;
            tx.commit().await?;
        } else {
            tx.commit().await?;
            let making = site.cell.making.lock().await;
            let template = premade::template(site.cell, &site.names, &site.space.app, Freshness::Any, &making).await?;
            let shield = reap::shield(site.cell, &site.names).await?;
            let name = copy(&site.names, &template, &shield, &making).await?;
            let tx = home.begin().await?;
            claim::hold_existing(site.cell, &tx, site.space.tenant, site.claim).await?;
            // Another runner of the same claim may have been faster; ours is then a leftover for the janitor.
            if roles::find_database(&tx, database, &site.marks()).await?.is_none() {
                adopt(site, &tx, &site.names.database(name)?, false).await?;
            }
            tx.commit().await?;
            shield.lower().await?;
        }
    } else {
        tx.commit().await?;
    }
    move_in(site).await?;
    Ok(created)
}

/// Gives a database that stood aside the tenant's name and roles.
async fn adopt(site: &Site<'_>, tx: &Session, from: &Place, with_roles: bool) -> Result<(), DataError> {
    let (place, mark) = (&site.place, site.mark());
    if with_roles {
        tx.batch(&roles::rename_pair(from, place, &mark)).await?;
    }
    site.settle_roles(tx).await?;
    let sql = Sql::new("ALTER DATABASE ")
        .ident(&from.database)
        .push(" RENAME TO ")
        .ident(&place.database)
        .push("; ")
        .sql(&comment(&place.database, &mark))
        .sql(&connect(place));
    tx.batch(&sql).await?;
    Ok(())
}

/// The tenant's own roles may connect, nobody else.
pub(crate) fn connect(place: &Place) -> Sql {
    let mut sql = Sql::new("ALTER DATABASE ").ident(&place.database).push(" ALLOW_CONNECTIONS true; ");
    for role in place.login.iter().chain([&place.owner]) {
        sql = sql.push("GRANT CONNECT ON DATABASE ").ident(&place.database).push(" TO ").ident(role).push("; ");
    }
    sql
}

pub(crate) fn comment(database: &Ident, mark: &str) -> Sql {
    Sql::new("COMMENT ON DATABASE ").ident(database).push(" IS ").literal(mark).push("; ")
}

/// What is inside a tenant's database, apart from the app's own objects: the registry row, the key, the owner.
async fn move_in(site: &Site<'_>) -> Result<(), DataError> {
    let tx = site.cell.tenant_pool(&site.place.database).begin().await?;
    claim::enroll(site.cell, &tx, site.space, site.claim, &site.place.path()).await?;
    settle(site.cell, &tx, &site.names, &site.place, &site.space.app).await?;
    Ok(tx.commit().await?)
}

/// Makes what was copied from the template the place's own: its key, its owner, its login's rights.
pub(crate) async fn settle(
    cell: &Cell,
    tx: &Session,
    names: &Names,
    place: &Place,
    app: &AppTarget,
) -> Result<(), DataError> {
    let key = cell.seal_key(&place.database);
    let sql = "INSERT INTO seal.key AS known (kid, k) VALUES ($1, $2)
               ON CONFLICT (kid) DO UPDATE SET k = EXCLUDED.k WHERE known.k <> EXCLUDED.k";
    tx.execute(sql, &[&key.kid(), &key.bytes().as_slice()]).await?;
    let sql = "SELECT pg_get_userbyid(nspowner)::text FROM pg_namespace WHERE nspname = $1";
    let owner: String = get(&tx.query_one(sql, &[&place.schema.as_str()]).await?, 0)?;
    if owner == place.owner.as_str() {
        return Ok(());
    }
    let sql = Sql::new("REASSIGN OWNED BY ").ident(&names.owner).push(" TO ").ident(&place.owner);
    tx.batch(&sql).await?;
    let protected = protect(tx, place, &app.spec).await?;
    let version = ledger::version(tx, place).await?;
    ledger::left_as(tx, place, version, &protected.catalog).await
}

/// Makes a database from the template, under a name of its own that the ledger does not know. Nobody can connect.
pub(crate) async fn copy(
    names: &Names,
    template: &Ident,
    shield: &Shield,
    _making: &Making<'_>,
) -> Result<Ident, DataError> {
    let name = names.aside(Aside::Premade, nonce()?)?;
    let create = Sql::new("CREATE DATABASE ").ident(&name).push(" TEMPLATE ").ident(template);
    shield.batch(&create.push(" STRATEGY wal_log ALLOW_CONNECTIONS false")).await?;
    let mark = names.mark(&Mark::Aside(Aside::Premade));
    shield.batch(&comment(&name, &mark).push("REVOKE ALL ON DATABASE ").ident(&name).push(" FROM PUBLIC")).await?;
    Ok(name)
}

pub(super) async fn remove(site: &Site<'_>, removal: &Removal, registry: Registry) -> Result<(), DataError> {
    let trash = to_trash(site, removal).await?;
    if let Some(trash) = trash {
        drop_trash(site.cell, &site.names, &trash).await?;
    }
    let tx = site.cell.home_pool(&site.names).begin().await?;
    claim::hold(site.cell, &tx, site.space.tenant, site.claim).await?;
    forget(site, &tx, removal, registry).await?;
    Ok(tx.commit().await?)
}

/// Takes the database away from the tenant. Gives its new name; that of an earlier try if this one finds nothing.
async fn to_trash(site: &Site<'_>, removal: &Removal) -> Result<Option<Ident>, DataError> {
    let home = site.cell.home_pool(&site.names);
    let database = &site.place.database;
    site.cell.forget_pool(database);
    for attempt in 1.. {
        let tx = home.begin().await?;
        claim::hold(site.cell, &tx, site.space.tenant, site.claim).await?;
        match roles::find_database(&tx, database, &removal.ours).await? {
            None => {
                let found = trash_of(&tx, &site.names.mark(&Mark::Trash(site.space.tenant))).await?;
                tx.commit().await?;
                return Ok(found);
            }
            mark if removal.takes(&mark) => {}
            // Another workflow made it.
            Some(_) => return Ok(tx.commit().await.map(|()| None)?),
        }
        // Nobody may come while those who are there are sent away.
        tx.batch(&Sql::new("ALTER DATABASE ").ident(database).push(" ALLOW_CONNECTIONS false")).await?;
        tx.commit().await?;
        let tx = home.begin().await?;
        claim::hold(site.cell, &tx, site.space.tenant, site.claim).await?;
        if roles::find_database(&tx, database, &removal.ours).await?.is_none() {
            // Another runner of the same claim was faster.
            tx.rollback().await?;
            continue;
        }
        let sql = "SELECT count(pg_terminate_backend(pid, 2000)) FROM pg_stat_activity WHERE datname = $1";
        tx.execute(sql, &[&database.as_str()]).await?;
        let trash = site.names.aside(Aside::Trash, nonce()?)?;
        let mark = site.names.mark(&Mark::Trash(site.space.tenant));
        let sql = Sql::new("ALTER DATABASE ").ident(database).push(" RENAME TO ").ident(&trash).push("; ");
        match tx.batch(&sql.sql(&comment(&trash, &mark))).await {
            Ok(()) => {
                tx.commit().await?;
                return Ok(Some(trash));
            }
            // 55006: somebody is still connected.
            Err(error) if error.sqlstate() == Some("55006") && attempt < RENAME_TRIES => tx.rollback().await?,
            Err(error) if error.sqlstate() == Some("55006") => {
                return Err(DataError::Busy { what: "the tenant's database" });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

async fn trash_of(session: &Session, mark: &str) -> Result<Option<Ident>, DataError> {
    let sql = "SELECT datname::text FROM pg_database WHERE shobj_description(oid, 'pg_database') = $1 LIMIT 1";
    let row = session.query_opt(sql, &[&mark]).await?;
    row.map(|row| Ok(Ident::new(get::<&str>(&row, 0)?)?)).transpose()
}

/// Drops a database that is nobody's any more. Its name was never used before and never will be again.
pub(crate) async fn drop_trash(cell: &Cell, names: &Names, trash: &Ident) -> Result<(), DataError> {
    let conn = cell.home_pool(names).get().await?;
    // The server waits until every one of its processes has let go of the files, and one that a client keeps waiting in
    // the middle of logging in does so only after a minute.
    conn.batch_static("SET statement_timeout = '3min'").await?;
    let sql = Sql::new("DROP DATABASE IF EXISTS ").ident(trash).push(" WITH (FORCE)");
    match conn.batch(&sql).await {
        Err(error) if error.kind() == PgKind::Undefined => {}
        other => other?,
    }
    conn.release();
    Ok(())
}
