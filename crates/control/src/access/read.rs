//! Looking at grants.

use tenantry_domain::id::GrantId;
use tenantry_domain::page::PageSize;
use tenantry_store::{GrantFilter, Page};

use super::{AccessGrant, known, view};
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{TenantRef, refuse_store, require};
use crate::tenants::read::request as page_of;

/// One grant.
///
/// # Errors
/// There is none.
pub async fn get(cx: &Ctx, deps: &Deps, id: GrantId) -> Result<AccessGrant, Refusal> {
    cx.may("access.read")?;
    known(cx, deps, id).await.map(|row| view(row, cx.now))
}

/// A page of grants, the newest first.
///
/// # Errors
/// There is no such tenant, or the page token is of no use here.
pub async fn list(
    cx: &Ctx,
    deps: &Deps,
    tenant: Option<&TenantRef>,
    only_current: bool,
    size: PageSize,
    token: Option<&str>,
) -> Result<Page<AccessGrant>, Refusal> {
    cx.may("access.read")?;
    let tenant = match tenant {
        Some(tenant) => Some(require(cx, deps, tenant).await?.id),
        None => {
            cx.permit_environment("access.read")?;
            None
        }
    };
    let principal = cx.actor.to_string();
    let reader = deps.store().read(&cx.environment);
    let filter = GrantFilter { tenant, only_current };
    let page = reader.grants(&filter, &page_of(cx, &principal, size, token)).await.map_err(refuse_store)?;
    Ok(Page { items: page.items.into_iter().map(|row| view(row, cx.now)).collect(), next: page.next })
}
