//! What a plan promises beyond amounts and features.

use serde::{Deserialize, Serialize};
use tenantry_domain::plan::terms as domain;
use utoipa::ToSchema;

use super::words;

/// A price, in the smallest unit of its currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Price {
    /// Three letters of ISO 4217.
    #[schema(example = "EUR", pattern = "^[A-Z]{3}$")]
    pub currency: String,
    /// Per tenant and month.
    #[schema(example = 4900, maximum = 1_000_000_000_000_u64)]
    pub monthly_minor: u64,
    /// Per user and month, on top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 500, maximum = 1_000_000_000_000_u64)]
    pub per_user_minor: Option<u64>,
}

/// What tenants of a plan may set for themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Customization {
    /// How much.
    #[schema(schema_with = words::customization)]
    pub class: String,
    /// For class `limited`: keys of `settings`, and beginnings of keys with `*` at their end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 200, example = json!(["locale", "theme.*"]))]
    pub settings: Vec<String>,
}

/// Backup class of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Backup {
    /// How long backups are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "30d")]
    pub retention: Option<String>,
}

/// Service level of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Slo {
    /// Share of time in service.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "99.5%")]
    pub availability: Option<String>,
}

impl From<&domain::Price> for Price {
    fn from(price: &domain::Price) -> Self {
        Self {
            currency: price.currency.clone(),
            monthly_minor: price.monthly_minor,
            per_user_minor: price.per_user_minor,
        }
    }
}

impl From<&domain::Customization> for Customization {
    fn from(customization: &domain::Customization) -> Self {
        Self {
            class: customization.class.as_str().to_owned(),
            settings: customization.settings.iter().cloned().collect(),
        }
    }
}
