//! Plans, regions, cells, apps and meters: reading them, and taking them out of service.
//!
//! They are written by applying manifests, see [`crate::manifests`].

use serde::de::DeserializeOwned;
use tenantry_domain::audit::Category;
use tenantry_domain::event;
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::plan::PlanSpec;
pub use tenantry_store::CatalogKind;
use tenantry_store::{CatalogRow, CatalogVersionRow, Entry, Store, StoreError, TenantRow};

use crate::ctx::Ctx;
use crate::deps::Deps;
use crate::refusal::Refusal;
use crate::tenants::edit::{Expected, Opened, open, refuse_store, remember};
use crate::view::{Object, Version};

/// The word for a kind in manifests.
#[must_use]
pub const fn manifest_word(kind: CatalogKind) -> &'static str {
    match kind {
        CatalogKind::Region => "Region",
        CatalogKind::Plan => "Plan",
        CatalogKind::App => "App",
        CatalogKind::Cell => "Cell",
        CatalogKind::Meter => "Meter",
    }
}

/// Why an object could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// There is none.
    #[error("{kind} `{name}` does not exist")]
    Missing {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A newer release wrote it.
    #[error("{kind} `{name}` cannot be read by this release")]
    Unreadable {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Our database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads the newest version of an object and its spec.
///
/// # Errors
/// It is missing or unreadable, or our database does not answer.
pub(crate) async fn spec<T: DeserializeOwned>(
    store: &Store,
    environment: &EnvironmentName,
    kind: CatalogKind,
    name: &str,
) -> Result<(i64, T), CatalogError> {
    let row = store.read(environment).catalog(kind, name).await?;
    let row = row.ok_or_else(|| CatalogError::Missing { kind: kind.as_str(), name: name.to_owned() })?;
    let spec = serde_json::from_value(row.spec);
    let spec = spec.map_err(|_| CatalogError::Unreadable { kind: kind.as_str(), name: name.to_owned() })?;
    Ok((row.version, spec))
}

/// Reads the plan of a tenant in the version that the tenant has.
///
/// # Errors
/// It is missing or unreadable, or our database does not answer.
pub(crate) async fn plan_of(store: &Store, tenant: &TenantRow) -> Result<(i64, PlanSpec), CatalogError> {
    let (kind, name) = (CatalogKind::Plan.as_str(), || tenant.spec.plan.to_string());
    let found = store.read(&tenant.environment).plan_of(tenant).await?;
    let found = found.ok_or_else(|| CatalogError::Missing { kind, name: name() })?;
    let spec = serde_json::from_value(found.spec);
    Ok((found.version, spec.map_err(|_| CatalogError::Unreadable { kind, name: name() })?))
}

/// Reads one version of an object's spec.
///
/// # Errors
/// It is missing or unreadable, or our database does not answer.
pub(crate) async fn spec_at<T: DeserializeOwned>(
    store: &Store,
    environment: &EnvironmentName,
    kind: CatalogKind,
    name: &str,
    version: i64,
) -> Result<T, CatalogError> {
    let row = store.read(environment).catalog_version(kind, name, version).await?;
    let spec = row.and_then(|row| row.spec);
    let spec = spec.ok_or_else(|| CatalogError::Missing { kind: kind.as_str(), name: name.to_owned() })?;
    let unreadable = |_| CatalogError::Unreadable { kind: kind.as_str(), name: name.to_owned() };
    serde_json::from_value(spec).map_err(unreadable)
}

pub(crate) fn view(row: CatalogRow) -> Object {
    Object {
        kind: manifest_word(row.kind).to_owned(),
        name: row.name,
        version: row.version,
        spec: row.spec,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

fn missing(kind: CatalogKind, name: &str) -> Refusal {
    Refusal::NoObject { kind: kind.as_str().to_owned(), name: name.to_owned() }
}

/// One object.
///
/// # Errors
/// There is none.
pub async fn get(cx: &Ctx, deps: &Deps, kind: CatalogKind, name: &str) -> Result<Object, Refusal> {
    cx.permit_environment("catalog.read")?;
    let row = deps.store().read(&cx.environment).catalog(kind, name).await.map_err(refuse_store)?;
    row.map(view).ok_or_else(|| missing(kind, name))
}

/// All objects of a kind, by name. Catalogs are small; they are not paged.
///
/// # Errors
/// Our database does not answer.
pub async fn list(cx: &Ctx, deps: &Deps, kind: CatalogKind) -> Result<Vec<Object>, Refusal> {
    cx.permit_environment("catalog.read")?;
    let rows = deps.store().read(&cx.environment).catalog_list(kind).await.map_err(refuse_store)?;
    Ok(rows.into_iter().map(view).collect())
}

/// One version of an object; the one that removed it has an empty spec.
///
/// # Errors
/// There is none.
pub async fn version(cx: &Ctx, deps: &Deps, kind: CatalogKind, name: &str, version: i64) -> Result<Version, Refusal> {
    cx.permit_environment("catalog.read")?;
    let row = deps.store().read(&cx.environment).catalog_version(kind, name, version).await.map_err(refuse_store)?;
    row.map(view_version).ok_or(Refusal::NoVersion(version))
}

/// At most `limit` versions of an object below a number, newest first. An object that was removed keeps its own.
///
/// # Errors
/// There was never such an object.
pub async fn versions(
    cx: &Ctx,
    deps: &Deps,
    kind: CatalogKind,
    name: &str,
    below: i64,
    limit: i64,
) -> Result<Vec<Version>, Refusal> {
    cx.permit_environment("catalog.read")?;
    let reader = deps.store().read(&cx.environment);
    let rows = reader.catalog_versions(kind, name, below, limit).await.map_err(refuse_store)?;
    if rows.is_empty() && reader.catalog_version(kind, name, 1).await.map_err(refuse_store)?.is_none() {
        return Err(missing(kind, name));
    }
    Ok(rows.into_iter().map(view_version).collect())
}

fn view_version(row: CatalogVersionRow) -> Version {
    let spec = row.spec.unwrap_or_else(|| serde_json::json!({}));
    Version { version: row.version, spec, author: row.author, action: row.action, at: row.at }
}

/// Removes an object that nothing uses any more. Its history stays.
///
/// # Errors
/// It is in use, missing, or has another version than expected.
pub async fn delete(cx: &Ctx, deps: &Deps, kind: CatalogKind, name: &str, expected: Expected) -> Result<(), Refusal> {
    let permit = cx.permit_environment("catalog.delete")?;
    let mut tx = match open(cx, deps, &permit).await? {
        Opened::Replay(_) => return Ok(()),
        Opened::Fresh(tx) => tx,
    };
    let row = tx.catalog().lock(kind, name).await.map_err(refuse_store)?;
    let row = row.ok_or_else(|| missing(kind, name))?;
    expected.check(row.version)?;
    let users = tx.catalog().users(kind, name).await.map_err(refuse_store)?;
    if users > 0 {
        let by = format!("{users} tenant(s)");
        return Err(Refusal::InUse { kind: kind.as_str().to_owned(), name: name.to_owned(), by });
    }
    tx.catalog().delete(kind, name, row.version).await.map_err(refuse_store)?;
    if kind == CatalogKind::App {
        tx.rollouts().close_of(name).await.map_err(refuse_store)?;
    }
    remember(cx, &mut tx, &(), None);
    let mut audit = cx.audit(&permit, Category::Mutation, format!("{}/{name}", kind.as_str()));
    audit.version = Some(row.version + 1);
    let data = serde_json::json!({ "kind": manifest_word(kind), "name": name, "deleted": true });
    tx.commit(vec![Entry::environment(audit, vec![event::Draft::new(event::Type::CatalogUpdated, data)])])
        .await
        .map_err(refuse_store)?;
    deps.nudge();
    Ok(())
}
