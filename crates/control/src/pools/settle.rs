//! One look at one pool: what is there, what should be, the next thing to do, and what came of it.
//!
//! A look that fails leaves everything as it was and comes back later, however often. Nothing is made that was not looked
//! for by its name first, so that a crash between the provider's yes and our note of it makes no second pool; and nothing but
//! in a turn that was kept anew right before, so that two who look at once, however long it takes, do not make one each.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::json;
use tenantry_domain::Timestamp;
use tenantry_domain::audit::Category;
use tenantry_domain::event::{Draft, Type};
use tenantry_domain::id::TenantId;
use tenantry_domain::plan::terms::{Identity, Terms};
use tenantry_domain::policy::{self, Actor, Rights, Scope};
use tenantry_domain::pool::{self, Act, Setup, Standing, Wish};
use tenantry_identity::{IdentityError, Pool, PoolId, Provider};
use tenantry_store::{Entry, PoolRow, PoolTurn, StoreError};

use crate::ctx::Ctx;
use crate::deps::{Deps, mint};

/// How often a pool that stands as it should is looked at all the same: somebody may have changed it at the provider.
const CALM: Duration = Duration::from_secs(15 * 60);

/// A pool of an installation that has moved to another project of the provider. It is left alone until that is back.
const OTHER_PROJECT: &str = "OtherProject";

/// What a look came to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reached {
    pool: Option<String>,
    standing: Standing,
    /// What was done on the way, in order.
    done: Vec<Type>,
}

/// Why a look came to nothing.
enum Halt {
    /// The provider did not do it.
    Provider(IdentityError),
    /// Our database did not.
    Store(StoreError),
    /// It took too long, and somebody else has the turn by now.
    Late,
}

impl From<IdentityError> for Halt {
    fn from(error: IdentityError) -> Self {
        Self::Provider(error)
    }
}

/// Looks at a pool and does what is to be done. `lease` is how long a turn is kept.
///
/// # Errors
/// Our database's. What the provider says is noted.
pub(crate) async fn settle(
    deps: &Deps,
    provider: &Provider,
    turn: &PoolTurn,
    lease: Duration,
) -> Result<(), StoreError> {
    let mut turn = turn.clone();
    if turn.row.issuer != provider.issuer() {
        deps.store().pool_note(&turn.row, Some(OTHER_PROJECT), deps.now(), CALM).await?;
        return Ok(());
    }
    let setup = setup(&turn);
    let reached = reach(deps, provider, &mut turn, setup, lease).await;
    let row = &turn.row;
    match reached {
        Ok(reached) if reached.standing == row.standing && reached.pool == row.pool && reached.done.is_empty() => {
            deps.store().pool_note(row, None, deps.now(), CALM).await.map(drop)
        }
        Ok(reached) => record(deps, &turn, reached).await,
        Err(Halt::Late) => Ok(()),
        Err(Halt::Store(error)) => Err(error),
        Err(Halt::Provider(error)) => {
            let failures = row.failures.saturating_add(1);
            tracing::warn!(
                tenant = %turn.slug,
                environment = %row.environment,
                failures,
                error = &error as &dyn std::error::Error,
                remedy = error.remedy(),
                "a pool is not as it should be"
            );
            // What needs somebody's hand is not helped by asking often.
            let pause = if error.is_transient() { pool::pause(failures) } else { pool::pause(failures.max(6)) };
            deps.store().pool_note(row, Some(error.word()), deps.now(), pause).await.map(drop)
        }
    }
}

/// How people sign in, by the plan of today. A plan that promises no pool any more changes nothing about one that is there.
fn setup(turn: &PoolTurn) -> Option<Setup> {
    let terms: Terms = serde_json::from_value(turn.plan.clone()?).ok()?;
    (terms.identity == Some(Identity::Own)).then(|| Setup::of(&terms))
}

/// The name of a tenant's pool at the provider.
fn label(tenant: TenantId) -> String {
    let mut text = b"tenantry identity pool\0".to_vec();
    text.extend_from_slice(tenant.uuid().as_bytes());
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, &text).as_ref());
    pool::label(&hash)
}

async fn reach(
    deps: &Deps,
    provider: &Provider,
    turn: &mut PoolTurn,
    setup: Option<Setup>,
    lease: Duration,
) -> Result<Reached, Halt> {
    let label = label(turn.row.tenant);
    let known = turn.row.pool.as_deref().and_then(|id| PoolId::parse(id).ok());
    let wish = Wish::of(turn.phase);
    if wish == Wish::Gone {
        return Ok(remove(provider, known, &label, &turn.row).await?);
    }
    let mut found = match &known {
        Some(id) => provider.pool(id).await?,
        None => None,
    };
    if found.is_none() {
        let mut named = provider.pools_named(&label).await?;
        if named.len() > 1 {
            tracing::warn!(tenant = %turn.slug, count = named.len(), "several pools bear the tenant's name; the first is taken");
        }
        found = if named.is_empty() { None } else { Some(named.swap_remove(0)) };
    }
    // Without a word of the plan's, how people sign in stays as it is.
    let setup = setup.or(found.as_ref().map(|pool| pool.setup)).unwrap_or_else(|| Setup::of(&Terms::default()));
    let is_enabled = wish == Wish::Enabled;
    let after = match pool::next(wish, &setup, found.as_ref().map(|pool| pool.found(&label)).as_ref()) {
        Act::Create => {
            let held = deps.store().pool_hold(&turn.row, deps.now(), lease).await.map_err(Halt::Store)?;
            turn.row = held.ok_or(Halt::Late)?;
            Some(provider.make_pool(&label, &setup, is_enabled).await?)
        }
        Act::Change => match &found {
            Some(pool) => Some(provider.change_pool(&pool.id, &label, &setup, is_enabled).await?),
            None => None,
        },
        Act::Nothing | Act::Delete => found,
    };
    Ok(compare(&turn.row, after.as_ref()))
}

/// What is news of a pool that was found or made.
fn compare(row: &PoolRow, after: Option<&Pool>) -> Reached {
    let Some(pool) = after else {
        // It was never made, or is gone while nobody could sign in to it; it is made when it is needed.
        return Reached { pool: None, standing: Standing::Wanted, done: Vec::new() };
    };
    let standing = if pool.is_enabled { Standing::Enabled } else { Standing::Disabled };
    let mut done = Vec::new();
    if row.pool.as_deref() != Some(pool.id.as_str()) {
        done.push(Type::IdentityPoolCreated);
    }
    match (row.standing, standing) {
        (Standing::Disabled, Standing::Enabled) => done.push(Type::IdentityPoolEnabled),
        (Standing::Enabled | Standing::Wanted, Standing::Disabled) => done.push(Type::IdentityPoolDisabled),
        _ => {}
    }
    Reached { pool: Some(pool.id.as_str().to_owned()), standing, done }
}

/// Removes a deleted tenant's pool, and whatever else bears its name: a creation whose answer was lost may have left more
/// than one.
async fn remove(
    provider: &Provider,
    known: Option<PoolId>,
    label: &str,
    row: &PoolRow,
) -> Result<Reached, IdentityError> {
    let mut is_removed = false;
    if let Some(id) = &known {
        provider.remove_pool(id).await?;
        is_removed = true;
    }
    let others = match provider.pools_named(label).await {
        Ok(others) => others,
        // A list that cannot be had for good must not keep what is known to be gone from being recorded as gone.
        Err(error) if is_removed && !error.is_transient() => {
            tracing::warn!(%error, pool = row.pool, "whether another pool bears the name of a removed one is not known");
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    for pool in others {
        provider.remove_pool(&pool.id).await?;
        is_removed = true;
    }
    let done = if is_removed { vec![Type::IdentityPoolDeleted] } else { Vec::new() };
    Ok(Reached { pool: row.pool.clone(), standing: Standing::Deleted, done })
}

/// Writes what was reached, with the tenant's audit entry and events, unless somebody else has the turn by now.
async fn record(deps: &Deps, turn: &PoolTurn, reached: Reached) -> Result<(), StoreError> {
    let (row, now) = (&turn.row, deps.now());
    let cx = circumstances(turn, now);
    let permit = policy::controller("identity.settle", Scope::tenant(row.environment.clone(), row.tenant));
    let mut tx = deps.store().write(&permit, now).await?;
    tx.tenants().lock(row.tenant).await?;
    if !tx.pools().put(row, reached.pool.as_deref(), reached.standing, CALM).await? {
        // The lease was over; whoever has it now looks for himself.
        tx.rollback().await;
        return Ok(());
    }
    let mut audit = cx.audit(&permit, Category::Access, format!("tenant/{}", turn.slug));
    audit.changes = json!({
        "identityPool": reached.pool, "issuer": row.issuer, "from": row.standing.as_str(),
        "to": reached.standing.as_str(), "before": row.pool.as_ref().filter(|old| Some(*old) != reached.pool.as_ref()),
    });
    let data = json!({ "slug": turn.slug, "issuer": row.issuer, "pool": reached.pool });
    let events = reached.done.iter().map(|kind| Draft::new(*kind, data.clone())).collect();
    tx.commit(vec![Entry::tenant(row.tenant, audit, events)]).await?;
    deps.nudge();
    Ok(())
}

fn circumstances(turn: &PoolTurn, now: Timestamp) -> Ctx {
    let request_id = mint::request();
    Ctx {
        actor: Actor::controller("pools"),
        person: None,
        rights: Rights::all(),
        environment: turn.row.environment.clone(),
        request_id,
        correlation_id: request_id.to_string(),
        now,
        idempotency: None,
    }
}
