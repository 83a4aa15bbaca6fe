//! Attributes of a tenant that other decisions read: commercial standing, business weight, residency.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::name::RegionName;

/// Where the customer stands commercially. Independent of the lifecycle: a tenant on trial is active and served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CommercialStatus {
    /// Tries the product out.
    Trial,
    /// Pays, or needs not to.
    #[default]
    Paying,
    /// Owes.
    PastDue,
}

/// Commercial standing with its dates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Commercial {
    /// Trial, paying, past due.
    pub status: CommercialStatus,
    /// When the trial ends; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial_ends: Option<Timestamp>,
    /// When the subscription ends; absent when it renews by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_ends: Option<Timestamp>,
}

/// Rough weight of a tenant; a cell's capacity counts by it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SizeClass {
    /// Weight 1.
    #[default]
    Small,
    /// Weight 4.
    Medium,
    /// Weight 16.
    Large,
}

impl SizeClass {
    /// How many places of a cell's capacity the tenant takes.
    #[must_use]
    pub const fn weight(self) -> u32 {
        match self {
            Self::Small => 1,
            Self::Medium => 4,
            Self::Large => 16,
        }
    }
}

/// How much it hurts when this tenant is down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Importance {
    /// As any other.
    #[default]
    Normal,
    /// Watched closely.
    High,
    /// Everybody hears of it.
    Critical,
}

/// What rules on placement, price, tracing and deletion ask about a tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Business {
    /// Weight in a cell.
    pub size: SizeClass,
    /// Yearly recurring revenue in whole units of the installation's currency; absent when unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arr: Option<u64>,
    /// Stands under a supervisory regime.
    pub regulated: bool,
    /// Load comes in bursts.
    pub spiky: bool,
    /// Weight in alerting and trace sampling.
    pub importance: Importance,
    /// Made for tests; left out of business figures, deletable without a removal request.
    pub synthetic: bool,
}

/// Where the tenant's data may live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Residency {
    /// The only regions that may hold data of the tenant; never empty.
    pub allowed_regions: Vec<RegionName>,
    /// The first choice; one of the allowed ones. Absent means the first allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_region: Option<RegionName>,
    /// Further duties by name (`gdpr`, `backup-in-region`), for policies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
}

impl Residency {
    /// The regions in order of choice.
    pub fn in_order(&self) -> impl Iterator<Item = &RegionName> {
        let preferred = self.preferred_region.as_ref();
        preferred.into_iter().chain(self.allowed_regions.iter().filter(move |region| Some(*region) != preferred))
    }

    /// Whether data of the tenant may be in `region`.
    #[must_use]
    pub fn allows(&self, region: &RegionName) -> bool {
        self.allowed_regions.contains(region)
    }
}
