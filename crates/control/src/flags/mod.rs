//! Features of tenants: what an environment says about them, what each tenant has, and how often it is used.
//!
//! What holds is worked out anew for each question from one reading of the registry, so a switch holds for every question
//! that is asked after its commit, at every replica. Whoever keeps answers learns of it when it asks again.

mod admit;
mod change;
mod levels;
pub(crate) mod told;
mod uses;

pub(crate) use admit::catalog_within;
pub use admit::{Admitted, Usage, admit, flush, usage};
pub use change::{Wanted, delete, get, list, put, switch};
pub use levels::levels;
pub use uses::Uses;

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest;
use tenantry_domain::Timestamp;
use tenantry_domain::flag::{self, Feature, FlagName, Subject};
use tenantry_domain::id::TenantId;
use tenantry_domain::name::PlanCode;
use tenantry_domain::tenant::Slug;
use tenantry_store::FeatureFacts;
pub use tenantry_store::{FeatureUse, FlagRow, OffLevel};

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{TenantRef, refuse_store};

/// What is true of the features of one tenant at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Whose.
    pub tenant: TenantId,
    /// Its name.
    pub slug: Slug,
    /// Its plan.
    pub plan: PlanCode,
    /// By name; what nobody says anything about is left out.
    pub features: BTreeMap<FlagName, Feature>,
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

fn feature(facts: &FeatureFacts, name: &FlagName, now: Timestamp) -> Option<Feature> {
    let subject = Subject {
        tenant: facts.tenant,
        cell: facts.cell.as_ref(),
        plan: facts.of_plan.get(name.as_str()),
        deviation: facts.deviations.get(name.as_str()),
    };
    flag::evaluate(name, facts.flags.get(name.as_str()), subject, now, sha256)
}

/// Finds a tenant's facts, of one feature or of all. One that the caller may not know of is none.
async fn facts(cx: &Ctx, deps: &Deps, tenant: &TenantRef, name: Option<&FlagName>) -> Result<FeatureFacts, Refusal> {
    let (id, slug) = match tenant {
        TenantRef::Id(id) => (Some(*id), None),
        TenantRef::Slug(slug) => (None, Some(slug)),
    };
    let found = deps.store().read(&cx.environment).feature_facts(id, slug, name).await.map_err(refuse_store)?;
    let found = found.filter(|facts| cx.sees(facts.tenant));
    found.ok_or_else(|| Refusal::NoTenant(tenant.to_string()))
}

/// All features of a tenant.
///
/// # Errors
/// There is no such tenant.
pub async fn features(cx: &Ctx, deps: &Deps, tenant: &TenantRef) -> Result<Features, Refusal> {
    cx.may("flag.evaluate")?;
    let facts = facts(cx, deps, tenant, None).await?;
    cx.permit("flag.evaluate", facts.tenant)?;
    let names = facts.of_plan.keys().chain(facts.deviations.keys()).chain(facts.flags.keys());
    let names: BTreeSet<FlagName> = names.filter_map(|name| name.parse().ok()).collect();
    let features = names.into_iter().filter_map(|name| feature(&facts, &name, cx.now).map(|found| (name, found)));
    Ok(Features {
        features: features.collect(),
        tenant: facts.tenant,
        slug: facts.slug.clone(),
        plan: facts.plan.clone(),
    })
}

/// One feature of a tenant, with the tenant's plan; absent when nobody says anything about it. Counts as a use.
///
/// # Errors
/// There is no such tenant.
pub async fn evaluate(
    cx: &Ctx,
    deps: &Deps,
    tenant: &TenantRef,
    name: &FlagName,
) -> Result<(PlanCode, Option<Feature>), Refusal> {
    cx.may("flag.evaluate")?;
    let facts = facts(cx, deps, tenant, Some(name)).await?;
    cx.permit("flag.evaluate", facts.tenant)?;
    let found = feature(&facts, name, cx.now);
    if found.as_ref().is_some_and(Feature::is_on) {
        deps.uses().add(deps.store(), &cx.environment, facts.tenant, name, 1, cx.now).await;
    }
    Ok((facts.plan, found))
}
