//! The janitor: removes what killed processes left half-made, what is on its way out, and old traces.
//!
//! It touches only what bears our mark for things that stand aside and is named by no ledger. Whoever makes such a
//! thing holds a [`Shield`] until the ledger or a tenant has it; the janitor works only while nobody does.

use tenantry_pg::{Conn, Ident, Session, Sql};

use crate::catalog::get;
use crate::cell::Cell;
use crate::error::DataError;
use crate::isolation::database::drop_trash;
use crate::names::{Aside, Mark, Names};
use crate::space::AppTarget;

/// Keeps the janitor away from a home. Dropping it closes its connection, which does the same as lowering.
pub(crate) struct Shield(Conn);

impl Shield {
    pub async fn lower(self) -> Result<(), DataError> {
        self.0.execute("SELECT pg_advisory_unlock_all()", &[]).await?;
        self.0.release();
        Ok(())
    }
}

impl std::ops::Deref for Shield {
    type Target = Session;
    fn deref(&self) -> &Session {
        &self.0
    }
}

/// Waits until the janitor is done here, and keeps it away.
pub(crate) async fn shield(cell: &Cell, names: &Names) -> Result<Shield, DataError> {
    let conn = cell.home_pool(names).get().await?;
    conn.execute("SELECT pg_advisory_lock_shared($1)", &[&cell.lock_key("aside", names.home.as_str())]).await?;
    Ok(Shield(conn))
}

impl Cell {
    /// Removes what belongs to nobody: trash, things made in advance that no ledger names, logins of migration
    /// commands that are over, and old traces of erased tenants. Gives how many objects went. Does nothing while
    /// somebody makes something in advance.
    ///
    /// # Errors
    /// The server refuses, or is gone.
    pub async fn reap(&self, app: &AppTarget) -> Result<usize, DataError> {
        let names = self.ensure_home(app).await?;
        let conn = self.home_pool(&names).get().await?;
        let mut gone = 0;
        let turn = self.lock_key("aside", names.home.as_str());
        if get(&conn.query_one("SELECT pg_try_advisory_lock($1)", &[&turn]).await?, 0)? {
            for database in leftover_databases(&conn, &names).await? {
                drop_trash(self, &names, &database).await?;
                gone += 1;
            }
            gone += drop_schemas(&conn, &names).await?;
            gone += drop_roles(&conn, &names).await?;
            conn.execute("SELECT pg_advisory_unlock_all()", &[]).await?;
        }
        let remember = i64::try_from(self.options.remember.as_secs()).unwrap_or(i64::MAX);
        let old = "DELETE FROM ledger.tombstone WHERE erased_at < now() - make_interval(secs => $1::bigint::float8)";
        conn.execute(old, &[&remember]).await?;
        let shapes = "DELETE FROM ledger.shape s WHERE made_at < now() - interval '1 day'
                      AND NOT EXISTS (SELECT FROM ledger.place p WHERE p.fingerprint = s.fingerprint)";
        conn.execute(shapes, &[]).await?;
        conn.release();
        Ok(gone)
    }
}

/// A database is made first and marked in the next statement, so one without a mark counts when its name is of a kind
/// that only we make and our own login owns it.
async fn leftover_databases(session: &Session, names: &Names) -> Result<Vec<Ident>, DataError> {
    let sql = "SELECT d.datname::text FROM pg_database d, shobj_description(d.oid, 'pg_database') AS mark
         WHERE (mark = ANY ($1) OR starts_with(mark, $2)
                OR (mark IS NULL AND d.datdba = (SELECT oid FROM pg_roles WHERE rolname = current_user)
                    AND (starts_with(d.datname::text, $3) OR starts_with(d.datname::text, $4))))
           AND NOT EXISTS (SELECT FROM ledger.premade p WHERE p.name = d.datname)
           AND NOT EXISTS (SELECT FROM ledger.template t WHERE t.name = d.datname)";
    let marks = [Aside::Premade, Aside::Template].map(|purpose| names.mark(&Mark::Aside(purpose)));
    let prefixes = [Aside::Premade, Aside::Template].map(|purpose| names.aside_prefix(purpose));
    let rows = session.query(sql, &[&marks.as_slice(), &names.trash_marks(), &prefixes[0], &prefixes[1]]).await?;
    rows.iter().map(|row| Ok(Ident::new(get::<&str>(row, 0)?)?)).collect()
}

async fn drop_schemas(session: &Session, names: &Names) -> Result<usize, DataError> {
    let sql = "SELECT n.nspname::text FROM pg_namespace n WHERE obj_description(n.oid, 'pg_namespace') = $1
                 AND NOT EXISTS (SELECT FROM ledger.premade p WHERE p.name = n.nspname)";
    let rows = session.query(sql, &[&names.mark(&Mark::Aside(Aside::Premade))]).await?;
    for row in &rows {
        let schema = Ident::new(get::<&str>(row, 0)?)?;
        session.batch(&Sql::new("DROP SCHEMA ").ident(&schema).push(" CASCADE")).await?;
        crate::ledger::forget(session, &schema).await?;
    }
    Ok(rows.len())
}

/// Roles made in advance whose schema or database is gone, and logins of commands whose time is over.
async fn drop_roles(session: &Session, names: &Names) -> Result<usize, DataError> {
    let sql = "SELECT r.rolname::text FROM pg_roles r, shobj_description(r.oid, 'pg_authid') AS mark
         WHERE (mark = $1 AND NOT EXISTS (SELECT FROM ledger.premade p WHERE r.rolname IN (p.name, p.name || '_own')))
            OR (starts_with(mark, $2) AND r.rolvaliduntil < now())";
    let rows = session.query(sql, &[&names.mark(&Mark::Aside(Aside::Premade)), &names.run_marks()]).await?;
    let mut gone = 0;
    for row in &rows {
        let role = Ident::new(get::<&str>(row, 0)?)?;
        let sql = Sql::new("DROP OWNED BY ").ident(&role).push("; DROP ROLE ").ident(&role);
        match session.batch(&sql).await {
            Ok(()) => gone += 1,
            // It owns something in a tenant's database, which the tenant's next migration gives to the owner.
            Err(error) if error.sqlstate() == Some("2BP01") => {
                tracing::warn!(role = role.as_str(), "a role that is over still owns something");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(gone)
}
