//! Objects of the catalog in the shape of their manifests.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tenantry_api::v1::catalog::{AppSpec, CellSpec, Object, ObjectStatus, PlanSpec, RegionSpec};
use tenantry_api::v1::usage::MeterSpec;
use tenantry_api::v1::{API_VERSION, Metadata};
use tenantry_control::view;
use tenantry_domain::name::EnvironmentName;
use tenantry_domain::{app, cell, plan, usage};

/// An object.
#[must_use]
pub fn object(object: view::Object, environment: &EnvironmentName) -> Object<Value> {
    Object {
        api_version: API_VERSION.to_owned(),
        spec: spec(&object.kind, object.spec),
        kind: object.kind,
        metadata: Metadata { name: object.name, environment: Some(environment.to_string()), labels: BTreeMap::new() },
        status: ObjectStatus {
            version: object.version,
            created_at: object.created_at,
            updated_at: object.updated_at,
            details: BTreeMap::new(),
        },
    }
}

/// A stored spec in manifest shape; one that a newer release wrote is shown as it is.
#[must_use]
pub fn spec(kind: &str, stored: Value) -> Value {
    match kind {
        "App" => reshape::<app::Spec, AppSpec>(stored),
        "Plan" => reshape::<plan::PlanSpec, PlanSpec>(stored),
        "Region" => reshape::<cell::RegionSpec, RegionSpec>(stored),
        "Cell" => reshape::<cell::CellSpec, CellSpec>(stored),
        "Meter" => reshape::<usage::MeterSpec, MeterSpec>(stored),
        _ => stored,
    }
}

fn reshape<D: DeserializeOwned, S: Serialize + for<'d> From<&'d D>>(stored: Value) -> Value {
    let Ok(spec) = serde_json::from_value::<D>(stored.clone()) else { return stored };
    serde_json::to_value(S::from(&spec)).unwrap_or(stored)
}
