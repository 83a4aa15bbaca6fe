//! The app's own check of a migrated place, asked inside the transaction of its last file: a place either passes, or
//! stays where it was.

use tenantry_pg::{Session, Sql};

use super::{Run, assume, failure};
use crate::catalog::get;
use crate::error::DataError;
use crate::script;

/// What a failed check is called where a file's name stands.
const NAME: &str = "rollout.check";

/// Asks the check as the owner of the place, in the context of its tenant where it is one tenant's. It changes nothing:
/// the transaction is read-only from here on.
pub(super) async fn check(run: &Run<'_>, tx: &Session) -> Result<(), DataError> {
    let Some(check) = &run.app.spec.rollout.check else { return Ok(()) };
    let refused = |message: String, sqlstate: Option<&str>| {
        let hint = "Every target answers the check with true before it counts as migrated; the last file was undone.";
        failure(NAME, None, sqlstate, message, Some(hint.to_owned()))
    };
    if let Some(found) = script::forbidden(check) {
        return Err(refused(format!("the check: {}", found.message), None));
    }
    if let Some(tenant) = run.tenant.filter(|_| run.app.spec.tenant_key.is_some()) {
        assume(tx, tenant).await?;
    }
    let (path, owner) = (run.place.path(), run.place.owner.as_str());
    let enter = "SELECT set_config('search_path', $1, true), set_config('role', $2, true), \
                 set_config('transaction_read_only', 'on', true)";
    tx.execute(enter, &[&path, &owner]).await?;
    // A prepared statement is one statement, and as a sub-select it is a query.
    let ask = Sql::new("SELECT coalesce((\n").sql(&Sql::script(check)).push("\n)::boolean, false)");
    let rows = tx.query_sql(&ask, &[]).await;
    let rows = rows.map_err(|error| match error.db() {
        Some(db) => refused(format!("the check failed: {}", db.message()), error.sqlstate()),
        None => error.into(),
    })?;
    let passed = rows.first().map(|row| get::<bool>(row, 0)).transpose()?.unwrap_or(false);
    if passed { Ok(()) } else { Err(refused("the check did not give true".to_owned(), None)) }
}
