//! A manifest after it was parsed: the desired state of one object, with its name.
//!
//! Texts become manifests in `api`, which collects everything that is wrong with them; here is only what control
//! is given. A [`Document`] keeps the environment that its text named, so that a door can compare it with the one
//! that the request is about.

use crate::app;
use crate::cell::{CellSpec, RegionSpec};
use crate::name::{AppName, CellName, EnvironmentName, MeterName, PlanCode, RegionName};
use crate::plan::PlanSpec;
use crate::tenant::{self, Slug};
use crate::usage::MeterSpec;

/// The only version of the manifests' grammar so far.
pub const API_VERSION: &str = "tenantry.dev/v1";

/// The desired state of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manifest {
    /// The user's product.
    App {
        /// Its name.
        name: AppName,
        /// What is wanted.
        spec: app::Spec,
    },
    /// An entry of the plan catalog.
    Plan {
        /// Its code.
        name: PlanCode,
        /// What is wanted.
        spec: PlanSpec,
    },
    /// A place in the operator's topology.
    Region {
        /// Its name.
        name: RegionName,
        /// What is wanted.
        spec: RegionSpec,
    },
    /// A unit of capacity.
    Cell {
        /// Its name.
        name: CellName,
        /// What is wanted.
        spec: CellSpec,
    },
    /// What of tenants' usage is counted, and how.
    Meter {
        /// Its name.
        name: MeterName,
        /// What is wanted.
        spec: MeterSpec,
    },
    /// A customer organisation.
    Tenant {
        /// Its name.
        slug: Slug,
        /// What is wanted.
        spec: tenant::Spec,
    },
}

impl Manifest {
    /// Every kind, in the order in which objects depend on each other: what is named comes before what names it.
    pub const KINDS: [&'static str; 6] = ["App", "Plan", "Region", "Cell", "Meter", "Tenant"];

    /// The kind's word in manifests.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::App { .. } => "App",
            Self::Plan { .. } => "Plan",
            Self::Region { .. } => "Region",
            Self::Cell { .. } => "Cell",
            Self::Meter { .. } => "Meter",
            Self::Tenant { .. } => "Tenant",
        }
    }

    /// The object's name, unique among its kind in an environment.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::App { name, .. } => name.as_str(),
            Self::Plan { name, .. } => name.as_str(),
            Self::Region { name, .. } => name.as_str(),
            Self::Cell { name, .. } => name.as_str(),
            Self::Meter { name, .. } => name.as_str(),
            Self::Tenant { slug, .. } => slug.as_str(),
        }
    }
}

/// A manifest with the environment that its text named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Absent when the text leaves it to the request.
    pub environment: Option<EnvironmentName>,
    /// What it declares.
    pub manifest: Manifest,
}
