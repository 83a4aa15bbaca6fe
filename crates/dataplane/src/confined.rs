//! Text of an app, confined to the owner of the app's tables.
//!
//! `SET ROLE` is no wall: whoever runs in a session can take the role back with one more call, out of a function or a
//! trigger as well, and our session is the one that administers the cell. PostgreSQL itself refuses to change role or
//! session user inside of a function with SECURITY DEFINER, however deep (`GUC_NOT_WHILE_SEC_REST`, guc.c). So what an app
//! brings runs inside of such a function, which belongs to the owner, lives for one call and takes the text as its argument.
//! Transaction commands cannot run in a function either.
//!
//! Two things would still run when the call is over, and with the rights of whoever commits: deferred triggers and
//! cursors that outlive the transaction. The first have their turn inside of the call, the second are closed behind it.
//!
//! INVARIANT: between [`Door::open`] and [`Door::close`] nothing runs with more rights than the owner's. What stands here
//! names functions and types with their schema, for the text may have changed the search path.

use tenantry_pg::{Ident, PgError, Session, Sql};

use crate::catalog::get;
use crate::error::DataError;
use crate::names::Place;
use crate::nonce;

/// A way into the owner's role that the text cannot take back out.
pub(crate) struct Door<'a> {
    tx: &'a Session,
    /// The function, with its schema.
    name: Sql,
    /// The search path before.
    path: String,
}

impl<'a> Door<'a> {
    /// Takes the owner's role, and the search path of its own transactions, until [`Door::close`] or the end of the
    /// transaction or savepoint.
    ///
    /// # Errors
    /// The owner may not make functions in its schema, or the server is gone.
    pub async fn open(tx: &'a Session, place: &Place) -> Result<Self, DataError> {
        let name = Ident::new(format!("tenantry_{:016x}", nonce()?))?;
        let name = Sql::new("").ident(&place.schema).push(".").ident(&name);
        let path: String = get(&tx.query_one("SELECT current_setting('search_path')", &[]).await?, 0)?;
        let enter = "SELECT set_config('role', $1, true), set_config('search_path', $2, true)";
        tx.execute(enter, &[&place.owner.as_str(), &place.path()]).await?;
        let make = Sql::new("CREATE FUNCTION ").sql(&name).push(
            "(pg_catalog.text, pg_catalog.bool) RETURNS pg_catalog.text LANGUAGE plpgsql SECURITY DEFINER AS $$
             DECLARE found pg_catalog.text;
             BEGIN
                 IF $2 THEN
                     FOR found IN EXECUTE $1 LOOP EXIT; END LOOP;
                 ELSE
                     EXECUTE $1;
                 END IF;
                 SET CONSTRAINTS ALL IMMEDIATE;
                 RETURN found;
             END $$",
        );
        tx.batch(&make).await?;
        Ok(Self { tx, name, path })
    }

    /// Runs statements whose answers nobody wants.
    ///
    /// # Errors
    /// What the server says of them; [`position`] tells where.
    pub async fn run(&self, text: &Sql) -> Result<(), PgError> {
        // The server looks at what the last statement was, and refuses some that it would run elsewhere.
        let text = [text.as_str(), TAIL].concat();
        self.call(&text, false).await.map(|_| ())
    }

    /// Runs one query, not more than one, and gives the first column of its first row as text.
    ///
    /// # Errors
    /// What the server says of it.
    pub async fn ask(&self, query: &Sql) -> Result<Option<String>, PgError> {
        self.call(query.as_str(), true).await
    }

    async fn call(&self, text: &str, wants: bool) -> Result<Option<String>, PgError> {
        let call = Sql::new("SELECT ").sql(&self.name).push("($1, $2)");
        let rows = self.tx.query_sql(&call, &[&text, &wants]).await?;
        Ok(rows.first().and_then(|row| row.get(0)))
    }

    /// Gives the role back.
    ///
    /// # Errors
    /// The server is gone.
    pub async fn close(self) -> Result<(), DataError> {
        let leave = Sql::new("CLOSE ALL; DROP FUNCTION IF EXISTS ")
            .sql(&self.name)
            .push("(pg_catalog.text, pg_catalog.bool); SELECT pg_catalog.set_config('search_path', ")
            .literal(&self.path)
            .push(", true); SELECT pg_catalog.set_config('role', 'none', true)");
        Ok(self.tx.batch(&leave).await?)
    }
}

/// What ends each text: on a line of its own, for the last one may be a comment.
const TAIL: &str = "\n;SET CONSTRAINTS ALL IMMEDIATE";

/// The place that an error names in a text that [`Door::run`] ran, in characters from one.
pub(crate) fn position(error: &PgError, text: &str) -> Option<u32> {
    use tokio_postgres::error::ErrorPosition;
    match error.db()?.position()? {
        ErrorPosition::Internal { position, query } if query.strip_suffix(TAIL) == Some(text) => Some(*position),
        _ => None,
    }
}

/// A trigger of the owner's tables that may wait for the end of the transaction, which is ours: `table` and `trigger`.
///
/// # Errors
/// The server is gone.
pub(crate) async fn deferrable(session: &Session, place: &Place) -> Result<Option<(String, String)>, DataError> {
    let sql = "SELECT c.relname::text, t.tgname::text FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
               JOIN pg_catalog.pg_roles r ON r.oid = c.relowner WHERE t.tgdeferrable AND NOT t.tgisinternal AND r.rolname = $1
               ORDER BY 1, 2 LIMIT 1";
    let row = session.query_opt(sql, &[&place.owner.as_str()]).await?;
    row.map(|row| Ok((get(&row, 0)?, get(&row, 1)?))).transpose()
}
