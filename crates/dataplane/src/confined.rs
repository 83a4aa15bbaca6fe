//! Text of an app, confined to the owner of the app's tables.
//!
//! `SET ROLE` is no wall: whoever runs in a session can take the role back with one more call, out of a function or a
//! trigger as well, and our session is the one that administers the cell. PostgreSQL itself refuses to change role or
//! session user inside of a function with SECURITY DEFINER, however deep (`GUC_NOT_WHILE_SEC_REST`, guc.c). So what an app
//! brings runs inside of such a function, which belongs to the owner, lives for one call and takes the text as its argument.
//! Transaction commands cannot run in a function either.
//!
//! What would still run when the call is over, with the rights of whoever commits or goes on, is ended behind it: deferred triggers have
//! their turn inside of a function that the text has not seen, while nothing can be written, so that nothing new can wait;
//! cursors are closed and prepared statements forgotten, ours as well, under whose names others could stand.
//!
//! INVARIANT: between the taking of the role and its giving back nothing runs with more rights than the owner's. What stands
//! here names functions and types with their schema, for the text may have changed the search path. A door is for one call: its
//! function belongs to the owner, who could have replaced it.

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
    /// The one that ends what waits.
    last: Sql,
    /// The search path before.
    path: String,
}

impl<'a> Door<'a> {
    /// Takes the owner's role, and the search path of its own transactions, until the one call is over, or the transaction or
    /// savepoint ends.
    ///
    /// # Errors
    /// The owner may not make functions in its schema, or the server is gone.
    pub async fn open(tx: &'a Session, place: &Place) -> Result<Self, DataError> {
        let path: String = get(&tx.query_one("SELECT current_setting('search_path')", &[]).await?, 0)?;
        let enter = "SELECT set_config('role', $1, true), set_config('search_path', $2, true)";
        tx.execute(enter, &[&place.owner.as_str(), &place.path()]).await?;
        let (name, last) = (function(place)?, function(place)?);
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
        Ok(Self { tx, name, last, path })
    }

    /// Runs statements whose answers nobody wants, and gives the role back.
    ///
    /// # Errors
    /// What the server says of them; [`position`] tells where.
    pub async fn run(self, text: &Sql) -> Result<(), PgError> {
        // The server looks at what the last statement was, and refuses some that it would run elsewhere.
        let text = [text.as_str(), TAIL].concat();
        self.call(&text, false).await?;
        self.close().await
    }

    /// Runs one query, not more than one, gives the first column of its first row as text, and the role back.
    ///
    /// # Errors
    /// What the server says of it.
    pub async fn ask(self, query: &Sql) -> Result<Option<String>, PgError> {
        let answer = self.call(query.as_str(), true).await?;
        self.close().await?;
        Ok(answer)
    }

    /// Asks one query in a transaction that writes nothing. The door stays open: the caller rolls back to before it was opened.
    ///
    /// # Errors
    /// What the server says of it.
    pub async fn look(self, query: &Sql) -> Result<Option<String>, PgError> {
        self.call(query.as_str(), true).await
    }

    async fn call(&self, text: &str, wants: bool) -> Result<Option<String>, PgError> {
        let call = Sql::new("SELECT ").sql(&self.name).push("($1, $2)");
        let rows = self.tx.query_sql(&call, &[&text, &wants]).await?;
        Ok(rows.first().and_then(|row| row.get(0)))
    }

    async fn close(self) -> Result<(), PgError> {
        let drain = Sql::new("CLOSE ALL; DEALLOCATE ALL; SELECT pg_catalog.pg_advisory_unlock_all(); CREATE FUNCTION ")
            .sql(&self.last)
            .push(
                "() RETURNS pg_catalog.void LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN SET CONSTRAINTS ALL IMMEDIATE; END $$;
                 SAVEPOINT last; SELECT pg_catalog.set_config('transaction_read_only', 'on', true); SELECT ",
            )
            .sql(&self.last)
            .push("(); RELEASE SAVEPOINT last; DROP FUNCTION ")
            .sql(&self.last)
            .push("(); CLOSE ALL; DEALLOCATE ALL; DROP FUNCTION IF EXISTS ")
            .sql(&self.name)
            .push("(pg_catalog.text, pg_catalog.bool); SELECT pg_catalog.set_config('search_path', ")
            .literal(&self.path)
            .push(", true); SELECT pg_catalog.set_config('role', 'none', true)");
        self.tx.forget();
        self.tx.batch(&drain).await
    }
}

fn function(place: &Place) -> Result<Sql, DataError> {
    let name = Ident::new(format!("tenantry_{:016x}", nonce()?))?;
    Ok(Sql::new("").ident(&place.schema).push(".").ident(&name))
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

/// A trigger or computed constraint of the owner's tables that may wait for the end of the transaction, which is ours: `table` and
/// name. It would be ended by [`Door`] anyway; so it is told by name.
///
/// # Errors
/// The server is gone.
pub(crate) async fn deferrable(session: &Session, place: &Place) -> Result<Option<(String, String)>, DataError> {
    let sql = "SELECT c.relname::text, t.tgname::text FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
               JOIN pg_catalog.pg_roles r ON r.oid = c.relowner WHERE t.tgdeferrable AND r.rolname = $1 AND (NOT t.tgisinternal OR EXISTS (
                   SELECT FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_index i ON i.indexrelid = k.conindid
                   WHERE k.oid = t.tgconstraint AND k.contype = 'x' AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL)))
               ORDER BY 1, 2 LIMIT 1";
    let row = session.query_opt(sql, &[&place.owner.as_str()]).await?;
    row.map(|row| Ok((get(&row, 0)?, get(&row, 1)?))).transpose()
}
