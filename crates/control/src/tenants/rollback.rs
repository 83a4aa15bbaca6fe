//! Back to an earlier version: a new version that equals the old one.

use tenantry_domain::tenant::Spec;

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{Expected, TenantRef, edit, keep_deletion, refuse_store, require};
use crate::view::Accepted;

/// Makes the desired state of version `to` the newest one. The lifecycle state is not rolled back: a tenant that
/// was suspended since stays suspended, because that is a decision of its own.
///
/// # Errors
/// See [`Refusal`]; nothing changed.
pub async fn rollback(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    expected: Expected,
    to: i64,
) -> Result<Accepted, Refusal> {
    let found = require(cx, deps, tenant).await?;
    let old = deps.store().read(&cx.environment).version(found.id, to).await.map_err(refuse_store)?;
    let old: Spec = old.ok_or(Refusal::NoVersion(to))?.spec;
    edit(cx, deps, tenant, expected, "tenant.rollback", |row| {
        let spec = Spec { state: row.spec.state, suspension: row.spec.suspension.clone(), ..old };
        Ok(keep_deletion(row, spec))
    })
    .await
}
