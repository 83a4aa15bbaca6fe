//! A home that was prepared ahead of its first tenant, by files that the app has otherwise now.
//!
//! Nobody has the old files, so they may change, and what they made here is in the way of the new ones. It is made anew,
//! unless somebody has put something of their own there. INVARIANT: no tenant's row, nothing outside of the app's own
//! schema and no row that a file did not write is lost.

use tenantry_pg::{Ident, PgKind, Session, Sql};

use super::furnish;
use crate::catalog::get;
use crate::error::DataError;
use crate::ledger;
use crate::migrate::{self, Run};

/// Empties the shared place of a home that no tenant ever used and whose files are not those of the app. True when it
/// did. One that holds more than the files made stays, and its migration says which file is in the way.
pub(super) async fn discard(run: &Run<'_>) -> Result<bool, DataError> {
    let Some(stream) = migrate::stream(run.app) else { return Ok(false) };
    let conn = run.pool.get().await?;
    let progress = ledger::progress(&conn, run.place).await?;
    conn.release();
    let ran = migrate::ran(&progress);
    if stream.starts_with(&ran) || progress.version.is_some_and(|version| version >= run.app.version) {
        return Ok(false);
    }
    let tx = migrate::begin(run).await?;
    // No tenant comes in while we look and empty.
    tx.batch_static("LOCK TABLE tenantry.tenant IN SHARE ROW EXCLUSIVE MODE").await?;
    let still = migrate::ran(&ledger::progress(&tx, run.place).await?) == ran;
    if !still || is_used(&tx).await? || has_strangers(&tx, run).await? || has_rows(&tx, run).await? {
        tx.rollback().await?;
        return Ok(false);
    }
    tx.batch(&Sql::new("DROP SCHEMA ").ident(&run.place.schema).push(" CASCADE")).await?;
    ledger::forget(&tx, &run.place.schema).await?;
    // What was made in advance ran the same files; the janitor takes it away.
    tx.batch_static("DELETE FROM ledger.premade; DELETE FROM ledger.template").await?;
    tx.batch(&furnish(run.names)).await?;
    tx.commit().await?;
    Ok(true)
}

/// Whether a tenant is here, at whatever level.
async fn is_used(session: &Session) -> Result<bool, DataError> {
    let sql = "SELECT EXISTS (SELECT FROM tenantry.tenant) OR EXISTS (SELECT FROM ledger.space)";
    get(&session.query_one(sql, &[]).await?, 0)
}

/// Whether there are schemas without a mark of ours, or objects in `public`: they may lean on what would go.
async fn has_strangers(session: &Session, run: &Run<'_>) -> Result<bool, DataError> {
    let sql = "SELECT EXISTS (SELECT FROM pg_namespace n
            WHERE n.nspname !~ '^pg_' AND n.nspname <> ALL (ARRAY['information_schema', 'public', 'ext', 'seal', 'tenantry', 'ledger', $1])
              AND NOT coalesce(starts_with(obj_description(n.oid, 'pg_namespace'), 'tenantry:'), false))
        OR EXISTS (SELECT FROM pg_class WHERE relnamespace = to_regnamespace('public'))";
    get(&session.query_one(sql, &[&run.place.schema.as_str()]).await?, 0)
}

/// Whether a table holds rows that no file wrote: a file's rows bear the transaction that recorded the file.
async fn has_rows(session: &Session, run: &Run<'_>) -> Result<bool, DataError> {
    // Policies would hide rows from a login that is no superuser; then the question fails, and nothing is thrown away.
    session.batch_static("SET LOCAL row_security = off").await?;
    let sql = "SELECT c.relname::text, c.relkind = 'f' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = $1 AND c.relkind IN ('r', 'f')";
    for row in session.query(sql, &[&run.place.schema.as_str()]).await? {
        if get(&row, 1)? {
            // Rows elsewhere do not say who wrote them.
            return Ok(true);
        }
        let table = Ident::new(get::<&str>(&row, 0)?)?;
        // A row that somebody writes after the look would go with the table.
        let hold = Sql::new("LOCK TABLE ").ident(&run.place.schema).push(".").ident(&table).push(" IN SHARE MODE");
        session.batch(&hold).await?;
        let ask = Sql::new("SELECT EXISTS (SELECT FROM ")
            .ident(&run.place.schema)
            .push(".")
            .ident(&table)
            .push(" AS r WHERE r.xmin::text NOT IN (SELECT a.xmin::text FROM ledger.applied AS a WHERE a.place = ")
            .literal(run.place.schema.as_str())
            .push("))");
        match session.query_sql(&ask, &[]).await {
            Ok(rows) => {
                if rows.first().map(|row| get::<bool>(row, 0)).transpose()?.unwrap_or(true) {
                    return Ok(true);
                }
            }
            Err(error) if error.kind() == PgKind::Permission => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(false)
}
