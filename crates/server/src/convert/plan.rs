//! Versions of plans and what became of tenants that were to be moved.

use tenantry_api::problem::Problem;
use tenantry_api::v1::plan::{MovedTenant, PlanBinding, PlanUpgrade, RefusedTenant};
use tenantry_control::plans::{Left, Upgraded, Versions};

use super::version;
use crate::problem::Failure;

/// A version with the tenants that have it.
#[must_use]
pub fn binding(found: Versions) -> PlanBinding {
    PlanBinding {
        version: found.version,
        tenants: found.tenants,
        policy: found.policy.map(|policy| policy.as_str().to_owned()),
        changes: found.changes.into_iter().map(|change| version::change("Plan", change)).collect(),
        actor: found.author,
        at: found.at,
    }
}

/// What one call did.
#[must_use]
pub fn upgraded(plan: String, dry_run: bool, done: Upgraded) -> PlanUpgrade {
    PlanUpgrade {
        plan,
        version: done.version,
        dry_run,
        moved: done
            .moved
            .into_iter()
            .map(|one| MovedTenant { tenant: one.tenant.to_string(), slug: one.slug.to_string(), from: one.from })
            .collect(),
        refused: done.left.into_iter().map(refused).collect(),
        untouched: done.untouched,
        next: done.next.map(|id| id.to_string()),
    }
}

fn refused(left: Left) -> RefusedTenant {
    let (tenant, slug) = (left.tenant.to_string(), left.slug.to_string());
    let Problem { code, detail, hint, errors, .. } = *Failure::from(left.why).problem;
    RefusedTenant { tenant, slug, code, detail, hint, errors }
}
