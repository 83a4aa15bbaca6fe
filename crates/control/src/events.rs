//! The outbox as its readers get it.

use tenantry_store::{EventRow, Subject};

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{TenantRef, refuse_store, require};

/// Events of a tenant (or of the environment itself) behind a number, in order; at most `limit`.
///
/// # Errors
/// There is no such tenant.
pub async fn list(
    cx: &Ctx,
    deps: &Deps,
    tenant: Option<&TenantRef>,
    after: i64,
    limit: u32,
) -> Result<Vec<EventRow>, Refusal> {
    cx.may("event.read")?;
    let subject = match tenant {
        Some(tenant) => Subject::Tenant(require(cx, deps, tenant).await?.id),
        None => {
            cx.permit_environment("event.read")?;
            Subject::Environment
        }
    };
    deps.store().read(&cx.environment).events(subject, after, limit).await.map_err(refuse_store)
}
