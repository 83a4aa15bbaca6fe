//! The outbox as its readers get it.

use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_store::{EventRow, Subject, TenantKey};

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{TenantRef, refuse_store, require};

/// A sequence of events that the caller may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source(Subject);

/// Finds the sequence of a tenant, or of the environment itself.
///
/// # Errors
/// There is no such tenant, or the caller may not read its events.
pub async fn source(cx: &Ctx, deps: &Deps, tenant: Option<&TenantRef>) -> Result<Source, Refusal> {
    cx.may("event.read")?;
    Ok(Source(match tenant {
        Some(tenant) => Subject::Tenant(require(cx, deps, tenant).await?.id),
        None => {
            cx.permit_environment("event.read")?;
            Subject::Environment
        }
    }))
}

/// Events behind a number, in order; at most `limit`.
///
/// # Errors
/// Our database does not answer.
pub async fn behind(cx: &Ctx, deps: &Deps, source: Source, after: i64, limit: u32) -> Result<Vec<EventRow>, Refusal> {
    deps.store().read(&cx.environment).events(source.0, after, limit).await.map_err(refuse_store)
}

/// Whether nothing will follow any more: the tenant is deleted. What is left to do after a deletion may still tell of itself;
/// whoever wants that reads on.
///
/// # Errors
/// Our database does not answer.
pub async fn is_over(cx: &Ctx, deps: &Deps, source: Source) -> Result<bool, Refusal> {
    let Subject::Tenant(id) = source.0 else { return Ok(false) };
    let row = deps.store().read(&cx.environment).tenant(TenantKey::Id(id)).await.map_err(refuse_store)?;
    Ok(row.is_none_or(|row| row.state.phase() == Phase::Deleted))
}

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
    let source = source(cx, deps, tenant).await?;
    behind(cx, deps, source, after, limit).await
}
