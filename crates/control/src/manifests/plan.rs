//! Plan: what apply would do, without doing it. The judgement is the same code; the transaction is thrown away.

use std::collections::BTreeMap;

use serde_json::Value;
use tenantry_domain::cell::CellLoad;
use tenantry_domain::diff::diff;
use tenantry_domain::manifest::Manifest;
use tenantry_domain::placement::{self, Demand};
use tenantry_domain::reconcile::{self, Desired, Observed};
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_domain::tenant::{Slug, Spec};
use tenantry_store::{CatalogKind, StoreError, TenantKey, TenantRow, WriteTx};

use crate::catalog::manifest_word;
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::manifests::apply::{apply_catalog, check_set};
use crate::manifests::catalog_part;
use crate::refusal::Refusal;
use crate::tenants::create::check_first_state;
use crate::tenants::demand;
use crate::tenants::edit::{keep_deletion, refuse_store};
use crate::tenants::judge::judged;
use crate::tenants::refer;
use crate::view::{Outcome, PlannedObject};

/// Previews manifests.
///
/// # Errors
/// What apply would refuse with.
pub async fn plan(cx: &Ctx, deps: &Deps, manifests: &[Manifest]) -> Result<Vec<PlannedObject>, Refusal> {
    let permit = cx.permit_environment("manifests.plan")?;
    check_set(manifests)?;
    let mut tx = deps.store().write(&permit, cx.now).await.map_err(refuse_store)?;
    let mut planned = BTreeMap::new();
    for (place, manifest) in manifests.iter().enumerate() {
        if let Some((kind, name, spec)) = catalog_part(manifest) {
            let row = tx.catalog().get(kind, &name).await.map_err(refuse_store)?;
            planned.insert(place, catalog_plan(kind, name, row.map(|row| row.spec), &spec));
        }
    }
    // The new catalog is written so that references between documents are judged as apply would see them.
    let mut unused = Vec::new();
    apply_catalog(cx, deps, &permit, &mut tx, manifests, &mut BTreeMap::new(), &mut unused).await?;
    let loads = refer::loads(cx, &mut tx).await?;
    for (place, manifest) in manifests.iter().enumerate() {
        if let Manifest::Tenant { slug, spec } = manifest {
            let object = tenant_plan(cx, deps, &permit, &mut tx, (slug, spec), &loads).await;
            planned.insert(place, object.map_err(|refusal| refusal.of_document(place))?);
        }
    }
    tx.rollback().await;
    Ok(planned.into_values().collect())
}

fn catalog_plan(kind: CatalogKind, name: String, old: Option<Value>, new: &Value) -> PlannedObject {
    let outcome = match &old {
        None => Outcome::Created,
        Some(old) if old == new => Outcome::Unchanged,
        Some(_) => Outcome::Changed,
    };
    PlannedObject {
        kind: manifest_word(kind).to_owned(),
        name,
        outcome,
        changes: old.map(|old| diff(&old, new)).unwrap_or_default(),
        steps: Vec::new(),
        placement: None,
        hold: None,
    }
}

async fn tenant_plan(
    cx: &Ctx,
    deps: &Deps,
    permit: &tenantry_domain::policy::Permit,
    tx: &mut WriteTx,
    (slug, spec): (&Slug, &Spec),
    loads: &[CellLoad],
) -> Result<PlannedObject, Refusal> {
    let row = match tx.tenants().lock(TenantKey::Slug(slug.clone())).await {
        Err(StoreError::NotFound) => None,
        found => Some(found.map_err(refuse_store)?),
    };
    let Some(row) = row else {
        check_first_state(spec)?;
        crate::domains::check(deps, &[], &spec.domains)?;
        let fit = refer::check(cx, tx, spec, false).await?;
        let demand = demand::within(tx, fit.level, spec).await.map_err(refuse_store)?.promising(fit.promises);
        return created(cx, slug, spec, &demand, loads);
    };
    let spec = keep_deletion(&row, spec.clone());
    let (old, new) = (value(&row.spec), value(&spec));
    let outcome = if spec == row.spec { Outcome::Unchanged } else { Outcome::Changed };
    let mut desired = desired(&row, &spec);
    if outcome == Outcome::Changed {
        judged(cx, deps, permit, tx, &row, spec.clone()).await?;
        desired.version += 1;
    }
    let observed = observed(&row);
    let due = reconcile::due(&desired, &observed, cx.now);
    Ok(PlannedObject {
        kind: "Tenant".to_owned(),
        name: slug.to_string(),
        outcome,
        changes: diff(&old, &new),
        steps: due.ok().flatten().map(reconcile::steps).unwrap_or_default(),
        placement: None,
        hold: due.err(),
    })
}

fn value(spec: &Spec) -> Value {
    serde_json::to_value(spec).unwrap_or_default()
}

fn created(cx: &Ctx, slug: &Slug, spec: &Spec, demand: &Demand, loads: &[CellLoad]) -> Result<PlannedObject, Refusal> {
    let is_active = spec.state == Phase::Active;
    let placement = if is_active { Some(placement::decide(demand, loads)?) } else { None };
    let desired = Desired { version: 1, phase: spec.state, delete_not_before: None, app_version: 1 };
    let observed = Observed {
        version: i64::from(!is_active),
        phase: Phase::Draft,
        app_version: 0,
        isolation: None,
        repairable_findings: 0,
        failed_version: None,
        running: None,
    };
    Ok(PlannedObject {
        kind: "Tenant".to_owned(),
        name: slug.to_string(),
        outcome: Outcome::Created,
        changes: diff(&Value::Object(serde_json::Map::new()), &value(spec)),
        steps: reconcile::plan(&desired, &observed, cx.now),
        placement,
        hold: None,
    })
}

/// What is wanted of a stored tenant, if its spec were this one.
pub(crate) fn desired(row: &TenantRow, spec: &Spec) -> Desired {
    Desired {
        version: row.version,
        phase: spec.state,
        delete_not_before: spec.deletion.as_ref().map(|deletion| deletion.not_before),
        app_version: row.app_version,
    }
}

/// What is known of a stored tenant.
pub(crate) fn observed(row: &TenantRow) -> Observed {
    Observed {
        version: row.observed_version,
        phase: row.state.phase(),
        app_version: row.app_version,
        isolation: row.placement.as_ref().map(|placement| placement.isolation),
        repairable_findings: row.findings.iter().filter(|finding| finding.repairable).count(),
        failed_version: row.failure.as_ref().map(|(version, _)| *version),
        running: None,
    }
}
