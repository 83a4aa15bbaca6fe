//! Where a tenant is, why, and how to reach it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::words;

/// The place of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// The region; one of the allowed ones.
    #[schema(example = "eu-west")]
    pub region: String,
    /// The cell.
    #[schema(example = "eu-west-1")]
    pub cell: String,
    /// The level.
    #[schema(schema_with = words::isolation)]
    pub isolation: String,
    /// Grows with each change of place.
    #[schema(example = 1)]
    pub generation: i64,
}

/// A place with its reasons and its route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlacementView {
    /// Where the tenant is; left out while it has no place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub placement: Option<Placement>,
    /// What a decision would be now; left out when no cell fits, and for tokens that are confined to the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub decision: Option<Decision>,
    /// Why no cell fits; left out when one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub refusal: Option<String>,
    /// How to reach it; left out while there is nothing to reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub route: Option<Route>,
}

/// A decision with everything that was considered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The chosen region.
    pub region: String,
    /// The chosen cell.
    pub cell: String,
    /// The level.
    #[schema(schema_with = words::isolation)]
    pub isolation: String,
    /// Every cell of the environment.
    pub candidates: Vec<Candidate>,
}

/// One cell that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// Its name.
    pub cell: String,
    /// Why it was refused, `reason` first; left out for those that fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Object>, example = json!({"reason": "full", "used": 10, "capacity": 10, "needed": 1}))]
    pub refusal: Option<Value>,
    /// How well it fits, least is best; left out for those that do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Object>, example = json!({"regionRank": 0, "fillPermille": 125, "name": "eu-west-1"}))]
    pub score: Option<Value>,
}

/// Asks where a tenant would be placed. Places nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlacementRequest {
    /// By name or id, for one that exists; the rest is taken from it unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 40, example = "acme")]
    pub tenant: Option<String>,
    /// Its plan, which gives the level. Without a tenant either this or `isolation` is owed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 50, example = "standard")]
    pub plan: Option<String>,
    /// Its level, whatever the plan says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::isolation)]
    pub isolation: Option<String>,
    /// The only regions that may hold its data. Owed without a tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_items = 1, max_items = 64, example = json!(["eu-west", "us-east"]))]
    pub allowed_regions: Option<Vec<String>>,
    /// The first choice, one of `allowedRegions`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 50)]
    pub preferred_region: Option<String>,
    /// Its weight; `small` without a tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::size)]
    pub size: Option<String>,
    /// Where its users are: without a preferred region the closest allowed one comes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 50, example = "asia")]
    pub origin: Option<String>,
    /// Its group: no two tenants of a group share a cell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 255)]
    pub apart: Option<String>,
}

/// Where a tenant would be placed, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlacementAnswer {
    /// The level that was asked about.
    #[schema(schema_with = words::isolation)]
    pub isolation: String,
    /// Allowed regions in the order of choice.
    pub regions: Vec<String>,
    /// The decision; left out when no cell fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub decision: Option<Decision>,
    /// Why no cell fits; left out when one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub refusal: Option<String>,
    /// Every cell of the environment, those that fit first.
    pub candidates: Vec<Candidate>,
}

/// What a data plane needs to reach a tenant. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// The placement's generation that the route belongs to.
    pub generation: i64,
    /// The server's host.
    pub host: String,
    /// The server's port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The schema.
    pub schema: String,
    /// The login role.
    pub role: String,
}
