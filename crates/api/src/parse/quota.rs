//! Quotas in plans, and bodies of requests about quotas and rates.

use jiff::SignedDuration;
use serde_json::Value;
use tenantry_domain::limit::{Bound, Mode, Percent};
use tenantry_domain::quantity::Quantity;

use super::bounds::{self, parse_duration};
use super::read::{Node, Report};
use super::request::body;
use crate::problem::Rejection;

/// The most that one request may ask for: more than any tenant has, and far from what a counter holds.
pub const MOST: u64 = 1 << 53;

/// The most that one request may ask for of a rate.
pub const MOST_AT_ONCE: u64 = 1_000_000;

/// How long a reservation holds unless the request says otherwise.
const HELD: SignedDuration = SignedDuration::from_mins(15);

/// The longest that a reservation holds.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(24);

/// A quota of a plan: an amount alone, or with how strictly it holds.
pub(super) fn bound(node: &Node<'_>, report: &Report) -> Option<Bound> {
    if !node.value().is_object() {
        return bounds::quantity(node, report).map(Bound::hard);
    }
    let object = node.object(report)?;
    let modes = Mode::ALL.map(|mode| (mode.as_str(), mode));
    let mode = object.or("mode", Mode::default(), |node| node.word(report, &modes));
    let limit = object.optional("limit", |node| bounds::quantity(node, report));
    let warn_at = object.or("warnAt", Percent::WARNING, |node| node.parse(report));
    if let (Some(None), Some(Mode::Soft | Mode::Hard)) = (&limit, mode) {
        report.add(object.field("limit"), "is required, unless `mode` is off or observed");
        object.finish();
        return None;
    }
    object.finish();
    Some(Bound { limit: limit?.unwrap_or(Quantity::UNLIMITED), mode: mode?, warn_at: warn_at? })
}

/// The body of taking and giving back: how much; one unless given.
///
/// # Errors
/// Everything that is wrong with it.
pub fn amount(value: &Value) -> Result<u64, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let amount = object.or("amount", 1, |node| node.integer(report, 1, MOST));
        object.finish();
        amount
    })
}

/// The body of a recount: what is used in truth.
///
/// # Errors
/// Everything that is wrong with it.
pub fn recount(value: &Value) -> Result<u64, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let used = object.required("used").and_then(|node| node.integer(report, 0, MOST));
        object.finish();
        used
    })
}

/// A wanted reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReservationBody {
    /// How much.
    pub amount: u64,
    /// For how long.
    pub held: SignedDuration,
}

/// The body that asks for a reservation.
///
/// # Errors
/// Everything that is wrong with it.
pub fn reservation(value: &Value) -> Result<ReservationBody, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let amount = object.or("amount", 1, |node| node.integer(report, 1, MOST));
        let held = object.or("expiresIn", HELD, |node| node.check(report, held));
        object.finish();
        Some(ReservationBody { amount: amount?, held: held? })
    })
}

fn held(text: &str) -> Result<SignedDuration, String> {
    let span = parse_duration(text)?;
    let is_fit = span >= SignedDuration::from_secs(1) && span <= LONGEST;
    if is_fit { Ok(span) } else { Err("must be between `1s` and `24h`".to_owned()) }
}

/// What an application asks of a tenant's rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitBody {
    /// How many at once.
    pub count: u32,
    /// Whose rate inside the tenant; absent for the tenant's as a whole.
    pub principal: Option<String>,
}

/// The body that asks for a tenant's rate.
///
/// # Errors
/// Everything that is wrong with it.
pub fn limit(value: &Value) -> Result<LimitBody, Rejection> {
    body(value, |node, report| {
        let object = node.object(report)?;
        let count = object.or("count", 1, |node| node.integer(report, 1, MOST_AT_ONCE));
        let principal = object.optional("principal", |node| node.line(report, 200));
        object.finish();
        Some(LimitBody { count: u32::try_from(count?).ok()?, principal: principal? })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: &Value) -> Result<Bound, Vec<String>> {
        let report = Report::new();
        let read = bound(&Node::root(value), &report);
        let complaints: Vec<_> = report.into_complaints().into_iter().map(|error| error.field).collect();
        read.filter(|_| complaints.is_empty()).ok_or(complaints)
    }

    #[test]
    fn a_quota_is_an_amount_or_has_parts() {
        assert_eq!(read(&json!(100)).unwrap(), Bound::hard("100".parse().unwrap()));
        assert_eq!(read(&json!("50Gi")).unwrap(), Bound::hard("50Gi".parse().unwrap()));
        let soft = read(&json!({ "limit": "1000/month", "mode": "soft", "warnAt": "90%" })).unwrap();
        assert_eq!((soft.mode, soft.warn_at.get(), soft.limit.to_string()), (Mode::Soft, 90, "1000/month".into()));
        assert_eq!(read(&json!({ "limit": 5 })).unwrap(), Bound::hard("5".parse().unwrap()));
        assert_eq!(read(&json!({ "mode": "off" })).unwrap().mode, Mode::Off);
        assert_eq!(read(&json!({ "mode": "observed" })).unwrap().limit, Quantity::UNLIMITED);
        let wrong: [(Value, &[&str]); 6] = [
            (json!({ "mode": "soft" }), &["limit"]),
            (json!({}), &["limit"]),
            (json!({ "limit": -1, "mode": "firm", "warnAt": 80, "x": 1 }), &["mode", "limit", "warnAt", "x"]),
            (json!({ "limit": 1, "warnAt": "0%" }), &["warnAt"]),
            (json!({ "limit": { "limit": 1 } }), &["limit"]),
            (json!([1]), &[""]),
        ];
        for (value, fields) in wrong {
            assert_eq!(read(&value).unwrap_err(), fields, "{value}");
        }
    }

    #[test]
    fn bodies_are_bounded() {
        assert_eq!(amount(&json!({})).unwrap(), 1);
        assert_eq!(amount(&json!({ "amount": 7 })).unwrap(), 7);
        assert_eq!(reservation(&json!({})).unwrap(), ReservationBody { amount: 1, held: HELD });
        assert_eq!(limit(&json!({ "count": 3, "principal": "usr_1" })).unwrap().count, 3);
        for bad in [json!({ "amount": 0 }), json!({ "amount": -1 }), json!({ "amount": 1.5 }), json!({ "tenant": "x" })]
        {
            assert!(amount(&bad).is_err(), "{bad}");
        }
        assert!(amount(&json!({ "amount": MOST + 1 })).is_err() && recount(&json!({})).is_err());
        for bad in ["0s", "25h", "2d", "soon"] {
            assert!(reservation(&json!({ "expiresIn": bad })).is_err(), "{bad}");
        }
        assert!(limit(&json!({ "count": MOST_AT_ONCE + 1 })).is_err() && limit(&json!({ "principal": "" })).is_err());
    }
}
