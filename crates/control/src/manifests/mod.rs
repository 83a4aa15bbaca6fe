//! Declarative change of many objects at once: preview and apply.

pub mod apply;
pub mod plan;

pub use apply::{MAX_DOCUMENTS, apply};
pub use plan::plan;

use tenantry_domain::manifest::Manifest;
use tenantry_store::CatalogKind;

/// A catalog document taken apart: kind, name, spec as stored.
pub(crate) fn catalog_part(manifest: &Manifest) -> Option<(CatalogKind, String, serde_json::Value)> {
    let value = |spec: Result<serde_json::Value, serde_json::Error>| spec.unwrap_or_default();
    match manifest {
        Manifest::App { name, spec } => Some((CatalogKind::App, name.to_string(), value(serde_json::to_value(spec)))),
        Manifest::Plan { name, spec } => Some((CatalogKind::Plan, name.to_string(), value(serde_json::to_value(spec)))),
        Manifest::Region { name, spec } => {
            Some((CatalogKind::Region, name.to_string(), value(serde_json::to_value(spec))))
        }
        Manifest::Cell { name, spec } => Some((CatalogKind::Cell, name.to_string(), value(serde_json::to_value(spec)))),
        Manifest::Meter { name, spec } => {
            Some((CatalogKind::Meter, name.to_string(), value(serde_json::to_value(spec))))
        }
        Manifest::Tenant { .. } => None,
    }
}
