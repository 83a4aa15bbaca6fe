//! Tenants whose level is not the one that their plan is paid for.

use tenantry_domain::page::PageSize;
use tenantry_store::{OffLevel, Page};

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::refuse_store;
use crate::tenants::read::request;

/// A page of tenants at another level than their plan's, by place or by override.
///
/// # Errors
/// The page token is of no use here.
pub async fn levels(cx: &Ctx, deps: &Deps, size: PageSize, token: Option<&str>) -> Result<Page<OffLevel>, Refusal> {
    cx.permit_environment("tenant.read")?;
    let principal = cx.actor.to_string();
    deps.store().read(&cx.environment).off_level(&request(cx, &principal, size, token)).await.map_err(refuse_store)
}
