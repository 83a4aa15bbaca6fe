//! Apply: all documents of a request take effect as records in one commit, or none does. Controllers converge the
//! world afterwards; the operation that is given back follows all tenants that were touched.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tenantry_domain::audit::Category;
use tenantry_domain::cell::CellSpec;
use tenantry_domain::code::FieldError;
use tenantry_domain::event;
use tenantry_domain::id::TenantId;
use tenantry_domain::manifest::Manifest;
use tenantry_domain::name::CellName;
use tenantry_domain::placement::Decision;
use tenantry_domain::policy::Permit;
use tenantry_domain::tenant::lifecycle::Phase;
use tenantry_domain::tenant::{Slug, Spec, change};
use tenantry_store::{CatalogKind, CatalogPut, Entry, NewOperation, NewTenant, StoreError, TenantRow, WriteTx};

use crate::catalog::manifest_word;
use crate::ctx::Ctx;
use crate::deps::{Deps, mint};
use crate::governance::{self, About, Thing};
use crate::manifests::catalog_part;
use crate::quotas::counted::{self, Full};
use crate::refusal::Refusal;
use crate::rollouts;
use crate::tenants::create::{born, check_first_state, created, new_tenant};
use crate::tenants::edit::{self, Opened, created_audit, keep_deletion, refuse_store, settle_record};
use crate::tenants::judge::judged;
use crate::tenants::refer;
use crate::view::{Applied, AppliedObject, Outcome};

/// Most documents of one request; larger sets are sent in parts.
pub const MAX_DOCUMENTS: usize = 2_000;

/// Applies manifests in dependency order, whatever order they come in.
///
/// # Errors
/// See [`Refusal`]; nothing changed. Field paths begin with the document's place, `documents[3].spec.plan`.
pub async fn apply(cx: &Ctx, deps: &Deps, manifests: &[Manifest]) -> Result<Applied, Refusal> {
    let permit = cx.permit_environment("manifests.apply")?;
    check_set(manifests)?;
    let mut tx = match edit::open(cx, deps, &permit).await? {
        Opened::Replay(answer) => return edit::replayed(answer),
        Opened::Fresh(tx) => tx,
    };
    let mut batch = Batch::default();
    apply_catalog(cx, deps, &permit, &mut tx, manifests, &mut batch.objects, &mut batch.entries).await?;
    if let Err(refusal) = tenants(cx, deps, &permit, &mut tx, manifests, &mut batch).await {
        tx.rollback().await;
        if let Some(full) = batch.full {
            full.tell(cx, deps, &permit).await;
        }
        return Err(refusal);
    }
    let operation = (!batch.targets.is_empty()).then(mint::operation);
    let applied = Applied { operation, objects: batch.objects.into_values().collect() };
    if batch.entries.is_empty() {
        tx.rollback().await;
        return Ok(applied);
    }
    if let Some(id) = operation {
        tx.operations().create(&NewOperation {
            id,
            kind: "manifests.apply".to_owned(),
            correlation_id: cx.correlation_id.clone(),
            request: json!({ "documents": manifests.len() }),
            targets: batch.targets,
        });
    }
    edit::remember(cx, &mut tx, &applied, operation);
    tx.commit(batch.entries).await.map_err(refuse_store)?;
    deps.nudge();
    Ok(applied)
}

/// Writes the catalog documents, those first that others refer to.
pub(crate) async fn apply_catalog(
    cx: &Ctx,
    deps: &Deps,
    permit: &Permit,
    tx: &mut WriteTx,
    manifests: &[Manifest],
    objects: &mut BTreeMap<usize, AppliedObject>,
    entries: &mut Vec<Entry>,
) -> Result<(), Refusal> {
    let mut order: Vec<(usize, &Manifest)> = manifests.iter().enumerate().collect();
    // The plan that is the default no more makes room before another one becomes it.
    order.sort_by_key(|(_, manifest)| is_default(manifest));
    for kind in [CatalogKind::Region, CatalogKind::Plan, CatalogKind::App, CatalogKind::Cell, CatalogKind::Meter] {
        for (place, manifest) in order.iter().copied() {
            if let Some((found, name, spec)) = catalog_part(manifest)
                && found == kind
            {
                let object = put(cx, deps, permit, tx, manifest, (kind, &name, spec), entries).await;
                objects.insert(place, object.map_err(|refusal| refusal.of_document(place))?);
            }
        }
    }
    Ok(())
}

const fn is_default(manifest: &Manifest) -> bool {
    matches!(manifest, Manifest::Plan { spec, .. } if spec.default)
}

/// What a set of documents comes to.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) objects: BTreeMap<usize, AppliedObject>,
    pub(crate) entries: Vec<Entry>,
    /// The tenants, each as it was found.
    pub(crate) found: BTreeMap<usize, Found>,
    targets: Vec<(TenantId, i64)>,
    /// What was looked up, and the places that are given away already.
    known: refer::Cache,
    /// What a quota did not allow; told when the transaction is over.
    full: Option<Full>,
}

/// What a tenant's document met.
pub(crate) enum Found {
    /// Nobody of the name; where it would go, if it is to have a place at once.
    Nobody(Option<Decision>),
    /// A tenant, as it was.
    Tenant(Box<TenantRow>),
}

impl Batch {
    /// Counts the domains of a tenant whose spec is written.
    async fn count(
        &mut self,
        cx: &Ctx,
        deps: &Deps,
        tx: &mut WriteTx,
        before: usize,
        tenant: &TenantRow,
    ) -> Result<Vec<event::Draft>, Refusal> {
        match counted::domains(cx, tx, before, tenant).await {
            Ok(told) => Ok(told),
            Err(stop) => {
                let (refusal, full) = stop.said(cx, deps).await;
                self.full = full;
                Err(refusal)
            }
        }
    }
}

fn name_of(manifest: &Manifest) -> (&'static str, String) {
    match manifest {
        Manifest::Tenant { slug, .. } => ("Tenant", slug.to_string()),
        other => catalog_part(other).map_or(("", String::new()), |(kind, name, _)| (manifest_word(kind), name)),
    }
}

pub(crate) fn check_set(manifests: &[Manifest]) -> Result<(), Refusal> {
    if manifests.len() > MAX_DOCUMENTS {
        let message = format!("at most {MAX_DOCUMENTS} documents in one request, this has {}", manifests.len());
        return Err(Refusal::Fields(vec![FieldError::new("documents", message)]));
    }
    let mut defaults = manifests.iter().enumerate().filter(|(_, manifest)| is_default(manifest));
    if let (Some((_, first)), Some((place, second))) = (defaults.next(), defaults.next()) {
        let (plan, other) = (name_of(second).1, Some(name_of(first).1));
        return Err(Refusal::SecondDefault { plan, other }.of_document(place));
    }
    let mut seen = BTreeMap::new();
    let mut doubled = Vec::new();
    for (place, manifest) in manifests.iter().enumerate() {
        if let Some(first) = seen.insert(name_of(manifest), place) {
            let (kind, name) = name_of(manifest);
            let message = format!("{kind} `{name}` is also document {first}; one document per object");
            doubled.push(FieldError::new(format!("documents[{place}].metadata.name"), message));
        }
    }
    if doubled.is_empty() { Ok(()) } else { Err(Refusal::Fields(doubled)) }
}

async fn put(
    cx: &Ctx,
    deps: &Deps,
    permit: &Permit,
    tx: &mut WriteTx,
    manifest: &Manifest,
    (kind, name, spec): (CatalogKind, &str, Value),
    entries: &mut Vec<Entry>,
) -> Result<AppliedObject, Refusal> {
    if cx.answers_for(permit) {
        cx.may("catalog.write")?;
    }
    let row = tx.catalog().lock(kind, name).await.map_err(refuse_store)?;
    let object = |outcome, version| AppliedObject {
        kind: manifest_word(kind).to_owned(),
        name: name.to_owned(),
        outcome,
        version,
        id: None,
    };
    if let Some(row) = &row
        && row.spec == spec
    {
        return Ok(object(Outcome::Unchanged, row.version));
    }
    // Once for all documents: a word that somebody gave for it is used up by the first question.
    if entries.is_empty() {
        governance::rule_on(cx, deps, "catalog.write", tx, Thing::Environment, About::default()).await?;
    }
    let old = row.as_ref().map(|row| row.spec.clone()).unwrap_or_default();
    if let Manifest::Cell { name, spec } = manifest {
        check_cell(tx, spec).await?;
        if row.is_some() {
            check_region(tx, name, &old, spec).await?;
        }
    }
    if let Manifest::Meter { name, spec } = manifest {
        crate::usage::check_meter(tx, name, spec).await?;
    }
    if let (Manifest::App { spec: app, .. }, Some(_)) = (manifest, &row) {
        rollouts::ran::check(tx, name, app).await?;
        let complaints = rollouts::safety::complaints(&old, &spec).await;
        if !complaints.is_empty() {
            return Err(Refusal::Fields(complaints));
        }
    }
    if is_default(manifest)
        && let Some(other) = tx.catalog().other_default(name).await.map_err(refuse_store)?
    {
        return Err(Refusal::SecondDefault { plan: name.to_owned(), other: Some(other) });
    }
    let put = CatalogPut {
        kind,
        name: name.to_owned(),
        from_version: row.as_ref().map_or(0, |row| row.version),
        spec: spec.clone(),
        action: "manifests.apply".to_owned(),
        correlation_id: cx.correlation_id.clone(),
    };
    let new = tx.catalog().put(&put).await.map_err(|error| match error {
        // Written by somebody else since we looked.
        StoreError::DefaultTaken => Refusal::SecondDefault { plan: name.to_owned(), other: None },
        error => refuse_store(error),
    })?;
    let mut audit = cx.audit(permit, Category::Mutation, format!("{}/{name}", kind.as_str()));
    audit.version = Some(new.version);
    audit.changes = if row.is_some() { change::audited(&old, &spec) } else { json!({ "created": true }) };
    let data = json!({ "kind": manifest_word(kind), "name": name, "version": new.version });
    entries.push(Entry::environment(audit, vec![event::Draft::new(event::Type::CatalogUpdated, data)]));
    if let (Manifest::App { name: app, spec }, Some(row)) = (manifest, &row) {
        governance::rule_on(cx, deps, "rollout.run", tx, Thing::Environment, About::default()).await?;
        if !tx.looks_ahead() {
            entries.push(rollouts::begin(cx, permit, tx, app, row.version, new.version, spec).await?.1);
        }
    }
    Ok(object(if row.is_some() { Outcome::Changed } else { Outcome::Created }, new.version))
}

async fn check_cell(tx: &mut WriteTx, spec: &CellSpec) -> Result<(), Refusal> {
    let region = tx.catalog().get(CatalogKind::Region, spec.region.as_str()).await.map_err(refuse_store)?;
    match region {
        Some(_) => Ok(()),
        None => {
            Err(Refusal::Reference { kind: "region", name: spec.region.to_string(), field: "spec.region".to_owned() })
        }
    }
}

/// A cell that holds data stays where it is: its tenants allowed the region in which it stood.
async fn check_region(tx: &mut WriteTx, name: &CellName, old: &Value, spec: &CellSpec) -> Result<(), Refusal> {
    let stands = old.get("region").and_then(Value::as_str).unwrap_or_default();
    if stands == spec.region.as_str() {
        return Ok(());
    }
    tx.cells().regions_change().await.map_err(refuse_store)?;
    let tenants = tx.catalog().users(CatalogKind::Cell, name.as_str()).await.map_err(refuse_store)?;
    if tenants == 0 {
        return Ok(());
    }
    Err(Refusal::CellStays { cell: name.clone(), region: stands.to_owned(), wanted: spec.region.clone(), tenants })
}

/// Judges and writes the tenants' documents: first those of tenants that are there, then the new ones, which get what is left.
pub(crate) async fn tenants(
    cx: &Ctx,
    deps: &Deps,
    permit: &Permit,
    tx: &mut WriteTx,
    manifests: &[Manifest],
    batch: &mut Batch,
) -> Result<(), Refusal> {
    let mut wanted: Vec<(usize, &Slug, &Spec)> = manifests
        .iter()
        .enumerate()
        .filter_map(|(place, manifest)| match manifest {
            Manifest::Tenant { slug, spec } => Some((place, slug, spec)),
            _ => None,
        })
        .collect();
    let mut rows = known(tx, &wanted).await?;
    wanted.sort_by_key(|(_, slug, _)| !rows.contains_key(slug.as_str()));
    let mut fresh = Vec::new();
    for (place, slug, spec) in wanted {
        match rows.remove(slug.as_str()) {
            None => {
                check_first_state(spec).map_err(|refusal| refusal.of_document(place))?;
                crate::domains::check(deps, &[], &spec.domains).map_err(|refusal| refusal.of_document(place))?;
                let fit = batch
                    .known
                    .check(cx, tx, spec, spec.state == Phase::Active)
                    .await
                    .map_err(|refusal| refusal.of_document(place))?;
                if cx.answers_for(permit) {
                    cx.may("tenant.create").map_err(|denial| Refusal::from(denial).of_document(place))?;
                }
                fresh.push((place, new_tenant(cx, slug.clone(), spec.clone()), fit));
            }
            Some(row) => {
                let changed = change_one(cx, deps, permit, tx, &row, spec, batch)
                    .await
                    .map_err(|refusal| refusal.of_document(place))?;
                batch.objects.insert(place, changed);
                batch.found.insert(place, Found::Tenant(Box::new(row)));
            }
        }
    }
    let new: Vec<_> = fresh.iter().map(|(_, new, _)| new.clone()).collect();
    let mut told = BTreeMap::new();
    if !new.is_empty() {
        let rows = tx.tenants().create_many(&new).await.map_err(|error| collision(&fresh, error))?;
        for (row, (place, _, fit)) in rows.iter().zip(&fresh) {
            born(cx, deps, tx, row, fit).await.map_err(|refusal| refusal.of_document(*place))?;
            let counted = batch.count(cx, deps, tx, 0, row).await;
            told.insert(row.id, counted.map_err(|refusal| refusal.of_document(*place))?);
        }
    }
    for (place, new, fit) in fresh {
        batch.found.insert(place, Found::Nobody(fit.decision));
        let audit = created_audit(cx, permit, &new.slug, &new.spec);
        let data = created(&new.slug, &new.spec);
        let born = event::Draft::new(event::Type::TenantCreated, data);
        let events = std::iter::once(born).chain(told.remove(&new.id).unwrap_or_default()).collect();
        batch.entries.push(Entry::tenant(new.id, audit, events));
        batch.targets.push((new.id, 1));
        let (kind, name) = ("Tenant".to_owned(), new.slug.to_string());
        batch
            .objects
            .insert(place, AppliedObject { kind, name, outcome: Outcome::Created, version: 1, id: Some(new.id) });
    }
    Ok(())
}

/// Which of the new tenants wants what another one has.
fn collision(fresh: &[(usize, NewTenant, refer::Fit)], error: StoreError) -> Refusal {
    let is_it = |new: &NewTenant| match &error {
        StoreError::SlugTaken { slug } | StoreError::SlugQuarantined { slug, .. } => new.slug == *slug,
        StoreError::ExternalIdTaken { system, id } => new.spec.external_ids.get(system) == Some(id),
        StoreError::AliasTaken { alias } => new.spec.aliases.contains(alias),
        _ => false,
    };
    let place = fresh.iter().find(|(_, new, _)| is_it(new)).map(|(place, ..)| *place);
    let refusal = refuse_store(error);
    match place {
        Some(place) => refusal.of_document(place),
        None => refusal,
    }
}

/// Locks the tenants that exist already, in the order of their ids, so that two applies cannot wait for each other.
async fn known(tx: &mut WriteTx, wanted: &[(usize, &Slug, &Spec)]) -> Result<BTreeMap<String, TenantRow>, Refusal> {
    let slugs: Vec<Slug> = wanted.iter().map(|(_, slug, _)| (*slug).clone()).collect();
    if slugs.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids = tx.tenants().ids(&slugs).await.map_err(refuse_store)?;
    let rows = tx.tenants().lock_many(&ids).await.map_err(refuse_store)?;
    Ok(rows.into_iter().map(|row| (row.slug.to_string(), row)).collect())
}

async fn change_one(
    cx: &Ctx,
    deps: &Deps,
    permit: &Permit,
    tx: &mut WriteTx,
    row: &TenantRow,
    spec: &Spec,
    batch: &mut Batch,
) -> Result<AppliedObject, Refusal> {
    let spec = keep_deletion(row, spec.clone());
    let (kind, name, id) = ("Tenant".to_owned(), row.slug.to_string(), Some(row.id));
    if spec == row.spec {
        return Ok(AppliedObject { kind, name, outcome: Outcome::Unchanged, version: row.version, id });
    }
    let (change, mut entry) = judged(cx, deps, permit, tx, &mut batch.known, row, spec).await?;
    let changed = tx.tenants().apply(&change).await.map_err(refuse_store)?;
    let changed = settle_record(tx, changed)?;
    entry.events.extend(batch.count(cx, deps, tx, row.spec.domains.len(), &changed).await?);
    batch.entries.push(entry);
    batch.targets.push((changed.id, changed.version));
    Ok(AppliedObject { kind, name, outcome: Outcome::Changed, version: changed.version, id })
}
