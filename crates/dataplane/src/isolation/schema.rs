//! The schema level: a schema and two roles in the home database.
//!
//! Everything happens inside one transaction, except that a schema with very many tables is emptied in parts first.

use tenantry_domain::isolation::Isolation;
use tenantry_pg::{Ident, Session, Sql};

use super::{Created, Registry, Site, forget, not_lost};
use crate::catalog::get;
use crate::error::DataError;
use crate::names::Place;
use crate::roles::{self, Removal};
use crate::{claim, ledger};

/// Dropping takes a lock per table and index, and the server's lock table is bounded.
const TABLES_AT_ONCE: i64 = 200;

pub(super) async fn create(site: &Site<'_>) -> Result<Created, DataError> {
    let tx = site.cell.home_pool(&site.names).begin().await?;
    claim::enroll(site.cell, &tx, site.space, site.claim, &site.place.path()).await?;
    let mut created = Created { fresh: false, premade: false };
    if roles::find_schema(&tx, &site.place.schema, &site.marks()).await?.is_none() {
        not_lost(site, &tx, format!("schema {}", site.place.schema.as_str())).await?;
        for role in site.place.login.iter().chain([&site.place.owner]) {
            roles::find(&tx, role, &site.marks()).await?;
        }
        created = Created { fresh: true, premade: take(site, &tx).await? };
        if !created.premade {
            site.settle_roles(&tx).await?;
            tx.batch(&make(&site.place, &site.mark())).await?;
        }
    } else {
        site.settle_roles(&tx).await?;
    }
    tx.commit().await?;
    Ok(created)
}

/// Takes a schema off the shelf, with its roles, and gives it the tenant's names.
async fn take(site: &Site<'_>, tx: &Session) -> Result<bool, DataError> {
    if has_roles(site, tx).await? {
        // The tenant's roles serve another place of its own already.
        return Ok(false);
    }
    let Some(name) = ledger::unshelve(tx, Isolation::Schema, &site.space.app).await? else { return Ok(false) };
    let from = site.names.schema(name)?;
    let mark = site.mark();
    let mut sql = Sql::new("ALTER SCHEMA ")
        .ident(&from.schema)
        .push(" RENAME TO ")
        .ident(&site.place.schema)
        .push("; ")
        .sql(&comment(&site.place.schema, &mark))
        .sql(&roles::rename_pair(&from, &site.place, &mark));
    if let Some(login) = &site.place.login {
        sql = sql.sql(&roles::set_password(login, &site.cell.verifier(login)));
    }
    tx.batch(&sql).await?;
    tx.execute(NAMES, &[&from.schema.as_str(), &site.place.schema.as_str()]).await?;
    tx.batch_static(REPATH).await?;
    ledger::renamed(tx, &from.schema, &site.place.schema).await?;
    Ok(true)
}

const NAMES: &str = "SELECT set_config('tenantry.renamed_from', $1, true), set_config('tenantry.renamed_to', $2, true)";

/// `SET search_path FROM CURRENT` keeps the name that the schema had: the function would look for its tables in a schema that is
/// gone. It is done once more, from the same path with the other name, so that the path is written as in every other schema. What
/// is called while an app's path is in force is named with its schema.
const REPATH: &str = "DO $$
DECLARE
    was CONSTANT pg_catalog.text := pg_catalog.current_setting('tenantry.renamed_from');
    now CONSTANT pg_catalog.text := pg_catalog.current_setting('tenantry.renamed_to');
    before CONSTANT pg_catalog.text := pg_catalog.current_setting('search_path');
    names pg_catalog.text[];
    paths pg_catalog.text[];
BEGIN
    PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
    SELECT coalesce(array_agg(p.oid::regprocedure::text), '{}'), array_agg(replace(substr(s.setting, 13), was, now)) INTO names, paths
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace, unnest(p.proconfig) AS s (setting)
    WHERE n.nspname = now::name AND s.setting ^@ 'search_path=' AND strpos(s.setting, was) > 0;
    FOR place IN 1 .. cardinality(names) LOOP
        PERFORM pg_catalog.set_config('search_path', paths[place], true);
        EXECUTE pg_catalog.format('ALTER ROUTINE %s SET search_path FROM CURRENT', names[place]);
    END LOOP;
    PERFORM pg_catalog.set_config('search_path', before, true);
END $$";

pub(super) async fn has_roles(site: &Site<'_>, session: &Session) -> Result<bool, DataError> {
    Ok(roles::find(session, &site.place.owner, &site.marks()).await?.is_some())
}

/// An empty schema of the place's owner. Its login gets its rights with the guard.
pub(crate) fn make(place: &Place, mark: &str) -> Sql {
    Sql::new("CREATE SCHEMA ")
        .ident(&place.schema)
        .push(" AUTHORIZATION ")
        .ident(&place.owner)
        .push("; ")
        .sql(&comment(&place.schema, mark))
}

fn comment(schema: &Ident, mark: &str) -> Sql {
    Sql::new("COMMENT ON SCHEMA ").ident(schema).push(" IS ").literal(mark).push("; ")
}

pub(super) async fn remove(site: &Site<'_>, removal: &Removal, registry: Registry) -> Result<(), DataError> {
    let pool = site.cell.home_pool(&site.names);
    let (tenant, claim) = (site.space.tenant, site.claim);
    loop {
        let tx = pool.begin().await?;
        claim::hold(site.cell, &tx, tenant, claim).await?;
        let there = removal.takes(&roles::find_schema(&tx, &site.place.schema, &removal.ours).await?);
        if there && shrink(&tx, &site.place.schema).await? {
            tx.commit().await?;
            continue;
        }
        if there {
            tx.batch(&Sql::new("DROP SCHEMA ").ident(&site.place.schema).push(" CASCADE")).await?;
        }
        ledger::forget(&tx, &site.place.schema).await?;
        forget(site, &tx, removal, registry).await?;
        return Ok(tx.commit().await?);
    }
}

/// Drops some tables of a schema that has too many for one transaction. True when it did.
async fn shrink(session: &Session, schema: &Ident) -> Result<bool, DataError> {
    let sql = "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'm', 'f') AND NOT c.relispartition LIMIT $2";
    let rows = session.query(sql, &[&schema.as_str(), &(TABLES_AT_ONCE + 1)]).await?;
    if i64::try_from(rows.len()).unwrap_or(i64::MAX) <= TABLES_AT_ONCE {
        return Ok(false);
    }
    let mut tables = Vec::new();
    for row in rows.iter().skip(1) {
        tables.push(Sql::new("").ident(schema).push(".").ident(&Ident::new(get::<&str>(row, 0)?)?));
    }
    session.batch(&Sql::new("DROP TABLE ").join(&tables, ", ").push(" CASCADE")).await?;
    Ok(true)
}
