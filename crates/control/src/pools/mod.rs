//! Tenants' own pools of users at an identity provider: how each stands, whose token names it, and connections of its own.
//!
//! [`tenantry_domain::pool`] says what should be there, [`settle`] makes it so, one small step at a time, for the controller
//! of the same name. A provider that is away delays pools and nothing else: no workflow waits for it, and a tenant is
//! suspended, resumed and deleted without it. What is left to do then stands in the tenant's condition `IdentityPool`.
//! INVARIANT: a pool is known by issuer and id, which the provider told us; what a request says of one is a name to look up.

mod connect;
mod settle;

use std::sync::Arc;

use secrecy::SecretString;
use tenantry_domain::Timestamp;
use tenantry_domain::code::{Code, FieldError};
use tenantry_domain::id::TenantId;
use tenantry_domain::member::{Email, Identity};
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::pool::{Standing, Wish};
use tenantry_domain::tenant::lifecycle::Phase;
/// Types of the client that the doors hand through.
pub use tenantry_identity::{Connection, ConnectionName, Oidc, Saml};
use tenantry_identity::{IdentityError, PoolId, Provider};
use tenantry_store::{PoolRow, StoreError};

pub use connect::{Connect, connect, connections, disconnect};
pub(crate) use settle::settle;

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{TenantRef, refuse_store, require};
use crate::view::Condition;

/// The condition of a tenant that tells of its pool.
pub const CONDITION: &str = "IdentityPool";

/// Why something about a pool was not done.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The installation knows no provider.
    #[error("no identity provider is configured here")]
    NoProvider,
    /// The tenant has no pool, or not yet, or not any more.
    #[error("tenant `{0}` has no pool of its own")]
    NoPool(String),
    /// The provider did not do it.
    #[error("{0}")]
    Provider(#[from] IdentityError),
    /// Our own database did not.
    #[error("the control database does not answer")]
    Store(#[source] StoreError),
}

impl PoolError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::NoProvider | Self::NoPool(_) => Code::PoolNotFound,
            Self::Provider(error) if error.is_transient() => Code::IdentityUnavailable,
            Self::Provider(_) => Code::IdentityRefused,
            Self::Store(_) => Code::DatabaseUnavailable,
        }
    }
}

/// A tenant's pool, as operators and applications see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolView {
    /// The issuer of its tokens.
    pub issuer: String,
    /// What the provider calls it; a sign-in page needs it. Absent before it exists.
    pub pool: Option<String>,
    /// How it stands.
    pub standing: Standing,
    /// Since when.
    pub since: Timestamp,
    /// Whether it stands as the tenant's state asks for.
    pub is_settled: bool,
    /// The word for why it does not.
    pub problem: Option<String>,
    /// How often that was so in a row.
    pub failures: u32,
    /// When it was looked at last.
    pub looked_at: Option<Timestamp>,
    /// When the next look is due.
    pub next_look_at: Timestamp,
}

/// Whether a standing is what a phase asks for.
const fn is_settled(standing: Standing, phase: Phase) -> bool {
    matches!(
        (Wish::of(phase), standing),
        (Wish::Enabled, Standing::Enabled)
            | (Wish::Disabled, Standing::Disabled | Standing::Wanted)
            | (Wish::Gone, Standing::Deleted)
    )
}

impl PoolView {
    fn of(row: PoolRow, phase: Phase) -> Self {
        Self {
            is_settled: is_settled(row.standing, phase) && row.problem.is_none(),
            issuer: row.issuer,
            pool: row.pool,
            standing: row.standing,
            since: row.since,
            problem: row.problem,
            failures: row.failures,
            looked_at: row.looked_at,
            next_look_at: row.next_look_at,
        }
    }

    /// The condition that tells of it.
    fn condition(&self) -> Condition {
        let reason = match (&self.problem, self.standing) {
            (Some(problem), _) => problem.clone(),
            (None, Standing::Wanted) => "Creating".to_owned(),
            (None, Standing::Enabled) => "Enabled".to_owned(),
            (None, Standing::Disabled) => "Disabled".to_owned(),
            (None, Standing::Deleted) => "Deleted".to_owned(),
        };
        let pool = self.pool.as_deref().unwrap_or("no pool yet");
        let message = if self.is_settled {
            format!("pool {pool}")
        } else {
            format!("pool {pool} is {}; the next look is due at {}", self.standing.as_str(), self.next_look_at)
        };
        let status = self.is_settled;
        Condition { kind: CONDITION.to_owned(), status, reason, message: Some(message), since: self.since }
    }
}

/// A tenant's pool.
///
/// # Errors
/// There is no such tenant, or it has no pool.
pub async fn get(cx: &Ctx, deps: &Deps, tenant: &TenantRef) -> Result<PoolView, Refusal> {
    let row = require(cx, deps, tenant).await?;
    cx.permit("identity.read", row.id)?;
    let found = deps.store().read(&cx.environment).pool(row.id).await.map_err(refuse_store)?;
    let found = found.ok_or_else(|| PoolError::NoPool(row.slug.to_string()))?;
    Ok(PoolView::of(found, row.state.phase()))
}

/// The condition of a tenant's pool, for whoever may see the tenant; nothing where there is no pool.
pub(crate) async fn condition(
    cx: &Ctx,
    deps: &Deps,
    tenant: TenantId,
    phase: Phase,
) -> Result<Option<Condition>, Refusal> {
    if deps.options().identity.is_none() {
        return Ok(None);
    }
    let found = deps.store().read(&cx.environment).pool(tenant).await.map_err(refuse_store)?;
    Ok(found.map(|row| PoolView::of(row, phase).condition()))
}

/// The provider, and the living pool of a tenant there.
pub(crate) async fn living(
    cx: &Ctx,
    deps: &Deps,
    tenant: TenantId,
    name: &(dyn std::fmt::Display + Sync),
) -> Result<(Arc<Provider>, PoolId), Refusal> {
    let provider = deps.options().identity.clone().ok_or(PoolError::NoProvider)?;
    let found = deps.store().read(&cx.environment).pool(tenant).await.map_err(refuse_store)?;
    let is_living = |row: &PoolRow| row.issuer == provider.issuer() && row.standing != Standing::Deleted;
    let id = found.filter(is_living).and_then(|row| PoolId::parse(&row.pool?).ok());
    let id = id.ok_or_else(|| PoolError::NoPool(name.to_string()))?;
    Ok((provider, id))
}

/// Makes an account in a tenant's pool for an address, and gives the link by which its owner sets a password. The one that
/// is there stays, when its owner has shown that the address is theirs, or is a member of the tenant.
pub(crate) async fn account(
    deps: &Deps,
    environment: &EnvironmentName,
    tenant: TenantId,
    email: &Email,
) -> Result<SecretString, PoolError> {
    let provider = deps.options().identity.as_ref().ok_or(PoolError::NoProvider)?;
    let found = deps.store().read(environment).pool(tenant).await.map_err(PoolError::Store)?;
    let is_open = |row: &PoolRow| row.issuer == provider.issuer() && row.standing == Standing::Enabled;
    let id = found.filter(is_open).and_then(|row| PoolId::parse(&row.pool?).ok());
    let id = id.ok_or_else(|| PoolError::NoPool(tenant.to_string()))?;
    let known = match provider.account(&id, email).await? {
        Some(found) if !found.is_verified => {
            let (issuer, pool) = (provider.issuer().to_owned(), id.as_str().to_owned());
            let identity = Identity { issuer, pool, subject: found.uid.as_str().to_owned() };
            let is_member = deps.store().read(environment).is_member(tenant, &identity).await;
            is_member.map_err(PoolError::Store)?.then_some(found.uid)
        }
        _ => None,
    };
    provider.make_account(&id, email, known.as_ref()).await?;
    Ok(provider.reset_link(&id, email).await?)
}

/// A complaint about one field of a request.
fn wrong(field: &str, message: &str) -> Refusal {
    Refusal::Request(vec![FieldError::new(field, message)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_settled_when_it_does_what_the_phase_asks_for() {
        let settled = |phase| Standing::ALL.into_iter().filter(|one| is_settled(*one, phase)).collect::<Vec<_>>();
        assert_eq!(settled(Phase::Active), [Standing::Enabled]);
        // One that was never made lets nobody in.
        assert_eq!(settled(Phase::Suspended), [Standing::Wanted, Standing::Disabled]);
        assert_eq!(settled(Phase::Archived), [Standing::Wanted, Standing::Disabled]);
        assert_eq!(settled(Phase::Deleted), [Standing::Deleted]);
    }
}
