//! Sees to it that the leak probe has somebody to try: two canary tenants of each app at each level that a cell serves.
//!
//! Only where customers are: an app and a level without tenants on a cell have nothing to leak there. They are made by the
//! ordinary use case, so everything that is true of a customer's place is true of theirs. None is ever removed from here.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tenantry_domain::cell::CellSpec;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{AppName, CellName, EnvironmentName, PlanCode};
use tenantry_domain::plan::PlanSpec;
use tenantry_domain::policy::{Actor, Rights};
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_domain::tenant::profile::{Business, Residency};
use tenantry_domain::tenant::{Slug, Spec};
use tenantry_store::{CatalogKind, Reader, StoreError};

use crate::controllers::driver::{Controller, Look};
use crate::ctx::Ctx;
use crate::deps::{Deps, mint};
use crate::guard::probe::{CANARY, CELL};
use crate::refusal::Refusal;
use crate::tenants;

/// The controller.
#[derive(Debug, Default)]
pub struct Canaries;

/// Nobody waits for them.
const EVERY: Duration = Duration::from_secs(10);

impl Controller for Canaries {
    const NAME: &'static str = "canary";
    const IS_NUDGED: bool = false;

    fn every(&self, deps: &Deps) -> Duration {
        EVERY.min(deps.options().guard.probe.unwrap_or(EVERY)).max(deps.options().tick)
    }

    async fn look(&mut self, deps: &Deps) -> Result<Look, StoreError> {
        if deps.options().guard.probe.is_none() {
            return Ok(Look::Done);
        }
        for environment in deps.store().environments().await? {
            for wanted in missing(&deps.store().read(&environment.name)).await? {
                make(deps, &environment.name, &wanted).await;
            }
        }
        Ok(Look::Done)
    }
}

/// A canary tenant that is not there.
struct Wanted {
    slug: Slug,
    which: &'static str,
    app: AppName,
    plan: PlanCode,
    cell: CellName,
    spec: CellSpec,
}

async fn missing(reader: &Reader) -> Result<Vec<Wanted>, StoreError> {
    let mut wanted = Vec::new();
    let plans: Vec<(PlanCode, Isolation)> = reader
        .catalog_list(CatalogKind::Plan)
        .await?
        .into_iter()
        .filter_map(|row| {
            let spec: PlanSpec = serde_json::from_value(row.spec).ok()?;
            Some((PlanCode::parse(&row.name).ok()?, spec.isolation))
        })
        .collect();
    let cells = reader.catalog_list(CatalogKind::Cell).await?;
    for app in reader.catalog_list(CatalogKind::App).await? {
        let Ok(name) = AppName::parse(&app.name) else { continue };
        let tenants = reader.rollout_candidates(&app.name, &serde_json::json!({})).await?;
        for cell in &cells {
            let (Ok(cell_name), Ok(spec)) =
                (CellName::parse(&cell.name), serde_json::from_value::<CellSpec>(cell.spec.clone()))
            else {
                continue;
            };
            let served: BTreeSet<Isolation> = tenants
                .iter()
                .filter(|tenant| tenant.cell == cell.name && !tenant.is_synthetic)
                .map(|tenant| tenant.isolation)
                .collect();
            for level in served {
                let Some((plan, _)) = plans.iter().find(|(_, isolation)| *isolation == level) else { continue };
                for which in ["a", "b"] {
                    let Some(slug) = slug(&name, &cell_name, level, which) else { continue };
                    if reader.tenant_ids_by_slug(std::slice::from_ref(&slug)).await?.is_empty() {
                        let (app, plan, cell, spec) = (name.clone(), plan.clone(), cell_name.clone(), spec.clone());
                        wanted.push(Wanted { slug, which, app, plan, cell, spec });
                    }
                }
            }
        }
    }
    Ok(wanted)
}

/// The same in every process, so that two that make it at once make one.
fn slug(app: &AppName, cell: &CellName, level: Isolation, which: &str) -> Option<Slug> {
    let hash = digest(&SHA256, format!("{app}|{cell}|{level}").as_bytes());
    let tail: String = hash.as_ref().iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    Slug::parse(&format!("canary-{tail}-{which}")).ok()
}

async fn make(deps: &Deps, environment: &EnvironmentName, wanted: &Wanted) {
    let id = mint::request();
    let cx = Ctx {
        actor: Actor::controller(Canaries::NAME),
        person: None,
        rights: Rights::all(),
        environment: environment.clone(),
        request_id: id,
        correlation_id: id.to_string(),
        now: deps.now(),
        idempotency: None,
    };
    let labels = [(CANARY, wanted.which), (CELL, wanted.cell.as_str())];
    let spec = Spec {
        display_name: format!("Leak probe {}", wanted.which),
        app: wanted.app.clone(),
        plan: wanted.plan.clone(),
        state: Phase::Active,
        suspension: None,
        deletion: None,
        residency: Residency {
            allowed_regions: vec![wanted.spec.region.clone()],
            preferred_region: None,
            flags: Vec::new(),
        },
        contacts: Default::default(),
        external_ids: Default::default(),
        aliases: Vec::new(),
        domains: Vec::new(),
        labels: labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        settings: Default::default(),
        commercial: Default::default(),
        business: Business { synthetic: true, ..Business::default() },
        overrides: Default::default(),
    };
    match tenants::create(&cx, deps, wanted.slug.clone(), spec).await {
        Ok(_) => {
            tracing::info!(cell = %wanted.cell, app = %wanted.app, slug = %wanted.slug, "a canary tenant was made")
        }
        // Another replica was faster.
        Err(Refusal::SlugTaken(_)) => {}
        Err(refusal) => tracing::warn!(slug = %wanted.slug, %refusal, "a canary tenant cannot be made"),
    }
}
