//! Quotas and rates of a tenant.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tenantry_domain::limit::{Bound, Mode};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use super::tenant::amount;
use super::words;

/// A quota's bound as a plan writes it: an amount where that says it all.
pub(super) fn bound(bound: &Bound) -> Value {
    if bound.is_plain() {
        return amount(&bound.limit);
    }
    json!({ "limit": amount(&bound.limit), "mode": bound.mode, "warnAt": bound.warn_at })
}

fn mode() -> Object {
    let description = "`hard` refuses, `soft` warns, `observed` counts, `off` does not even count.";
    let words = Mode::ALL.map(Mode::as_str);
    ObjectBuilder::new().schema_type(Type::String).description(Some(description)).enum_values(Some(words)).build()
}

fn standing() -> Object {
    let words = ["within", "warning", "exceeded"];
    let description = "Below the warning mark, at or above it, or above the limit.";
    ObjectBuilder::new().schema_type(Type::String).description(Some(description)).enum_values(Some(words)).build()
}

/// A quota of a tenant, and what is used of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quota {
    /// Its name.
    #[schema(example = "seats")]
    pub name: String,
    /// The limit: a number, `50Gi`, `1000000/month`, `unlimited`.
    #[schema(example = 100)]
    pub limit: Value,
    /// How strictly it holds.
    #[schema(schema_with = mode)]
    pub mode: String,
    /// At which share of the limit a warning is told.
    #[schema(example = "80%")]
    pub warn_at: String,
    /// What is used; of the current period, for a limit with one.
    #[schema(example = 42)]
    pub used: u64,
    /// What is set aside by reservations.
    #[schema(example = 0)]
    pub reserved: u64,
    /// How much more there may be; left out where nothing is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 58)]
    pub remaining: Option<u64>,
    /// How use stands to the limit.
    #[schema(schema_with = standing)]
    pub status: String,
    /// Why this limit holds; left out for a quota that the plan does not name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = words::origin)]
    pub origin: Option<String>,
    /// When an override ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
    /// When the period ends; left out for a limit without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    pub renews_at: Option<Timestamp>,
}

/// All quotas of a tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Quotas {
    /// By name: those of its plan, and what else is counted.
    pub items: Vec<Quota>,
}

/// Asks for an amount, or gives it back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuotaRequest {
    /// How much; 1 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 9_007_199_254_740_992_u64, example = 1)]
    pub amount: Option<u64>,
}

/// Says what is used in truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecountRequest {
    /// What was counted.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_992_u64, example = 42)]
    pub used: u64,
}

/// Asks for a reservation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReservationRequest {
    /// How much; 1 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 9_007_199_254_740_992_u64, example = 5)]
    pub amount: Option<u64>,
    /// For how long, `1s` to `24h`; `15m` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "15m", pattern = "^[0-9]{1,9}[smhd]$")]
    pub expires_in: Option<String>,
}

/// A part of a quota that is set aside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    /// Its id.
    #[schema(example = "rsv_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub id: String,
    /// How much.
    #[schema(example = 5)]
    pub amount: u64,
    /// When it is free again by itself.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// The quota with it.
    pub quota: Quota,
}

/// Asks for a tenant's rate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LimitRequest {
    /// How many at once; 1 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 1_000_000, example = 1)]
    pub count: Option<u32>,
    /// A user or key of the tenant, which then has the whole rate for itself; left out for the tenant's as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_length = 200, example = "usr_01jd8x3v9mfk2t5h7q0w4z6y8c")]
    pub principal: Option<String>,
}

/// Whether the rate allows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Admission {
    /// Whether it may go on. If not, nothing was charged.
    #[schema(example = true)]
    pub allowed: bool,
    /// How many more may come now; left out where the plan sets no rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 99)]
    pub remaining: Option<u32>,
    /// In how many seconds all may come again; left out where the plan sets no rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 1)]
    pub reset_seconds: Option<u64>,
    /// How many seconds to wait; left out for who is allowed, and for who asks for more than ever comes at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub retry_after_seconds: Option<u64>,
    /// The most that comes at once; left out where the plan sets no rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 100)]
    pub most: Option<u32>,
}
