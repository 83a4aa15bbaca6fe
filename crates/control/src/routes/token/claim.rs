//! From what a verified token says to the tenant that it opens.
//!
//! INVARIANT: a pool leads to a tenant only beside the issuer that it is a pool of; and where members alone are let in,
//! whether somebody is one is looked up each time, so that a membership that was taken away is gone at once.

use std::time::Duration;

use moka::future::Cache;
use tenantry_domain::access::token::Names;
use tenantry_domain::access::{Named, TokenFault};
use tenantry_domain::id::TenantId;
use tenantry_domain::member::Identity;
use tenantry_domain::name::EnvironmentName;

use super::{TokenError, Verified};
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::routes::resolve;
use crate::tenants::edit::refuse_store;

/// The most pools that are remembered.
const MOST: u64 = 100_000;

/// For how long. A pool never changes its tenant; and a tenant that is gone is found out by its own record.
const KEPT: Duration = Duration::from_secs(600);

/// Whose pools are whose.
pub(super) struct Owners(Cache<(EnvironmentName, String, String), TenantId>);

impl Default for Owners {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MOST).time_to_live(KEPT).build())
    }
}

/// What an access token says of a request's tenant; for [`Claims::token`](tenantry_domain::access::Claims).
///
/// # Errors
/// The token is not believed, whatever else names the tenant; its issuer's keys cannot be had; or the tenant is open to its
/// members alone, and the token's user is none: to them it is not there.
pub async fn claim(cx: &Ctx, deps: &Deps, token: &str) -> Result<String, Refusal> {
    cx.permit_environment("tenant.resolve")?;
    let said = deps.tokens().verify(&cx.environment, token, deps.now()).await?;
    let named = match said.names {
        Names::Tenant => said.tenant.clone(),
        Names::Pool => owner(cx, deps, &said).await?.to_string(),
    };
    if said.members_only {
        must_be_member(cx, deps, &said, &named).await?;
    }
    Ok(named)
}

async fn owner(cx: &Ctx, deps: &Deps, said: &Verified) -> Result<TenantId, Refusal> {
    // Longer ones are no pool's, and are not asked for.
    let is_pool = said.tenant.len() <= Identity::POOL;
    let key = (cx.environment.clone(), said.issuer.clone(), said.tenant.clone());
    let owners = &deps.tokens().owners.0;
    if let Some(tenant) = owners.get(&key).await {
        return Ok(tenant);
    }
    let reader = deps.store().read(&cx.environment);
    let found = match is_pool {
        true => reader.pool_owner(&said.issuer, &said.tenant).await.map_err(refuse_store)?,
        false => None,
    };
    let tenant = found.ok_or(TokenError::Refused(TokenFault::Tenantless))?;
    owners.insert(key, tenant).await;
    Ok(tenant)
}

async fn must_be_member(cx: &Ctx, deps: &Deps, said: &Verified, named: &str) -> Result<(), Refusal> {
    let absent = || Refusal::NoTenant(named.chars().take(100).collect());
    let name = Named::parse(named).ok_or(TokenError::Refused(TokenFault::Tenantless))?;
    let tenant = resolve::tenant(cx, deps, &name).await?.id;
    let pool = if said.names == Names::Pool { said.tenant.clone() } else { String::new() };
    let subject = said.subject.clone().ok_or_else(absent)?;
    let identity = Identity { issuer: said.issuer.clone(), pool, subject };
    let is_member = deps.store().read(&cx.environment).is_member(tenant, &identity).await.map_err(refuse_store)?;
    if is_member { Ok(()) } else { Err(absent()) }
}
