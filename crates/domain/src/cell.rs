//! Regions and cells: the topology that placement chooses from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::isolation::Isolation;
use crate::name::{CellName, RegionName};
use crate::plan::promise::Promises;

/// The desired state of a region: a label, described.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegionSpec {
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How far other regions are, in any one unit (milliseconds of a round trip are usual). One direction is enough.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub distances: BTreeMap<RegionName, u32>,
}

/// How far one region is from another; absent when neither says. A region is at no distance from itself.
#[must_use]
pub fn distance(regions: &BTreeMap<RegionName, RegionSpec>, from: &RegionName, to: &RegionName) -> Option<u32> {
    if from == to {
        return Some(0);
    }
    let said = |from: &RegionName, to: &RegionName| regions.get(from)?.distances.get(to).copied();
    said(from, to).or_else(|| said(to, from))
}

/// Whether a cell is common or one tenant's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CellKind {
    /// Takes any tenant.
    #[default]
    Pooled,
    /// Takes tenants of level `cluster` only.
    Dedicated,
}

/// Where a secret is found at run time; the value itself is never stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SecretRef {
    /// An environment variable of the control plane's process.
    Env(String),
    /// A file that the control plane's process can read.
    File(String),
}

/// How many weighted places a cell has per level; absent means none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Capacity {
    /// Places in shared tables.
    pub shared: u32,
    /// Places as schema.
    pub schema: u32,
    /// Places as database.
    pub database: u32,
}

impl Capacity {
    /// Places for a level. A dedicated cell has one place for its tenant, which is not counted here.
    #[must_use]
    pub const fn of(&self, level: Isolation) -> u32 {
        match level {
            Isolation::Shared => self.shared,
            Isolation::Schema => self.schema,
            Isolation::Database => self.database,
            Isolation::Cluster => 0,
        }
    }
}

/// How data is encrypted where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Encryption {
    /// Not at all.
    None,
    /// By the disks or the server, with a key of the operator's.
    AtRest,
    /// With a key of each tenant's own.
    TenantKey,
}

impl Encryption {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::None, Self::AtRest, Self::TenantKey];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::AtRest => "atRest",
            Self::TenantKey => "tenantKey",
        }
    }
}

/// The desired state of a cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CellSpec {
    /// The region that it stands in.
    pub region: RegionName,
    /// Pooled or dedicated.
    #[serde(default)]
    pub kind: CellKind,
    /// The administrative connection of its PostgreSQL server.
    pub database: SecretRef,
    /// Streaming replicas of that server, at most [`CellSpec::MOST_STANDBYS`]. They stand in the cell's region.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standbys: Vec<SecretRef>,
    /// Places per level.
    pub capacity: Capacity,
    /// A drained cell keeps its tenants and takes no new ones.
    #[serde(default)]
    pub draining: bool,
    /// How what lies there is encrypted, as far as the operator says; rules look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// The most that hard quotas of its tenants may come to together, by the quota's name; what is not named has no bound.
    #[serde(default, skip_serializing_if = "Promises::is_empty")]
    pub promises: Promises,
}

impl CellSpec {
    /// The most standbys of one cell.
    pub const MOST_STANDBYS: usize = 8;
}

/// A cell with its present load, as placement sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellLoad {
    /// Its name.
    pub name: CellName,
    /// Its declared state.
    pub spec: CellSpec,
    /// Weighted places in use per level.
    pub used: Capacity,
    /// What its tenants are promised together; only asked for where the cell declares how much that may be.
    pub promised: Promises,
}

impl CellLoad {
    /// Counts one more tenant in, for whoever decides about several: the next one finds the places taken and the quotas promised.
    pub fn count_in(&mut self, level: Isolation, places: u32, promises: &Promises) {
        let used = match level {
            Isolation::Shared => Some(&mut self.used.shared),
            Isolation::Schema => Some(&mut self.used.schema),
            Isolation::Database => Some(&mut self.used.database),
            // Its one place is not counted here, see [`Capacity::of`].
            Isolation::Cluster => None,
        };
        if let Some(used) = used {
            *used = used.saturating_add(places);
        }
        for (quota, amount) in promises {
            let promised = self.promised.entry(quota.clone()).or_default();
            *promised = promised.saturating_add(*amount);
        }
    }
}
