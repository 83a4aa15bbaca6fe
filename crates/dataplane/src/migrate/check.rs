//! The app's own check of a migrated place, asked inside the transaction of its last file: a place either passes, or
//! stays where it was.

use tenantry_pg::{Session, Sql};

use super::{Run, assume, failure};
use crate::confined::Door;
use crate::error::DataError;
use crate::script;

/// What a failed check is called where a file's name stands.
const NAME: &str = "rollout.check";

/// Asks the check as the owner of the place, in the context of its tenant where it is one tenant's. It changes nothing:
/// it is asked read-only.
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
    // The savepoint takes back the role, the read-only mode and whatever the check did not end itself.
    tx.batch(&Sql::new("SAVEPOINT asked")).await?;
    let door = Door::open(tx, run.place).await?;
    tx.execute("SELECT pg_catalog.set_config('transaction_read_only', 'on', true)", &[]).await?;
    let ask = Sql::new("SELECT coalesce((\n").sql(&Sql::script(check)).push("\n)::boolean, false)");
    let answer = door.look(&ask).await.map_err(|error| match error.db() {
        Some(db) => refused(format!("the check failed: {}", db.message()), error.sqlstate()),
        None => error.into(),
    })?;
    tx.batch(&Sql::new("ROLLBACK TO SAVEPOINT asked; RELEASE SAVEPOINT asked; DEALLOCATE ALL")).await?;
    tx.forget();
    let passed = answer.as_deref() == Some("true");
    if passed { Ok(()) } else { Err(refused("the check did not give true".to_owned(), None)) }
}
