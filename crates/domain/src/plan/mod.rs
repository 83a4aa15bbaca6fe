//! The plan catalog and what a tenant gets from it.

pub mod entitlement;
pub mod promise;
pub mod terms;
pub mod version;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::isolation::Isolation;
use crate::limit::Bound;
use crate::quantity::Quantity;

/// The desired state of a plan: what a tenant that is bound to it is entitled to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanSpec {
    /// The level at which its tenants live.
    pub isolation: Isolation,
    /// Taken by tenants that name no plan. At most one per environment.
    #[serde(default)]
    pub default: bool,
    /// Standing and periodic amounts by name, and how strictly they hold: `users`, `storage`, `connections`, `events`, …
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub quotas: BTreeMap<String, Bound>,
    /// Rates by endpoint class.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rate_limits: BTreeMap<String, Quantity>,
    /// Flags and values by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub features: BTreeMap<String, serde_json::Value>,
    /// Backup class.
    #[serde(default)]
    pub backup: Backup,
    /// Service level.
    #[serde(default)]
    pub slo: Slo,
    /// Support class, free text (`community`, `e-mail`, `ticket`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support: Option<String>,
    /// How long an archived tenant's data is kept, in days.
    #[serde(default = "default_archive_days")]
    pub archive_retention_days: u32,
    /// What this version means to the tenants that the plan has already.
    #[serde(default, skip_serializing_if = "Tenants::is_follow")]
    pub tenants: Tenants,
    /// Price, hosts, blueprint, customization, exports.
    #[serde(flatten)]
    pub terms: terms::Terms,
}

/// Ninety days: longer than the usual billing dispute, shorter than what a privacy officer objects to.
fn default_archive_days() -> u32 {
    90
}

/// What a new version of a plan means to the tenants that have an older one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Tenants {
    /// They have the new version as soon as it is there.
    #[default]
    Follow,
    /// They keep what they have until somebody upgrades them.
    Keep,
}

impl Tenants {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Follow, Self::Keep];

    /// The word in manifests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Follow => "follow",
            Self::Keep => "keep",
        }
    }

    const fn is_follow(&self) -> bool {
        matches!(self, Self::Follow)
    }
}

/// Backup class of a plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Backup {
    /// How long backups are kept, in days; absent means no promise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
}

/// Service level of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Slo {
    /// Share of time in service, `99.5%`; absent means best effort.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability: Option<String>,
}
