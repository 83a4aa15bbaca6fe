//! The desired state of a tenant: what a manifest says after it was parsed.
//!
//! Status is not here: controllers write it, see [`super::lifecycle`] and [`crate::placement`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::isolation::Isolation;
use crate::name::{AppName, PlanCode};
use crate::quantity::Quantity;
use crate::tenant::contact::Contacts;
use crate::tenant::lifecycle::{Requested, SuspensionReason};
use crate::tenant::profile::{Business, Commercial, Residency};

/// What the operator wants of one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// Name for people, 1 to 255 characters.
    pub display_name: String,
    /// The app that serves the tenant.
    pub app: AppName,
    /// The plan that it is bound to.
    pub plan: PlanCode,
    /// Where the lifecycle shall be.
    pub state: Requested,
    /// Why, when `state` is suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspension: Option<Suspension>,
    /// Set with a wanted deletion, never by a manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
    /// Where the data may live.
    pub residency: Residency,
    /// Whom to reach.
    #[serde(default)]
    pub contacts: Contacts,
    /// Ids of the tenant in other systems, system → id; a pair is unique in the environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub external_ids: BTreeMap<String, String>,
    /// Ids of an adopted system, up to 50 characters; the tenant is found by them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Hosts of the tenant's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// Free labels for selection, key → value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Values of the app's own; stored, returned, never interpreted.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// Trial, paying, past due.
    #[serde(default)]
    pub commercial: Commercial,
    /// Size, revenue, importance.
    #[serde(default)]
    pub business: Business,
    /// Deviations from the plan.
    #[serde(default, skip_serializing_if = "Overrides::is_empty")]
    pub overrides: Overrides,
}

/// Why a tenant shall be suspended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Suspension {
    /// The recorded cause.
    pub reason: SuspensionReason,
    /// Free text for operators, at most 1,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A wanted deletion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deletion {
    /// The removal request, or why a synthetic tenant goes.
    pub reason: String,
    /// Nothing is erased before; until then the request can be taken back.
    pub not_before: Timestamp,
}

/// One deviation with its reason and end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Override<T> {
    /// The value that holds instead of the plan's.
    pub value: T,
    /// Who wanted it and why; never empty.
    pub reason: String,
    /// When the plan's value comes back; absent means until it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl<T> Override<T> {
    /// Whether the deviation holds at `now`.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// All deviations of a tenant from its plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Overrides {
    /// By quota name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub quotas: BTreeMap<String, Override<Quantity>>,
    /// By limit name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rate_limits: BTreeMap<String, Override<Quantity>>,
    /// By flag name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub features: BTreeMap<String, Override<serde_json::Value>>,
    /// Another level than the plan's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Override<Isolation>>,
}

impl Overrides {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.quotas.is_empty() && self.rate_limits.is_empty() && self.features.is_empty() && self.isolation.is_none()
    }
}
