//! Plan: what apply would do, without doing it. The judgement is the same code, on a transaction that looks ahead: it locks
//! nothing, writes nothing and is thrown away.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::digest;
use serde_json::Value;
use tenantry_domain::diff::diff;
use tenantry_domain::manifest::Manifest;
use tenantry_domain::placement::Decision;
use tenantry_domain::policy::Permit;
use tenantry_domain::reconcile::{self, Desired, Observed};
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_domain::tenant::{Slug, Spec};
use tenantry_store::{CatalogKind, TenantRow};

use crate::catalog::manifest_word;
use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::governance::{self, About, Thing};
use crate::manifests::apply::{Batch, Found, apply_catalog, check_set, tenants};
use crate::manifests::catalog_part;
use crate::refusal::Refusal;
use crate::tenants::edit::{hex, keep_deletion, refuse_store};
use crate::view::{Outcome, PlannedObject};

/// A preview holds one of our connections, and nobody waits for anything else of it. With a decision point outside that takes
/// its time over each of thousands of documents it would hold it for long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Previews manifests.
///
/// It takes the right to look and locks nothing. Whoever may apply hears what apply would say to it; for whoever may not, the
/// rights of the single documents are left out, for somebody else is going to apply them.
///
/// # Errors
/// What apply would refuse with; [`Refusal::Overdue`] when it takes too long.
pub async fn plan(cx: &Ctx, deps: &Deps, manifests: &[Manifest]) -> Result<Vec<PlannedObject>, Refusal> {
    let permit = cx.permit_environment("manifests.plan")?;
    check_set(manifests)?;
    let looked = tokio::time::timeout(PATIENCE, look(cx, deps, &permit, manifests)).await;
    looked.unwrap_or_else(|_| Err(Refusal::Overdue(PATIENCE.as_secs())))
}

async fn look(cx: &Ctx, deps: &Deps, permit: &Permit, manifests: &[Manifest]) -> Result<Vec<PlannedObject>, Refusal> {
    let mut tx = deps.store().look_ahead(permit, cx.now).await.map_err(refuse_store)?;
    governance::rule_on(cx, deps, "manifests.apply", &mut tx, Thing::Environment, About::default()).await?;
    let mut planned = BTreeMap::new();
    for (place, manifest) in manifests.iter().enumerate() {
        if let Some((kind, name, spec)) = catalog_part(manifest) {
            let row = tx.catalog().get(kind, &name).await.map_err(refuse_store)?;
            planned.insert(place, catalog_plan(kind, name, row.map(|row| row.spec), &spec));
        }
    }
    let mut batch = Batch::default();
    apply_catalog(cx, deps, permit, &mut tx, manifests, &mut batch.objects, &mut batch.entries).await?;
    tenants(cx, deps, permit, &mut tx, manifests, &mut batch).await?;
    tx.rollback().await;
    for (place, manifest) in manifests.iter().enumerate() {
        let Manifest::Tenant { slug, spec } = manifest else { continue };
        let object = batch.found.remove(&place).map(|found| match found {
            Found::Nobody(decision) => created(cx, slug, spec, decision),
            Found::Tenant(row) => changed(cx, &row, spec),
        });
        planned.extend(object.map(|object| (place, object)));
    }
    Ok(planned.into_values().collect())
}

fn catalog_plan(kind: CatalogKind, name: String, old: Option<Value>, new: &Value) -> PlannedObject {
    let outcome = match &old {
        None => Outcome::Created,
        Some(old) if old == new => Outcome::Unchanged,
        Some(_) => Outcome::Changed,
    };
    let changes = old.map(|old| diff(&by_name(old), &by_name(new.clone()))).unwrap_or_default();
    PlannedObject {
        kind: manifest_word(kind).to_owned(),
        name,
        outcome,
        changes,
        steps: Vec::new(),
        placement: None,
        hold: None,
    }
}

/// An app's files of migrations by their names, each as its size and the beginning of its digest: which one is new or another one
/// is what a reader wants to know, and the text is where it comes from.
fn by_name(mut spec: Value) -> Value {
    if let Some(files) = spec.pointer_mut("/migrations/files/files")
        && let Some(list) = files.as_array()
    {
        let told = |file: &Value| {
            let text = file["sql"].as_str()?;
            let digest = digest::digest(&digest::SHA256, text.as_bytes());
            let digest = hex(&digest.as_ref()[..6]);
            Some((file["name"].as_str()?.to_owned(), Value::String(format!("{} bytes, sha256 {digest}…", text.len()))))
        };
        if let Some(by_name) = list.iter().map(told).collect::<Option<serde_json::Map<_, _>>>() {
            *files = Value::Object(by_name);
        }
    }
    spec
}

fn changed(cx: &Ctx, row: &TenantRow, spec: &Spec) -> PlannedObject {
    let spec = keep_deletion(row, spec.clone());
    let (old, new) = (value(&row.spec), value(&spec));
    let outcome = if spec == row.spec { Outcome::Unchanged } else { Outcome::Changed };
    let mut desired = desired(row, &spec);
    if outcome == Outcome::Changed {
        desired.version += 1;
    }
    let due = reconcile::due(&desired, &observed(row), cx.now);
    PlannedObject {
        kind: "Tenant".to_owned(),
        name: row.slug.to_string(),
        outcome,
        changes: diff(&old, &new),
        steps: due.ok().flatten().map(reconcile::steps).unwrap_or_default(),
        placement: None,
        hold: due.err(),
    }
}

fn value(spec: &Spec) -> Value {
    serde_json::to_value(spec).unwrap_or_default()
}

fn created(cx: &Ctx, slug: &Slug, spec: &Spec, placement: Option<Decision>) -> PlannedObject {
    let is_active = spec.state == Phase::Active;
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
    PlannedObject {
        kind: "Tenant".to_owned(),
        name: slug.to_string(),
        outcome: Outcome::Created,
        changes: diff(&Value::Object(serde_json::Map::new()), &value(spec)),
        steps: reconcile::plan(&desired, &observed, cx.now),
        placement,
        hold: None,
    }
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
