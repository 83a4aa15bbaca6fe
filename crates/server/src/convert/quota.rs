//! Quotas and rates of a tenant.

use serde_json::Value;
use tenantry_api::v1::quota::{Admission, Quota, Reservation};
use tenantry_control::quotas;
use tenantry_domain::limit::fields::{self, Judged};
use tenantry_domain::quantity::Quantity;

use super::word;

/// A limit as people write it: a number where one suffices.
fn limit(quantity: &Quantity) -> Value {
    match (quantity.amount, quantity.per) {
        (Some(number), None) if quantity.to_string() == number.to_string() => Value::from(number),
        _ => Value::String(quantity.to_string()),
    }
}

/// One quota.
#[must_use]
pub fn quota(view: quotas::Quota) -> Quota {
    Quota {
        limit: limit(&view.bound.limit),
        mode: view.bound.mode.to_string(),
        warn_at: view.bound.warn_at.to_string(),
        used: view.used,
        reserved: view.reserved,
        remaining: view.remaining(),
        status: word(&view.standing),
        origin: view.origin.as_ref().map(word),
        until: view.until,
        renews_at: view.renews_at,
        name: view.name.into(),
    }
}

/// One reservation.
#[must_use]
pub fn reservation(view: quotas::Reservation) -> Reservation {
    Reservation { id: view.id.to_string(), amount: view.amount, expires_at: view.expires_at, quota: quota(view.quota) }
}

/// What a rate said.
#[must_use]
pub fn admission(judged: &Judged) -> Admission {
    let verdict = &judged.verdict;
    let retry = verdict.retry.filter(|_| !verdict.allowed);
    Admission {
        allowed: verdict.allowed,
        remaining: Some(verdict.remaining),
        reset_seconds: Some(fields::seconds(verdict.reset)),
        retry_after_seconds: retry.map(|wait| fields::seconds(wait).max(1)),
        most: Some(judged.limit.burst()),
    }
}

/// No rate, so no bound.
#[must_use]
pub const fn unlimited() -> Admission {
    Admission { allowed: true, remaining: None, reset_seconds: None, retry_after_seconds: None, most: None }
}
