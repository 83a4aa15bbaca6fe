//! Keeps cells ready: home databases at the newest app version, pre-made spaces in stock, leftovers swept out.
//!
//! One replica at a time works on a cell, by an advisory lock that the data plane takes; the others see it and pass.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use tenantry_dataplane::{AppTarget, DataError};
use tenantry_domain::Timestamp;
use tenantry_domain::cell::CellSpec;
use tenantry_domain::isolation::Isolation;
use tenantry_domain::name::{AppName, CellName};
use tenantry_store::{CatalogKind, StoreError};

use crate::controllers::driver::{Controller, Look};
use crate::deps::Deps;
use crate::workflows::site;

/// The controller.
#[derive(Debug, Default)]
pub struct Stock {
    /// What did not work the last time, by cell and app, so that the same trouble is told once and tried less often.
    trouble: BTreeMap<(CellName, AppName), Trouble>,
}

#[derive(Debug)]
struct Trouble {
    app_version: i64,
    message: String,
    again_at: Timestamp,
    pause: SignedDuration,
}

impl Controller for Stock {
    const NAME: &'static str = "stock";
    const IS_NUDGED: bool = false;

    fn every(&self, deps: &Deps) -> Duration {
        deps.options().tick
    }

    async fn look(&mut self, deps: &Deps) -> Result<Look, StoreError> {
        for environment in deps.store().environments().await? {
            let reader = deps.store().read(&environment.name);
            let apps = reader.catalog_list(CatalogKind::App).await?;
            let levels = levels_in_use(&reader).await?;
            for row in reader.catalog_list(CatalogKind::Cell).await? {
                let Ok(name) = CellName::parse(&row.name) else { continue };
                let Ok(spec) = serde_json::from_value::<CellSpec>(row.spec) else { continue };
                for app in &apps {
                    let Ok(app_name) = AppName::parse(&app.name) else { continue };
                    // While a rollout is under way, the cell stays at what it has until its turn comes.
                    let target = match site::app(deps.store(), &environment.name, &app_name, &name, None).await {
                        Ok(target) => target,
                        Err(cause) => {
                            tracing::warn!(app = %app_name, code = cause.code, "app cannot be read");
                            continue;
                        }
                    };
                    if self.is_waiting(deps, &name, &target) {
                        continue;
                    }
                    let cell = match site::cell(deps, &environment.name, &name).await {
                        Ok(cell) => cell,
                        Err(cause) => {
                            self.note(deps, (name.clone(), target.app.clone()), target.version, Err(cause.message));
                            continue;
                        }
                    };
                    let outcome = restock(deps, &cell, &spec, &target, &levels).await;
                    let outcome = outcome.map_err(|error| error.to_string());
                    self.note(deps, (name.clone(), target.app.clone()), target.version, outcome);
                }
            }
        }
        Ok(Look::Done)
    }
}

async fn levels_in_use(reader: &tenantry_store::Reader) -> Result<Vec<Isolation>, StoreError> {
    let plans = reader.catalog_list(CatalogKind::Plan).await?;
    let levels = plans.iter().filter_map(|plan| plan.spec.get("isolation")?.as_str()?.parse::<Isolation>().ok());
    Ok(levels.collect())
}

async fn restock(
    deps: &Deps,
    cell: &tenantry_dataplane::Cell,
    spec: &CellSpec,
    app: &AppTarget,
    levels: &[Isolation],
) -> Result<(), DataError> {
    cell.prepare(app).await?;
    let wants = deps.options().pool;
    for (level, want) in [(Isolation::Schema, wants.schema), (Isolation::Database, wants.database)] {
        if spec.draining || spec.capacity.of(level) == 0 || !levels.contains(&level) || app.spec.fits(level).is_err() {
            continue;
        }
        cell.refill(app, level, want).await?;
    }
    let count = cell.reap(app).await?;
    if count > 0 {
        tracing::info!(app = %app.app, count, "leftovers removed");
    }
    Ok(())
}

impl Stock {
    fn is_waiting(&self, deps: &Deps, cell: &CellName, app: &AppTarget) -> bool {
        let trouble = self.trouble.get(&(cell.clone(), app.app.clone()));
        trouble.is_some_and(|trouble| trouble.app_version == app.version && trouble.again_at > deps.now())
    }

    fn note(&mut self, deps: &Deps, key: (CellName, AppName), app_version: i64, outcome: Result<(), String>) {
        let Err(message) = outcome else {
            if self.trouble.remove(&key).is_some() {
                tracing::info!(cell = %key.0, app = %key.1, "cell is prepared again");
            }
            return;
        };
        let before = self.trouble.get(&key).filter(|trouble| trouble.app_version == app_version);
        if before.is_none_or(|trouble| trouble.message != message) {
            tracing::warn!(cell = %key.0, app = %key.1, message, "cell cannot be prepared");
        }
        let pause = before
            .map_or(SignedDuration::from_secs(1), |trouble| (trouble.pause * 2).min(SignedDuration::from_mins(5)));
        let again_at = deps.now().saturating_add(pause).unwrap_or(Timestamp::MAX);
        self.trouble.insert(key, Trouble { app_version, message, again_at, pause });
    }
}
