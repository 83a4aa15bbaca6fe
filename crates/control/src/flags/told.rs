//! How a refusal tells of features and plans.

use tenantry_domain::flag::{Feature, FlagName, Source};
use tenantry_domain::name::PlanCode;
use tenantry_domain::plan::version::Excess;

/// `` `users` 12 of 10, `seats` 3 of 2 ``.
pub(crate) fn excess(all: &[Excess]) -> String {
    let one = |excess: &Excess| format!("`{}` {} of {}", excess.quota, excess.used, excess.limit);
    all.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// `; plans standard, enterprise would`.
pub(crate) fn would(plans: &[PlanCode]) -> String {
    match plans {
        [] => String::new(),
        [one] => format!("; plan {one} would"),
        plans => format!("; plans {} would", plans.iter().map(PlanCode::as_str).collect::<Vec<_>>().join(", ")),
    }
}

/// Why a tenant does not have a feature, and the plans that have it where that would help.
pub(crate) fn off(feature: &FlagName, plan: &PlanCode, found: Option<&Feature>, plans: &[PlanCode]) -> String {
    let why = found.and_then(|found| found.reason.as_deref()).map(|why| format!(": {why}")).unwrap_or_default();
    match found.map(|found| found.source) {
        Some(Source::Switch) => format!("feature `{feature}` is switched off for everybody{why}"),
        Some(Source::Override) => format!("feature `{feature}` is off for this tenant by an override{why}"),
        Some(Source::Cell) => format!("feature `{feature}` is off for the tenants of this cell"),
        Some(Source::Rollout) => format!("feature `{feature}` is off for the share of the tenants that this one is in"),
        Some(Source::Plan | Source::Default) | None => {
            let has = match plans {
                [] => "; no plan has it".to_owned(),
                [one] => format!("; plan {one} has it"),
                plans => {
                    format!("; plans {} have it", plans.iter().map(PlanCode::as_str).collect::<Vec<_>>().join(", "))
                }
            };
            format!("plan `{plan}` does not have feature `{feature}`{has}")
        }
    }
}
