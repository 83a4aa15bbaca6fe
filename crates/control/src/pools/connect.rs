//! Connections of a tenant's pool to an identity provider of the tenant's own.
//!
//! The provider keeps them, with their secrets; here they are permitted by the plan, audited, and handed on. The entry is
//! committed before the call, so that nothing is done that nobody could have seen; the call can be repeated as it is.

use serde_json::json;
use tenantry_domain::audit::{Category, Outcome};
use tenantry_domain::code::FieldError;
use tenantry_domain::plan::PlanSpec;
use tenantry_domain::plan::terms::{Identity, SignIn, Terms};
use tenantry_domain::policy::{self, Permit};
use tenantry_identity::{Connection, ConnectionName};
use tenantry_store::{CatalogKind, Entry, TenantRow};

use super::{living, wrong};
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{Opened, TenantRef, open, refuse_store, require};

/// A wanted connection.
#[derive(Debug, Clone)]
pub struct Connect {
    /// Its name in the pool.
    pub name: ConnectionName,
    /// For people who sign in.
    pub title: String,
    /// How it works.
    pub connection: Connection,
}

/// Connects a tenant's pool to an identity provider, or gives a connection another content.
///
/// # Errors
/// The plan does not allow it, the tenant has no pool, or the provider refuses.
pub async fn connect(cx: &Ctx, deps: &Deps, tenant: &TenantRef, wanted: &Connect) -> Result<(), Refusal> {
    let row = require(cx, deps, tenant).await?;
    let permit = cx.permit("identity.connect", row.id)?;
    let is_oidc = matches!(wanted.connection, Connection::Oidc(_));
    if is_oidc != wanted.name.as_str().starts_with("oidc.") {
        return Err(wrong("name", "must begin with `oidc.` for OpenID Connect and with `saml.` for SAML"));
    }
    allowed(cx, deps, &row).await?;
    let (provider, pool) = living(cx, deps, row.id, &row.slug).await?;
    tell(cx, deps, &permit, &row, json!({ "connection": wanted.name.as_str(), "pool": pool.as_str() })).await?;
    let done = provider.put_connection(&pool, &wanted.name, &wanted.title, &wanted.connection).await;
    outcome(cx, deps, &permit, &row, &wanted.name, done).await
}

/// Takes a connection away; people who sign in by it cannot any more. One that is gone already is gone.
///
/// # Errors
/// The tenant has no pool, or the provider does not answer.
pub async fn disconnect(cx: &Ctx, deps: &Deps, tenant: &TenantRef, name: &ConnectionName) -> Result<(), Refusal> {
    let row = require(cx, deps, tenant).await?;
    let permit = cx.permit("identity.disconnect", row.id)?;
    let (provider, pool) = living(cx, deps, row.id, &row.slug).await?;
    tell(cx, deps, &permit, &row, json!({ "connection": name.as_str(), "pool": pool.as_str() })).await?;
    let done = provider.remove_connection(&pool, name).await;
    outcome(cx, deps, &permit, &row, name, done).await
}

/// The names of a pool's connections, as the provider has them now.
///
/// # Errors
/// The tenant has no pool, or the provider does not answer.
pub async fn connections(cx: &Ctx, deps: &Deps, tenant: &TenantRef) -> Result<Vec<ConnectionName>, Refusal> {
    let row = require(cx, deps, tenant).await?;
    cx.permit("identity.read", row.id)?;
    let (provider, pool) = living(cx, deps, row.id, &row.slug).await?;
    Ok(provider.connections(&pool).await.map_err(super::PoolError::from)?)
}

fn allows(terms: &Terms) -> bool {
    terms.identity == Some(Identity::Own) && terms.sign_in.as_ref().is_some_and(|ways| ways.contains(&SignIn::Sso))
}

/// Whether the tenant's plan allows it; otherwise the plans that do, cheapest first.
async fn allowed(cx: &Ctx, deps: &Deps, row: &TenantRow) -> Result<(), Refusal> {
    let plans = deps.store().read(&cx.environment).catalog_list(CatalogKind::Plan).await.map_err(refuse_store)?;
    let read = |plan: tenantry_store::CatalogRow| {
        let spec: PlanSpec = serde_json::from_value(plan.spec).ok()?;
        Some((tenantry_domain::name::PlanCode::parse(&plan.name).ok()?, spec.terms))
    };
    let plans: Vec<_> = plans.into_iter().filter_map(read).collect();
    let own = deps.store().read(&cx.environment).plan_of(row).await.map_err(refuse_store)?;
    let own = own.and_then(|own| serde_json::from_value::<PlanSpec>(own.spec).ok());
    if own.is_some_and(|own| allows(&own.terms)) {
        return Ok(());
    }
    let mut others: Vec<_> =
        plans.into_iter().filter(|(code, terms)| *code != row.spec.plan && allows(terms)).collect();
    others.sort_by_key(|(_, terms)| terms.rank());
    let fields = vec![FieldError::new("name", "the plan's `signIn` does not have `sso`")];
    let plans = others.into_iter().map(|(code, _)| code).collect();
    Err(Refusal::PlanForbids { plan: row.spec.plan.clone(), fields, plans })
}

/// Commits that it is about to be done.
async fn tell(
    cx: &Ctx,
    deps: &Deps,
    permit: &Permit,
    row: &TenantRow,
    changes: serde_json::Value,
) -> Result<(), Refusal> {
    let mut tx = match open(cx, deps, permit).await? {
        Opened::Fresh(tx) => tx,
        // Nothing is remembered of these calls, so there is nothing to answer from.
        Opened::Replay(_) => return Ok(()),
    };
    tx.tenants().lock(row.id).await.map_err(refuse_store)?;
    let mut audit = cx.audit(permit, Category::Access, format!("tenant/{}", row.slug));
    audit.changes = changes;
    tx.commit(vec![Entry::tenant(row.id, audit, Vec::new())]).await.map_err(refuse_store)?;
    Ok(())
}

/// What did not work is told in the audit as well.
async fn outcome(
    cx: &Ctx,
    deps: &Deps,
    permit: &Permit,
    row: &TenantRow,
    name: &ConnectionName,
    done: Result<(), tenantry_identity::IdentityError>,
) -> Result<(), Refusal> {
    let Err(error) = done else { return Ok(()) };
    // The rules were asked before the call; what became of it is written whatever they say by now.
    let ours = policy::controller("identity.settle", permit.scope().clone());
    let mut tx = deps.store().write(&ours, deps.now()).await.map_err(refuse_store)?;
    tx.tenants().lock(row.id).await.map_err(refuse_store)?;
    let mut audit = cx.audit(permit, Category::Access, format!("tenant/{}", row.slug));
    audit.outcome = Outcome::Failed;
    audit.changes = json!({ "connection": name.as_str(), "cause": error.word() });
    tx.commit(vec![Entry::tenant(row.id, audit, Vec::new())]).await.map_err(refuse_store)?;
    Err(super::PoolError::from(error).into())
}
