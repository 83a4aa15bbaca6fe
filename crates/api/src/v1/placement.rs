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
    /// What a decision would be now; left out when no cell fits.
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
