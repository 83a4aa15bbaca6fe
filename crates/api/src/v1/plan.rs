//! Versions of a plan, the tenants that have them, and moving tenants from one to another.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::version::FieldChange;
use super::words;
use crate::problem::FieldError;

/// A version of a plan with the tenants that have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanBinding {
    /// The version's number.
    #[schema(example = 3)]
    pub version: i64,
    /// How many tenants have it; archived ones count.
    #[schema(example = 120)]
    pub tenants: u64,
    /// What it means to tenants that had an older one; left out for the version that removed the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::plan_tenants)]
    pub policy: Option<String>,
    /// What it says differently from the version before; at most a hundred differences, none of the first version.
    pub changes: Vec<FieldChange>,
    /// Who made it.
    #[schema(example = "operator:tok_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub actor: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// Which tenants of a plan are to have which version of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanUpgradeRequest {
    /// The version that they are to have; the newest unless given. An older one takes an upgrade back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, example = 3)]
    pub to: Option<i64>,
    /// Only tenants that have this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, example = 2)]
    pub from: Option<i64>,
    /// The share of the plan's tenants, in percent; 100 unless given. A growing share keeps whom it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, maximum = 100, example = 10)]
    pub share: Option<u8>,
    /// These tenants instead of a share, by name or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_items = 1, max_items = 50, example = json!(["acme"]))]
    pub tenants: Option<Vec<String>>,
    /// `next` of the answer before, with everything else as it was and `to` given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^ten_[0-9a-hjkmnp-tv-z]{26}$")]
    pub after: Option<String>,
    /// Whether nobody is moved, and it is only told what would happen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub dry_run: Option<bool>,
}

/// What one call for an upgrade did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanUpgrade {
    /// The plan.
    #[schema(example = "standard")]
    pub plan: String,
    /// The version that tenants were moved to.
    #[schema(example = 3)]
    pub version: i64,
    /// Whether nobody was moved, and this is what would happen.
    pub dry_run: bool,
    /// Who was moved.
    pub moved: Vec<MovedTenant>,
    /// Who could not be moved and has what it had.
    pub refused: Vec<RefusedTenant>,
    /// How many others were looked at: not in the share, or with the version already.
    #[schema(example = 12)]
    pub untouched: u64,
    /// Where the next call begins; left out when everybody was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "ten_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub next: Option<String>,
}

/// A tenant that was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MovedTenant {
    /// Its id.
    #[schema(example = "ten_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub tenant: String,
    /// Its name.
    #[schema(example = "acme")]
    pub slug: String,
    /// The version that it had.
    #[schema(example = 2)]
    pub from: i64,
}

/// A tenant that could not be moved, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefusedTenant {
    /// Its id.
    #[schema(example = "ten_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub tenant: String,
    /// Its name.
    #[schema(example = "acme")]
    pub slug: String,
    /// The code of the refusal.
    #[schema(example = "TEN-0101")]
    pub code: String,
    /// What is wrong.
    #[schema(example = "the tenant uses more than plan `standard` would allow: `users` 12 of 10")]
    pub detail: String,
    /// What to do next.
    pub hint: String,
    /// The fields of its manifest that are in the way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}
